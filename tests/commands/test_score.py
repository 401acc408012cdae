"""`judge` and `score` from the command line: the table of a small run, where figures are missing, and bad input."""

import shutil
import sys
from functools import partial

import numpy as np
import pytest

from bayesgan.commands.judge import kept_judge
from bayesgan.data import DATA_SETS, DataOptions, stacked
from bayesgan.evaluation.extractors import Extractor
from bayesgan.house import main
from tests.commands.helpers import read, run
from tests.data.files import write_idx


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return run(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def judges(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judges")
    assert main(["judge", "--judges", str(folder), "--steps", "100", "--device", "cpu"]) == 0
    return folder


@pytest.fixture
def short_judges(monkeypatch):
    monkeypatch.setattr("bayesgan.commands.score.kept_judge", partial(kept_judge, steps=2))


def hide_torch_fidelity(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)


def test_a_run_is_scored(digits, judges, tmp_path, capsys):
    pytest.importorskip("torch_fidelity")
    folder = shutil.copytree(digits, tmp_path / "run")
    data = DATA_SETS["digits"].load(DataOptions())
    for name, images in (("obrs_20_0", data.train[:300]), ("mh_20_0", data.train[:5]), (".half.9.partial", None)):
        (folder / "resampled" / name).mkdir(parents=True)
        if images is not None:
            np.savez(folder / "resampled" / name / "samples.npz", x=images.numpy())
    capsys.readouterr()
    assert main(["score", str(folder), "--judges", str(judges), "--seed", "1"]) == 0
    told, content = capsys.readouterr().out, read(folder, "scores/scores.json")
    n = len(data.test) // 2
    assert f"digits: {n} images a row, seen by the classifier of digits, right on 9" in told and "training" not in told
    assert "mh_20_0 holds 5 images of 179 and is left out; python -m bayesgan resample" in told
    rows = content["rows"]
    assert list(rows) == ["generator 1 of the newest draw", "generator 2 of the newest draw",
                          "mixture of 4 generators", "resampled, obrs_20_0", "real, held out"]
    assert all(f"| {name} " in told for name in rows) and content["n"] == n
    assert content["extractor"]["accuracy"] > 0.9 and len(content["extractor"]["sha256"]) == 64
    real, plain, other = rows["real, held out"], rows["mixture of 4 generators"], rows["resampled, obrs_20_0"]
    assert real["covered"] == 10 and real["class_kl"] < 0.1 and real["class_score"] > 8
    for better, worse in (("fid", 1), ("kid", 1), ("pixel_distance", 1), ("precision", -1), ("recall", -1)):
        assert worse * real[better] < worse * plain[better] and worse * other[better] < worse * plain[better]
    assert not list((folder / "scores").glob("*.partial"))


def test_a_missing_judge_is_trained_and_kept(digits, short_judges, tmp_path, capsys):
    pytest.importorskip("torch_fidelity")
    for told in ("training a classifier of digits on", "seen by"):
        assert main(["score", str(digits), "--judges", str(tmp_path / "new")]) == 0
        assert told in capsys.readouterr().out
    (kept,) = (tmp_path / "new").glob("digits_1x8x8_*.safetensors")
    assert read(kept.parent, kept.with_suffix(".json").name)["command"] == "python -m bayesgan score"


def test_modes_of_stacked_mnist_are_counted(tmp_path, short_judges, monkeypatch, capsys):
    pytest.importorskip("torch_fidelity")
    monkeypatch.setattr(stacked, "SIZE", 220)
    write_idx(tmp_path / "data", sizes=(60, 30))
    folder = run(tmp_path / "out", "--dataset", "stacked_mnist", "--data_path", tmp_path / "data")
    assert main(["score", str(folder), "--n", "100", "--judges", str(tmp_path / "judges")]) == 0
    content = read(folder, "scores/scores.json")
    assert content["n"] == 100 and all(1 <= row["found"] <= 100 for row in content["rows"].values())
    assert content["extractor"]["name"] == "the classifier of mnist, channel by channel"
    assert all(row["class_kl"] >= np.log(10) - 1e-9 for row in content["rows"].values()), "100 images of 1,000 modes"


def test_colour_without_weights_has_a_distance_that_needs_none(tmp_path, monkeypatch, capsys):
    hide_torch_fidelity(monkeypatch)
    images = np.random.default_rng(0).integers(0, 256, (300, 8, 8, 3)).astype(np.uint8)
    np.savez(tmp_path / "mine.npz", x=images[:180], x_test=images[180:])
    folder = run(tmp_path / "out", "--dataset", "npz", "--data_path", tmp_path / "mine.npz")
    assert main(["score", str(folder)]) == 0
    told, content = capsys.readouterr().out, read(folder, "scores/scores.json")
    assert "need Inception's weights: --weights FILE" in told and content["extractor"] is None
    assert {tuple(row) for row in content["rows"].values()} == {("pixel_distance",)}
    rows = [row["pixel_distance"] for row in content["rows"].values()]
    assert min(rows) == rows[-1], "real images are the nearest to real images"


def refused(capsys, arguments, words):
    assert main([*map(str, arguments)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and words in error, error


def test_bad_input(digits, judges, tmp_path, monkeypatch, capsys):
    refused(capsys, ["score", tmp_path], "is not a run folder")
    refused(capsys, ["score", digits, "--n", "9"], "--n must be at least 50, got 9")
    refused(capsys, ["score", run(tmp_path / "v", "--dataset", "synthetic")], "makes vectors and score is for images")
    empty = shutil.copytree(digits, tmp_path / "empty")
    shutil.rmtree(empty / "posterior")
    refused(capsys, ["score", empty], "is complete and has no collected draws; restore")
    monkeypatch.setattr("bayesgan.commands.score.inception",
                        lambda path, device: Extractor("Inception", (3, None, None), {}, lambda images: None))
    refused(capsys, ["score", digits, "--weights", "w.pth"], "Inception takes bytes (n, 3, any, any), got torch.uint8 "
                                                             "(179, 1, 8, 8)")
    monkeypatch.undo()
    (digits / "resampled" / "bad").mkdir(parents=True)
    (digits / "resampled" / "bad" / "samples.npz").write_bytes(b"damaged")
    pytest.importorskip("torch_fidelity")
    refused(capsys, ["score", digits, "--judges", judges], "samples.npz cannot be read")
    shutil.rmtree(digits / "resampled")
    refused(capsys, ["score", digits, "--weights", tmp_path / "w.pth"], "w.pth is not a file; --weights names")
    hide_torch_fidelity(monkeypatch)
    for extra in ([], ["--weights", "w.pth"]):
        refused(capsys, ["score", digits, *extra], 'not installed; install it with pip install -e ".[metrics]"')


@pytest.mark.parametrize("arguments, words", [
    (["--dataset", "synthetic"], "synthetic holds vectors, no images"),
    (["--steps", "0"], "--steps must be at least 1"),
    (["--dataset", "npz", "--data_path", "{mine}"], "npz is in colour"),
    (["--dataset", "npz", "--data_path", "{grey}"], "npz has no labels to learn"),
])
def test_what_judge_refuses(arguments, words, tmp_path, capsys):
    images = np.random.default_rng(0).random((20, 8, 8, 3))
    np.savez(tmp_path / "mine.npz", x=images)
    np.savez(tmp_path / "grey.npz", x=images[..., 0])
    files = {"mine": tmp_path / "mine.npz", "grey": tmp_path / "grey.npz"}
    refused(capsys, ["judge", *(word.format(**files) for word in arguments)], words)
