"""Every registered experiment at its smallest: what it writes, and what it refuses."""

import json
import subprocess
import sys

import pytest

from bayesgan.experiments import EXPERIMENTS
from tests.data.test_data import write_idx
from tests.training.test_command import ROOT

# the smallest settings, and the pictures they must leave; a new experiment fails until it says so here
SMALL = {
    "synthetic": (["--seeds", "1", "--train_iter", "6"], ["coverage.png"]),
    "linear_regression": (["--draws", "10"], ["marginals.png", "traces.png"]),
    "digits_uncertainty": (["--draws", "4", "--labels", "20"], ["uncertainty.png"]),
    "mixture1d": (["--samples", "200", "--budget", "10"], ["mixture1d.png"]),
    "gaussians25": (["--seeds", "1", "--train_iter", "6", "--samples", "1000", "--budget", "10"], ["curves.png", "scatter.png"]),
    "mnist_labels": (["--N", "20", "--draws", "1", "--methods", "bayes", "ml", "--recipe", "mnist-fast", "--train_iter", "4",
                      "--data_path", "{data}"], ["errors.png"]),
    "mnist_resampling": (["--data_path", "{data}", "--train_iter", "4", "--samples", "100", "--budget", "4", "--refit_steps", "2",
                          "--judge_steps", "2"], ["before.png", "after.png"]),
    "fashion_lsgan": (["--data_path", "{data}", "--train_iter", "2", "--samples", "100", "--budget", "4", "--judge_steps", "2"],
                      ["side_by_side.png"]),
    "semi_ablation": (["--N", "20", "--draws", "1", "--train_iter", "4"], ["errors.png"]),
}
WRONG = {
    "synthetic": ["--seeds", "0"], "linear_regression": ["--draws", "1"], "digits_uncertainty": ["--labels", "0"],
    "mixture1d": ["--budget", "0"], "gaussians25": ["--seeds", "0"], "mnist_labels": ["--recipe", "worst"],
    "semi_ablation": ["--draws", "0"], "mnist_resampling": ["--dataset", "gaussians25"], "fashion_lsgan": ["--samples", "1"],
}


def call(name, *arguments):
    return subprocess.run([sys.executable, "-m", "bayesgan.experiments", name, *arguments], cwd=ROOT, text=True,
                          capture_output=True)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_contract(name, tmp_path):
    arguments, pictures = SMALL[name]
    (tmp_path / "data").mkdir()
    write_idx(tmp_path / "data", sizes=(400, 60))
    arguments = [argument.format(data=tmp_path / "data") for argument in arguments]
    result = call(name, *arguments, "--out_dir", str(tmp_path))
    assert result.returncode == 0, result.stderr
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["command"].startswith(f"python -m bayesgan.experiments {name} ") and content["results"]
    for picture in pictures:
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
    wrong = call(name, *WRONG[name], "--out_dir", str(tmp_path))
    assert wrong.returncode == 2 and wrong.stderr.startswith("error: ") and wrong.stderr.count("\n") == 1


def test_synthetic_never_takes_another_runs_figures(tmp_path):
    arguments = ["--seeds", "1", "--out_dir", str(tmp_path)]
    assert call("synthetic", *arguments, "--train_iter", "6").returncode == 0
    again = call("synthetic", *arguments, "--train_iter", "6")
    assert again.returncode == 0 and "it/s" not in again.stdout  # finished runs are read, not repeated
    other = call("synthetic", *arguments, "--train_iter", "8")
    assert other.returncode == 2 and "was made with another train_iter; name another --out_dir" in other.stderr
