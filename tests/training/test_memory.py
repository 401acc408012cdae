"""The bound on memory holds in a process of its own, and what is suggested does fit."""

import dataclasses
import subprocess
import sys

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
TAUGHT = {"image_size": 28, "N": 50, "num_disc": 4, "consistency": 1.0, "spread_labels": 1, "num_layers": 2}
NOISY = {"network": "noisy_mlp", "noise": 0.3, "df_dim": 400, "batch_size": 500, "gen_batch_size": 50, "num_disc": 6}


@pytest.mark.parametrize(
    "given, engine",
    [
        *((GENERATORS, name) for name in ENGINES),
        (JUDGES, "loop"),
        (WEIGHTS, "vmap"),
        (PENALTY, "loop"),
        (NOISY, "loop"),
        (TAUGHT, "loop"),
    ],
)
def test_the_peak_stays_under_the_bound_and_near_it(given, engine):
    options, _ = resolve({**given, "num_mcmc": 1, "engine": engine}, "N" in given)
    peak, bound = iterations_peak("full", options, torch.device("cpu")), peak_bytes(options, load_data(options))
    assert peak <= bound <= 2.5 * peak + FIXED


@pytest.mark.parametrize("given", [{}, {"network": "mlp", "normalise": "weight"}, {"wasserstein": True, "num_disc": 3}])
def test_small_networks_keep_for_real_what_they_keep_on_paper(given, monkeypatch):
    """The meta device computes nothing, and is a few views of patches short of what is counted on the CPU."""
    for name in ENGINES:
        options, _ = resolve({**given, "engine": name})
        data = load_data(options)
        monkeypatch.setattr("bayesgan.training.memory.SMALL", 2**29)
        real = peak_bytes(options, data)
        monkeypatch.setattr("bayesgan.training.memory.SMALL", 0)
        assert peak_bytes(options, data) == pytest.approx(real, rel=0.02)


def test_what_is_suggested_fits():
    options, _ = resolve({"image_size": 28, "num_gen": 20})
    data = load_data(options)
    for share in (0.9, 0.5, 0.25):
        limit = FIXED + int(share * (peak_bytes(options, data) - FIXED))
        assert peak_bytes(dataclasses.replace(options, **nearest_fit(options, data, limit)), data) <= limit
    assert nearest_fit(options, data, FIXED) is None


WHOLE = """
import sys
from bayesgan.basics.memory import proc_bytes
from bayesgan.commands import outlook, train
from bayesgan.options import Options

bound, highest = [], lambda: proc_bytes("/proc/self/status", "VmHWM")
peak_bytes = outlook.peak_bytes
outlook.peak_bytes = lambda *arguments: bound.append((peak_bytes(*arguments), highest())) or bound[0][0]
assert train.main(sys.argv[1:], semi="--N" in sys.argv) == 0
print("MEASURED", bound[0][0], highest() - bound[0][1])
"""
MANY = [
    "--num_gen",
    "10",
    "--num_mcmc",
    "2",
    "--image_size",
    "28",
    "--df_dim",
    "32",
    "--gen_batch_size",
    "8",
    "--train_iter",
    "22",
    "--burn_in",
    "4",
    "--ramp",
    "1",
    "--thin",
    "1",
    "--keep",
    "10",
    "--n_save",
    "22",
]


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak as Linux gives it")
@pytest.mark.parametrize("extra", [
    pytest.param(["--N", "50", "--consistency", "1", "--spread_labels", "2"], marks=pytest.mark.slow),
    ["--resample", "obrs"],
])
def test_the_bound_holds_for_the_whole_command(extra, tmp_path):
    """Pictures, evaluation, the summary and resampling included: draws are held one at a time, or are in the bound."""
    command = [
        sys.executable,
        "-c",
        WHOLE,
        *MANY,
        *extra,
        "--engine",
        "loop",
        "--device",
        "cpu",
        "--out_dir",
        str(tmp_path),
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    bound, peak = map(int, result.stdout.split("MEASURED")[1].split())
    assert peak <= bound
