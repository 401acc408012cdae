"""The bound on memory holds in a process of its own, and what is suggested does fit."""

import dataclasses

import pytest
import torch

from bayesgan.benchmarks.peak import iterations_peak
from bayesgan.ensemble import ENGINES
from bayesgan.options import load_data, resolve
from bayesgan.training.memory import FIXED, nearest_fit, peak_bytes

GENERATORS = {"image_size": 28, "gf_dim": 48, "df_dim": 48, "num_gen": 6, "gen_batch_size": 64}
JUDGES = {"image_size": 28, "num_gen": 4, "num_disc": 4, "coupling": "full", "N": 50, "feature_matching": True}
WEIGHTS = {"dataset": "synthetic", "df_dim": 1024, "precision": "fp64"}  # which take most of the memory here
PENALTY = {"image_size": 28, "wasserstein": True, "gen_batch_size": 8, "num_disc": 6}
NOISY = {"network": "noisy_mlp", "noise": 0.3, "df_dim": 400, "batch_size": 500, "gen_batch_size": 50, "num_disc": 6}


@pytest.mark.parametrize("given, engine", [*((GENERATORS, name) for name in ENGINES), (JUDGES, "loop"), (WEIGHTS, "vmap"),
                                            (PENALTY, "loop"), (NOISY, "loop")])
def test_the_peak_stays_under_the_bound_and_near_it(given, engine):
    options, _ = resolve({**given, "num_mcmc": 1, "engine": engine}, "N" in given)
    peak, bound = iterations_peak("full", options, torch.device("cpu")), peak_bytes(options, load_data(options))
    assert peak <= bound <= 2.5 * peak + FIXED


def test_what_is_suggested_fits():
    options, _ = resolve({"image_size": 28, "num_gen": 20})
    data = load_data(options)
    for share in (0.9, 0.5, 0.25):
        limit = FIXED + int(share * (peak_bytes(options, data) - FIXED))
        assert peak_bytes(dataclasses.replace(options, **nearest_fit(options, data, limit)), data) <= limit
    assert nearest_fit(options, data, FIXED) is None
