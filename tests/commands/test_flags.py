"""A walk over all flags of run_bgan.py: each changes the weights, the files or the text as its table says."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from bayesgan.data.four_shapes import SHAPES
from bayesgan.ensemble import ENGINES
from bayesgan.options import Options, load_data, resolve
from bayesgan.store.run_folder import RunFolder
from bayesgan.training.algorithm import Trainer
from tests.commands.helpers import outcome, read, run


def test_flags_without_meaning_here_are_said(tmp_path, capsys):
    run(tmp_path, "--ml", "--x_dim", "7", "--pseudo_count", "5")
    text = capsys.readouterr().out
    assert "--x_dim changes nothing here: it is for --dataset synthetic" in text
    assert "--pseudo_count changes nothing here: it is for runs without --ml" in text


def test_dashes_are_underscores(tmp_path):
    folder = run(tmp_path, "--prior-std", "0.3")
    assert RunFolder.open(folder).options().prior_std == 0.3


# what each flag's other value must change: the weights that come out, the files, or the text
CHANGES = {
    "weights": {
        "dataset": ["synthetic"],
        "image_size": [9],
        "classes": [3],
        "network": ["mlp"],
        "z_dim": [4],
        "gf_dim": [6],
        "df_dim": [5],
        "num_layers": [1],
        "num_gen": [3],
        "num_disc": [2],
        "num_mcmc": [2],
        "prior_std": [0.2],
        "temperature": [0.3],
        "friction": [0.9],
        "pseudo_count": [50],
        "coupling": ["full"],
        "objective": ["least_squares"],
        "wasserstein": [],
        "feature_matching": [],
        "ml": [],
        "batch_size": [9],
        "gen_batch_size": [5],
        "burn_in": [3],
        "ramp": [4],
        "lr": [0.002],
        "lr_decay": [0.5],
        "g_lr": [0.002],
        "d_lr": [0.002],
        "d_steps": [2],
        "optimizer": ["sgd"],
        "floor": [0.1],
        "random_seed": [5],
        "train_iter": [11],
        "noise": [0.2],
        "dropout": [0.5],
        "shift": [1],
        "normalise": ["weight"],
        "calibration_fraction": [0.3],
    },
    "files": {"thin": [1], "keep": [1], "n_save": [2], "save_samples": [], "save_weights": [], "resample": ["obrs"]},
    "text": {"log_every": [1]},
    # those of run_bgan_semi.py
    "semi": {
        "N": [30],
        "label_seed": [1],
        "label_batch_size": [5],
        "label_count": [20],
        "recipe": ["mnist-fast"],
        "no_supervised": [],
        "consistency": [1.0],
        "spread_labels": [2],
        "confidence": [0.95],
        "distort": [0.3],
        "unlabelled_batch_size": [7],
    },
    "images": {"value_range": [0, 16], "crop": ["none"], "background": ["blue"], "channels": [1]},
    # each has a test of its own, here or in another file
    "elsewhere": {
        "settle",  # once labels are spread again: tests/training/test_teacher.py
        "gradient_noise",  # of runs long enough to measure it: tests/training/test_algorithm.py
        "engine",
        "compile",
        "precision",
        "deterministic",  # tests/basics/test_devices.py
        "device",
        "gpu_id",
        "rank_timeout",  # tests/commands/test_ranks.py
        "out_dir",
        "data_path",
        "cache_path",
        "attribute",  # tests/data/test_large.py
        "x_dim",
        "cluster_dim",
    },
}


def test_flags_that_shape_the_synthetic_data(tmp_path):
    start = ["--dataset", "synthetic", "--x_dim", "12"]
    checksums = {read(run(tmp_path / name, *start, *extra), "config.json")["data"]["checksum"]
                 for name, extra in (("a", []), ("b", ["--cluster_dim", "3"]))}
    assert len(checksums) == 2
    assert read(run(tmp_path / "c", *start), "config.json")["data"]["shape"] == [12]


def test_cache_path_is_where_conversions_go(tmp_path):
    for shape in SHAPES:
        (tmp_path / "source" / shape).mkdir(parents=True)
        for n in range(5):
            Image.fromarray(np.full((8, 8), 40 * n, np.uint8)).save(tmp_path / "source" / shape / f"{n}.png")
    run(
        tmp_path / "out",
        "--dataset",
        "four_shapes",
        "--data_path",
        tmp_path / "source",
        "--cache_path",
        tmp_path / "cache",
    )
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["four_shapes_full.npz"]


def test_engine_reaches_the_ensembles():
    for engine in ENGINES:
        options, _ = resolve({"engine": engine, "num_gen": 1, "num_mcmc": 1, "df_dim": 4})
        trainer = Trainer(options, load_data(options))
        assert trainer.generators.ensemble.engine is trainer.discriminators.ensemble.engine is ENGINES[engine]


# with a teacher that is sure of all, and so has a say within a few iterations
LABELLED = ["--dataset", "digits", "--N", "20", "--consistency", "2.0", "--confidence", "0.105", "--spread_labels", "0"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = run(tmp_path_factory.mktemp("plain"))
    return outcome(folder)


@pytest.fixture(scope="module")
def plain_semi(tmp_path_factory):
    return outcome(run(tmp_path_factory.mktemp("plain_semi"), *LABELLED, semi=True))


@pytest.mark.parametrize("flag", CHANGES["semi"])
def test_every_flag_of_a_run_with_labels_changes_something(flag, tmp_path, plain_semi):
    folder = run(tmp_path / "out", *LABELLED, f"--{flag}", *CHANGES["semi"][flag], semi=True)
    weights, files = outcome(folder)
    if flag == "no_supervised":
        assert plain_semi[1] - files == {"supervised.safetensors"} and weights == plain_semi[0]
    else:
        assert weights != plain_semi[0]


@pytest.mark.parametrize("flag", CHANGES["images"])
def test_every_flag_for_the_users_images_changes_something(flag, tmp_path):
    x = np.random.default_rng(0).integers(0, 17, (200, 8, 10, 4)).astype(np.uint8)
    np.savez(tmp_path / "mine.npz", x=x)
    flags = ["--dataset", "npz", "--data_path", str(tmp_path / "mine.npz"), "--image_size", "8"]
    checksums = {read(run(tmp_path / name, *flags, *extra), "config.json")["data"]["checksum"]
                 for name, extra in (("a", []), ("b", [f"--{flag}", *CHANGES["images"][flag]]))}
    assert len(checksums) == 2


def test_every_flag_is_in_the_walk():
    walked = {flag for flags in CHANGES.values() for flag in flags}
    assert walked == {field.name for field in dataclasses.fields(Options)}


@pytest.mark.parametrize("kind, flag", [(k, f) for k in ("weights", "files", "text") for f in CHANGES[k]])
def test_every_flag_changes_something(kind, flag, tmp_path, plain, capsys):
    extra = ["--num_disc", "2"] if flag == "coupling" else []
    before = outcome(run(tmp_path / "before", *extra)) if extra else plain
    capsys.readouterr()
    folder = run(tmp_path / "out", *extra, f"--{flag}", *CHANGES[kind][flag])
    weights, files = outcome(folder)
    if kind == "weights":
        assert weights != before[0]
    elif kind == "files":
        assert files != before[1] and weights == before[0]
    else:
        assert "7/10" in capsys.readouterr().out
