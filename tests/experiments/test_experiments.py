"""Every registered experiment at its smallest: what it writes, what it goes on with, and what it refuses."""

import dataclasses
import json
import os
import shlex
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from bayesgan.basics.errors import InputError
from bayesgan.data.four_shapes import SHAPES
from bayesgan.experiments.cells import Cells
from bayesgan.experiments.command import main
from bayesgan.experiments.named import EXPERIMENTS
from bayesgan.experiments.runs import last_results, trained_all
from tests.commands.helpers import ROOT
from tests.data.files import write_idx

# the smallest settings, and the pictures they must leave; a new experiment fails until it says so here
SMALL = {
    "synthetic": (["--seeds", "1", "--train_iter", "6"], ["coverage.png"]),
    "linear_regression": (["--draws", "10"], ["marginals.png", "traces.png"]),
    "digits_uncertainty": (["--draws", "4", "--labels", "20"], ["uncertainty.png"]),
    "mixture1d": (["--samples", "200", "--budget", "10"], ["mixture1d.png"]),
    "gaussians25": (["--seeds", "1", "--train_iter", "6", "--samples", "1000", "--budget", "10", "--trees", "3"],
                    ["curves.png", "scatter.png"]),
    "mnist_labels": (["--N", "20", "--draws", "1", "--methods", "bayes", "ml", "--recipe", "mnist-fast", "--train_iter",
                      "4", "--data_path", "{data}"], ["errors.png"]),
    "mnist_resampling": (["--data_path", "{data}", "--train_iter", "4", "--samples", "100", "--budget", "4",
                          "--refit_steps", "2", "--judge_steps", "2"], ["before.png", "after.png"]),
    "fashion_lsgan": (["--data_path", "{data}", "--seeds", "1", "--train_iter", "2", "--samples", "100", "--budget",
                       "4", "--judge_steps", "2", "--moves", "mala"], ["side_by_side.png"]),
    "four_shapes": (["--data_path", "{data}", "--cache_path", "{data}", "--image_size", "8", "--df_dim", "4",
                     "--train_iter", "12", "--samples", "20", "--judge_steps", "2"], ["samples.png", "losses.png"]),
    "networks": (["--data_path", "{data}", "--datasets", "mnist", "--networks", "dcgan", "--df_dim", "4", "--seconds",
                  "1", "--seeds", "1", "--samples", "100", "--judge_steps", "2"], ["mnist_dcgan.png"]),
    "stacked_mnist": (["--data_path", "{data}", "--generators", "2", "--seeds", "1", "--train_iter", "2", "--df_dim",
                       "4", "--samples", "100", "--judge_steps", "2"], ["side_by_side.png"]),
    "coupling": (["--seeds", "1", "--points", "2", "--scale", "0.002"], ["coupling.png"]),
    "semi_ablation": (["--N", "20", "--draws", "1", "--train_iter", "4", "--methods", "base", "T=1"], ["errors.png"]),
    "teacher_ablation": (["--N", "20", "--draws", "1", "--train_iter", "4", "--methods", "base", "no teacher",
                          "--recipe", "mnist-fast", "--data_path", "{data}"], ["errors.png"]),
    "stability": (["--data_path", "{data}", "--factors", "temperature", "--seeds", "1", "--train_iter", "4"],
                  []),  # its maps are in test_stability.py
}
WRONG = {
    "synthetic": ["--seeds", "0"], "linear_regression": ["--draws", "1"], "digits_uncertainty": ["--labels", "0"],
    "mixture1d": ["--budget", "0"], "gaussians25": ["--seeds", "0"], "mnist_labels": ["--recipe", "worst"],
    "coupling": ["--points", "1"], "semi_ablation": ["--draws", "0"],
    "teacher_ablation": ["--draws", "0"], "mnist_resampling": ["--dataset", "gaussians25"],
    "fashion_lsgan": ["--samples", "1"], "networks": ["--datasets", "digits"],
    "four_shapes": ["--image_size", "7"], "stability": ["--factors", "weather"],
    "stacked_mnist": ["--generators", "0"],
}
# settings that say which cells there are, not what is in them
CHOOSING = {"seeds", "draws", "N", "methods", "jobs", "datasets", "networks", "generators", "factors", "players",
            "tasks"}
OTHER = {  # a value that is not in SMALL, of every other setting of an experiment with cells
    "z_dim": "9", "cluster_dim": "3", "train_iter": "8", "budget": "11", "samples": "1200", "trees": "4",
    "discriminators": "3", "points": "4", "judge_steps": "3", "moves": "hmc", "scale": "0.004", "recipe": "mnist-best",
    "data_path": "elsewhere", "df_dim": "5", "seconds": "2", "cache_path": "elsewhere", "image_size": "9",
    "num_gen": "2", "temperature": "0.5",
}


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.slow) if name in ("coupling", "digits_uncertainty", "gaussians25") else name
    for name in EXPERIMENTS
])
def test_contract(name, tmp_path, capsys, monkeypatch):
    arguments, pictures = SMALL[name]
    (tmp_path / "data").mkdir()
    write_idx(tmp_path / "data", sizes=(1200, 60))
    for shape in SHAPES:
        (tmp_path / "data" / "four_shapes" / shape).mkdir(parents=True)
        for n in range(20):
            Image.fromarray(np.full((8, 8), 10 * n, np.uint8)).save(
                tmp_path / "data" / "four_shapes" / shape / f"{n}.png")
    out_dir = ["--out-dir", str(tmp_path / "the results")]
    line = [name, *(argument.format(data=tmp_path / "data") for argument in arguments), *out_dir]
    assert main(line) == 0, capsys.readouterr().err
    content = json.loads((tmp_path / "the results" / "results.json").read_text())
    assert content["command"] == f"python -m bayesgan.experiments {shlex.join(line)}" and "'" in content["command"]
    assert content["results"] and content["machine"] and content["version"]
    table = (tmp_path / "the results" / "table.md").read_text().splitlines()
    assert table[0].startswith(f"`{content['command']}`, ") and table[3].startswith("|--")
    for picture in pictures:
        assert (tmp_path / "the results" / picture).read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    for wrong in (WRONG[name], ["--no_such_flag"]):
        assert main([name, *wrong, *out_dir]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1

    if not list(tmp_path.rglob("cell.json")):
        return
    monkeypatch.setattr(Cells, "stored", only_stored)
    assert main(line) == 0, capsys.readouterr().err
    assert json.loads((tmp_path / "the results" / "results.json").read_text())["results"] == content["results"]
    for field in dataclasses.fields(EXPERIMENTS[name].settings):
        if field.name not in CHOOSING:
            capsys.readouterr()
            assert main([*line, f"--{field.name}", OTHER[field.name]]) == 2, field.name
            assert "no cell" in capsys.readouterr().err


def only_stored(cells, key, settings, stored=Cells.stored):
    found = stored(cells, key, settings)
    if found is None:
        raise InputError(f"no cell {key} with these settings")
    return found


def test_synthetic_never_takes_another_runs_figures(tmp_path, capsys, monkeypatch):
    arguments = ["synthetic", "--seeds", "1", "--out_dir", str(tmp_path)]
    place = tmp_path / "bayesian" / "seed0"
    assert main([*arguments, "--train_iter", "6"]) == 0
    with monkeypatch.context() as patch:  # finished runs are read, not repeated
        patch.setattr("bayesgan.experiments.runs.main", lambda *a: pytest.fail("trained again"))
        assert main([*arguments, "--train_iter", "6"]) == 0
        (place / "cell.json").unlink()  # as older versions left it
        assert main([*arguments, "--train_iter", "6"]) == 0
    before = (place / "cell.json").read_text()
    capsys.readouterr()
    assert main([*arguments, "--train_iter", "8"]) == 0
    told = capsys.readouterr().out
    assert f"{place / 'cell.json'} was made with another train_iter: computed anew" in told
    assert "was made with another train_iter: trained anew beside it" in told
    assert len(list(place.glob("bgan_*"))) == 2 and (place / "cell.json").read_text() != before


def test_runs_beside_each_other_are_the_same_runs(tmp_path):
    """Two jobs train in processes of their own; a failing one is named with its last line."""
    given = {"train_iter": 4, "df_dim": 4, "num_gen": 1, "num_layers": 2, "device": "cpu"}
    wanted = {tmp_path / "a": given, tmp_path / "b": {**given, "random_seed": 1}}
    together = dict(trained_all(wanted, semi=False, jobs=2))
    alone = dict(trained_all({tmp_path / "c": given}, semi=False, jobs=1))
    losses = [last_results(run)["gen_losses"] for run in (together[tmp_path / "a"], alone[tmp_path / "c"])]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    with pytest.raises(ValueError, match="ended with code 2: .*--batch_size must be at most"):
        dict(trained_all({tmp_path / "d": {**given, "batch_size": 5000}}, semi=False, jobs=1))


def test_two_processes_share_the_cells_of_a_folder(tmp_path):
    """Here or on machines that share it: no cell is done twice, and both print the whole table."""
    command = [sys.executable, "-m", "bayesgan.experiments", "semi_ablation", "--methods", "base", "--draws", "3",
               "--N", "20", "--train_iter", "4", "--out_dir", str(tmp_path)]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             env={**os.environ, "OMP_NUM_THREADS": "1"}) for _ in range(2)]
    told = [process.communicate(timeout=240)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    cells = list(tmp_path.rglob("cell.json"))
    assert len(cells) == 3 and all(len(list(cell.parent.glob("bgan_*"))) == 1 for cell in cells)
    assert told[0].splitlines()[-4:] == told[1].splitlines()[-4:]
