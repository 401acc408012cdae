"""The bound on memory holds in a process of its own, and what is suggested does fit."""

import dataclasses
import subprocess
import sys

import pytest

from bayesgan.ensemble import ENGINES
from bayesgan.training.memory import FIXED, nearest_fit, peak_bytes
from bayesgan.training.options import load_data, resolve
from tests.training.test_command import ROOT

MEASURE = """
import resource, sys
from bayesgan.training.algorithm import Trainer
from bayesgan.training.memory import peak_bytes
from bayesgan.training.options import load_data, resolve
given, engine = eval(sys.argv[1]), sys.argv[2]
options = resolve(given, "N" in given)[0]
data = load_data(options)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
trainer = Trainer(options, data, engines=dict.fromkeys(("generator", "discriminator"), (engine, False)))
for _ in range(2):
    trainer.step()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024, peak_bytes(options, data))
"""
SHAPES = [{"image_size": 28, "gf_dim": 48, "df_dim": 48, "num_gen": 6, "gen_batch_size": 64},
          {"image_size": 28, "num_gen": 4, "num_disc": 4, "coupling": "full", "N": 50, "feature_matching": True},
          {"dataset": "synthetic", "df_dim": 1024, "precision": "fp64"}]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("given", SHAPES)
def test_the_peak_stays_under_the_bound_and_near_it(given, engine):
    result = subprocess.run([sys.executable, "-c", MEASURE, repr({**given, "num_mcmc": 1}), engine], cwd=ROOT, text=True, capture_output=True)
    assert result.returncode == 0, result.stderr
    peak, bound = map(int, result.stdout.split())
    assert peak <= bound <= 2.5 * peak + FIXED


def test_what_is_suggested_fits():
    options, _ = resolve({"image_size": 28, "num_gen": 20})
    data = load_data(options)
    for share in (0.9, 0.5, 0.25):
        limit = FIXED + int(share * (peak_bytes(options, data) - FIXED))
        assert peak_bytes(dataclasses.replace(options, **nearest_fit(options, data, limit)), data) <= limit
    assert nearest_fit(options, data, FIXED) is None
