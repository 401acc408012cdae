"""`python -m bayesgan data NAME`: what it says of a data set, and its picture."""

import numpy as np
import pytest

from bayesgan.house import main
from tests.data.files import write_pictures


def test_a_folder_is_described_and_drawn(tmp_path, capsys):
    write_pictures(tmp_path / "mine", ("cat", "dog"), count=10)
    write_pictures(tmp_path / "mine", ("unlabelled",), count=5)
    out = tmp_path / "seen" / "grid.png"
    assert main(["data", "image_folder", "--data_path", str(tmp_path / "mine"), "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "image_folder: 21 data to train on, 4 to test on, of shape 1x12x12" in told
    assert "train: cat (8), dog (8), without a label (5)" in told and "test: cat (2), dog (2)" in told
    assert "read 25 pictures" in told and out.read_bytes().startswith(b"\x89PNG")


def test_vectors_are_drawn_as_points(tmp_path, capsys):
    np.savez(tmp_path / "mine.npz", x=np.random.default_rng(0).random((50, 3)))
    arguments = ["data", "npz", "--data_path", str(tmp_path / "mine.npz"), "--out", str(tmp_path / "points.png")]
    assert main(arguments) == 0
    assert "45 data to train on, 5 to test on, of shape 3" in capsys.readouterr().out
    assert (tmp_path / "points.png").exists()


def test_a_flag_that_changes_nothing_is_said_to(tmp_path, capsys):
    assert main(["data", "digits", "--attribute", "Young", "--crop", "none", "--image_size", "8", "--out",
                 str(tmp_path / "grid.png")]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[:2] == ["--crop changes nothing here: it is for --dataset npz or image_folder",
                        "--attribute changes nothing here: it is for --dataset image_folder"]
    assert told[2].startswith("digits: ") and "image_size" not in told[3]


def test_pictures_that_no_network_is_made_for_are_refused_as_by_a_run(tmp_path, capsys):
    np.savez(tmp_path / "small.npz", x=np.random.default_rng(0).integers(0, 255, (40, 4, 4), dtype=np.uint8))
    assert main(["data", "npz", "--data_path", str(tmp_path), "--out", str(tmp_path / "grid.png")]) == 2
    said = capsys.readouterr()
    assert "images must be square, 8..200 pixels a side, npz has 4x4" in said.err
    assert "of shape 1x4x4" in said.out and (tmp_path / "grid.png").exists()


@pytest.mark.parametrize("arguments, words", [
    (["nothing"], "unknown data set 'nothing'"), (["npz", "--data_path", "nowhere"], "must be an .npz file"),
    (["digits", "--image_size", "x"], "--image_size"),
])
def test_bad_input(arguments, words, capsys):
    assert main(["data", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and words in error
