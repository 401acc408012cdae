"""Every registered experiment at its smallest: what it writes, and what it refuses."""

import json

import pytest

from bayesgan.experiments import EXPERIMENTS
from bayesgan.experiments.__main__ import main
from bayesgan.experiments.runs import last_results, trained_all
from tests.data.test_data import write_idx

# the smallest settings, and the pictures they must leave; a new experiment fails until it says so here
SMALL = {
    "synthetic": (["--seeds", "1", "--train_iter", "6"], ["coverage.png"]),
    "linear_regression": (["--draws", "10"], ["marginals.png", "traces.png"]),
    "digits_uncertainty": (["--draws", "4", "--labels", "20"], ["uncertainty.png"]),
    "mixture1d": (["--samples", "200", "--budget", "10"], ["mixture1d.png"]),
    "gaussians25": (["--seeds", "1", "--train_iter", "6", "--samples", "1000", "--budget", "10", "--trees", "3"],
                    ["curves.png", "scatter.png"]),
    "mnist_labels": (["--N", "20", "--draws", "1", "--methods", "bayes", "ml", "--recipe", "mnist-fast", "--train_iter", "4",
                      "--data_path", "{data}"], ["errors.png"]),
    "mnist_resampling": (["--data_path", "{data}", "--train_iter", "4", "--samples", "100", "--budget", "4", "--refit_steps", "2",
                          "--judge_steps", "2"], ["before.png", "after.png"]),
    "fashion_lsgan": (["--data_path", "{data}", "--train_iter", "2", "--samples", "100", "--budget", "4", "--judge_steps", "2"],
                      ["side_by_side.png"]),
    "coupling": (["--seeds", "1", "--points", "2", "--scale", "0.002"], ["coupling.png"]),
    "semi_ablation": (["--N", "20", "--draws", "1", "--train_iter", "4"], ["errors.png"]),
}
WRONG = {
    "synthetic": ["--seeds", "0"], "linear_regression": ["--draws", "1"], "digits_uncertainty": ["--labels", "0"],
    "mixture1d": ["--budget", "0"], "gaussians25": ["--seeds", "0"], "mnist_labels": ["--recipe", "worst"],
    "coupling": ["--points", "1"], "semi_ablation": ["--draws", "0"], "mnist_resampling": ["--dataset", "gaussians25"], "fashion_lsgan": ["--samples", "1"],
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_contract(name, tmp_path, capsys):
    arguments, pictures = SMALL[name]
    (tmp_path / "data").mkdir()
    write_idx(tmp_path / "data", sizes=(400, 60))
    arguments = [argument.format(data=tmp_path / "data") for argument in arguments]
    assert main([name, *arguments, "--out_dir", str(tmp_path)]) == 0, capsys.readouterr().err
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["command"].startswith(f"python -m bayesgan.experiments {name} ") and content["results"]
    for picture in pictures:
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert main([name, *WRONG[name], "--out_dir", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1


def test_synthetic_never_takes_another_runs_figures(tmp_path, capsys, monkeypatch):
    arguments = ["synthetic", "--seeds", "1", "--out_dir", str(tmp_path)]
    assert main([*arguments, "--train_iter", "6"]) == 0
    with monkeypatch.context() as patch:  # finished runs are read, not repeated
        patch.setattr("bayesgan.experiments.runs.main", lambda *a: pytest.fail("trained again"))
        assert main([*arguments, "--train_iter", "6"]) == 0
    assert main([*arguments, "--train_iter", "8"]) == 2
    assert "was made with another train_iter; name another --out_dir" in capsys.readouterr().err


def test_runs_beside_each_other_are_the_same_runs(tmp_path):
    """Two jobs train in processes of their own; a failing one is named with its last line."""
    given = {"train_iter": 4, "df_dim": 4, "num_gen": 1, "num_layers": 2, "device": "cpu"}
    together = trained_all({tmp_path / "a": given, tmp_path / "b": {**given, "random_seed": 1}}, semi=False, jobs=2)
    alone = trained_all({tmp_path / "c": given}, semi=False, jobs=1)
    assert last_results(together[tmp_path / "a"])["gen_losses"] == pytest.approx(last_results(alone[tmp_path / "c"])["gen_losses"], rel=1e-3)
    with pytest.raises(ValueError, match="ended with code 2: .*--batch_size must be at most"):
        trained_all({tmp_path / "d": {**given, "batch_size": 5000}}, semi=False, jobs=1)
