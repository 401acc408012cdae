"""Arrays of the user's own in .npz files: every layout and range of values, and each way such a file can be wrong."""

import json
import zipfile

import numpy as np
import pytest
import torch

from bayesgan.data import DATA_SETS, DataOptions
from tests.data.files import RANDOM, load


@pytest.mark.parametrize("x", [
    RANDOM.integers(0, 255, (20, 8, 8)).astype(np.uint8), RANDOM.integers(0, 255, (20, 8, 8, 3)),
    RANDOM.integers(0, 255, (20, 3, 8, 8)).astype(np.uint8), RANDOM.random((20, 8, 8, 1)),
    RANDOM.random((20, 8, 8)) * 2 - 1, RANDOM.random((20, 5)).astype(np.float32),
])
def test_npz_layouts(tmp_path, x):
    np.savez(tmp_path / "mine.npz", x=x)
    data = load("npz", tmp_path / "mine.npz")
    assert data.shape == {2: (5,), 3: (1, 8, 8)}.get(x.ndim, (3 if 3 in x.shape else 1, 8, 8))
    assert data.train_labels is None and len(data.train) == 18


def test_npz_values_are_kept(tmp_path):
    grey = np.linspace(0, 1, 256).reshape(1, 16, 16).repeat(10, 0)
    for x in (grey, grey * 2 - 1, np.rint(grey * 255).astype(np.int64)):
        np.savez(tmp_path / "mine.npz", x=x)
        assert load("npz", tmp_path).train[0].flatten().tolist() == list(range(256))
    np.savez(tmp_path / "mine.npz", x=grey > 0.5)
    assert load("npz", tmp_path).train[0].flatten().tolist() == [0] * 128 + [255] * 128


@pytest.mark.parametrize(
    "arrays, words",
    [
        ({"x": np.array([{"a": 1}, None], dtype=object)}, "object arrays are refused"),
        ({"z": np.ones((3, 3))}, "no array 'x'"),
        ({"x": np.ones((4, 8, 9))}, r"x must be .*got \(4, 8, 9\)"),
        ({"x": np.full((4, 8, 8), np.nan)}, "non-finite"),
        ({"x": np.full((4, 8, 8), 3.0)}, r"must lie in \[0, 1\]"),
        ({"x": np.full((4, 8, 8), 300)}, "must lie in 0..255"),
        ({"x": np.ones((4, 8, 8)), "y": np.ones(3, int)}, "y must be 4 class numbers"),
        ({"x": np.ones((1, 4))}, "at least 2"),
        ({"x": np.array(3.0)}, "at least 2"),
        ({"x": np.ones((4, 0))}, "at least 2"),
        ({"x": np.ones((4, 0, 0))}, "at least 2"),
        ({"x": np.array(["a", "b"])}, "x is not numbers"),
        ({"x": np.tri(4, 8, dtype=int)[None].repeat(2, 0)}, "must be"),
        ({"x": np.tri(8, 8, dtype=int)[None].repeat(2, 0)}, "got only 0 and 1"),
        ({"x": np.ones((4, 8, 8)), "y": np.array([0, 1, 2, 2**63 + 1], np.uint64)}, "y must be 4 class numbers"),
        ({"x": np.array([[1.5e308, 0], [1.6e308, 1]])}, "overflows"),
    ],
)
def test_bad_npz(tmp_path, arrays, words):
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(ValueError, match=words):
        load("npz", tmp_path)


def test_a_file_that_is_no_npz(tmp_path):
    (tmp_path / "mine.npz").write_text(json.dumps([1]))
    with pytest.raises(ValueError, match="mine.npz is not a readable .npz"):
        load("npz", tmp_path)
    np.save(tmp_path / "mine.npy", np.ones(3))
    with pytest.raises(ValueError, match="it is a single array"):
        load("npz", tmp_path / "mine.npy")
    with zipfile.ZipFile(tmp_path / "mine.npz", "w") as archive:
        archive.writestr("x", b"not an array")
    with pytest.raises(ValueError, match="x is not numbers"):
        load("npz", tmp_path)
    with pytest.raises(ValueError, match="found 0"):
        load("npz", tmp_path / "nowhere")


def test_vectors_are_standardised_by_their_training_rows_alone(tmp_path):
    x = np.random.default_rng(0).standard_normal((200, 3)) * 7 + 5
    x[:, 2] = 4
    np.savez(tmp_path / "data.npz", x=x)
    plain = DATA_SETS["npz"].load(DataOptions(data_path=tmp_path))
    assert plain.train.mean(0).abs().max() < 1e-6 and (plain.train.std(0, correction=0)[:2] - 1).abs().max() < 1e-5
    assert (plain.train[:, 2] == 0).all() and plain.test.mean(0).abs().max() > 1e-3
    moved = x.copy()
    rows = np.random.default_rng(0).permutation(200)[180:]  # the test part
    moved[rows, :2] += 1000
    np.savez(tmp_path / "data.npz", x=moved)
    assert torch.equal(DATA_SETS["npz"].load(DataOptions(data_path=tmp_path)).train, plain.train)
