"""Arrays of the user's own in .npz files: every layout and range of values, and each way such a file can be wrong."""

import io
import json
import zipfile

import numpy as np
import pytest
import torch

from bayesgan.data import DATA_SETS, DataOptions
from bayesgan.data.dataset import UNKNOWN, in_parts
from bayesgan.data.labels import choose_labels
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
    grey[9] = grey[9, ::-1]
    for x in (grey, grey * 2 - 1, np.rint(grey * 255).astype(np.int64)):
        np.savez(tmp_path / "mine.npz", x=x)
        assert load("npz", tmp_path).train[0].flatten().tolist() == list(range(256))
    np.savez(tmp_path / "mine.npz", x=grey > 0.5)
    assert load("npz", tmp_path).train[0].flatten().tolist() == [0] * 128 + [255] * 128


def digits(n=40):
    return RANDOM.integers(0, 256, (n, 8, 8)).astype(np.uint8)


NUMBERS = np.arange(40) % 4
CLASSES = {  # what is given for classes 0, 1, 2, 3 in turn: the names it gets
    "numbers": (NUMBERS, "0123"), "a column": (NUMBERS[:, None], "0123"), "floats": (NUMBERS.astype(float), "0123"),
    "one-hot": (np.eye(4)[NUMBERS], "0123"), "words": (np.array(["cat", "dog", "fox", "owl"])[NUMBERS],
                                                       ("cat", "dog", "fox", "owl")),
    "bytes": (np.array([b"a", b"b", b"c", b"d"])[NUMBERS], "abcd"), "from 1": (NUMBERS + 1, "1234"),
    "gaps": (NUMBERS * 2, "0246"), "unsigned": ((NUMBERS + 250).astype(np.uint8), ("250", "251", "252", "253")),
}


@pytest.mark.parametrize("given", CLASSES)
def test_labels_are_read_as_they_were_meant(tmp_path, given):
    y, names = CLASSES[given]
    x = digits()
    x[:, 0, 0] = NUMBERS
    np.savez(tmp_path / "mine.npz", x=x, y=y)
    data = load("npz", tmp_path)
    assert data.classes == tuple(names) and torch.equal(data.train_labels, data.train[:, 0, 0, 0].long())
    assert any(f"4 classes: {names[0]} (10), {names[1]} (10)" in note for note in data.notes)


@pytest.mark.parametrize("nothing", [-1, np.nan, ""])
def test_data_without_a_label_are_trained_on_and_never_tested_on(tmp_path, nothing):
    """A fifth of the labelled is tested on, as in a folder."""
    y = NUMBERS.astype(str) if nothing == "" else NUMBERS.astype(float)
    y[20:] = nothing
    np.savez(tmp_path / "mine.npz", x=digits(), y=y)
    data = load("npz", tmp_path)
    assert (data.train_labels == -1).sum() == 20 and data.test_labels.bincount().tolist() == [1] * 4
    assert "20 without a label" in " ".join(data.notes) and len(data.classes) == 4


@pytest.mark.parametrize("left", [3, 0])
def test_data_of_a_test_part_without_a_label_are_not_tested_on(tmp_path, left):
    y_test = NUMBERS[:12].copy()
    y_test[left:] = -1
    np.savez(tmp_path / "mine.npz", x=digits(), y=NUMBERS, x_test=digits(12), y_test=y_test)
    data = load("npz", tmp_path)
    if left:
        assert data.test_labels.tolist() == NUMBERS[:3].tolist() and len(data.test) == 3
        assert "of the test part 9 have no label and are left out" in data.notes
    else:
        assert data.test_labels is None and len(data.test) == 12 and len(data.only([int(NUMBERS[0])]).test) == 12
        with pytest.raises(ValueError, match="no labelled test data"):
            choose_labels(data, "all", seed=0)


@pytest.mark.parametrize("counts", [(38, 2), (36, 1, 3)])
def test_no_class_is_in_the_test_part_alone_or_held_out_whole(tmp_path, counts):
    y = np.repeat(np.arange(len(counts)), counts)
    for shuffle in range(20):
        order = np.random.default_rng(shuffle).permutation(len(y))
        np.savez(tmp_path / "mine.npz", x=digits(), y=y[order])
        data = load("npz", tmp_path)
        assert data.test_labels.bincount(minlength=len(counts)).clamp(0, 1).tolist() == [int(n > 1) for n in counts]
        rest = data.hold_out(0.3)
        assert set(rest.train_labels.tolist()) == set(range(len(counts)))
        assert len(rest.calibration) == round(0.3 * len(data.train)) == len(data.train) - len(rest.train)


def test_every_class_that_can_be_is_in_every_part():
    """Sets of all sizes at random: nothing is lost, and the test part is a tenth and what classes need."""
    source = np.random.default_rng(0)
    for _ in range(300):
        counts = source.integers(0, 5, source.integers(2, 7)) * source.integers(1, 9)
        labels = torch.from_numpy(source.permutation(np.repeat(np.arange(len(counts)), counts)))
        if len(labels) < 4:
            continue
        numbered = torch.arange(len(labels)).float()[:, None] + 1
        data = in_parts("mine", numbered, labels, tuple("abcdefg"[: len(counts)]), None)
        trained, tested = (rows.bincount(minlength=len(counts)).tolist()
                           for rows in (data.train_labels, data.test_labels))
        assert [a + b for a, b in zip(trained, tested)] == counts.tolist()
        assert all((a > 0) == (n > 0) and (b > 0) >= (n > 1) for a, b, n in zip(trained, tested, counts.tolist()))
        assert len(data.test) <= round(0.1 * len(labels)) + len(counts)
        kept = data.hold_out(0.5)
        if len(data.train) - round(0.5 * len(data.train)) >= sum(n > 0 for n in trained):
            assert set(kept.train_labels.tolist()) == set(data.train_labels.tolist())


@pytest.mark.parametrize("shape", [(40, 3, 4, 4), (40, 1, 9, 4), (40, 4, 9, 1)])
def test_images_that_could_have_their_channels_at_either_end_are_refused(tmp_path, shape):
    np.savez(tmp_path / "mine.npz", x=np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8))
    with pytest.raises(ValueError, match="could have its channels in the second axis or in the last; give"):
        load("npz", tmp_path, image_size=8)


def test_a_test_part_of_the_users_own_is_the_test_part(tmp_path):
    x, other = digits(), digits(12)
    np.savez(tmp_path / "mine.npz", train_images=x, train_labels=NUMBERS, test_images=other, test_labels=NUMBERS[:12],
             val_images=other)
    data = load("npz", tmp_path)
    assert torch.equal(data.train[:, 0], torch.from_numpy(x)) and torch.equal(data.test[:, 0], torch.from_numpy(other))
    assert data.test_labels.tolist() == NUMBERS[:12].tolist()
    assert "train_images is x" in data.notes and "not read: val_images" in data.notes
    np.savez(tmp_path / "mine.npz", RANDOM.random((40, 3)), NUMBERS)
    assert load("npz", tmp_path).classes == tuple("0123"), "numpy's own names where there are no others"
    np.savez(tmp_path / "mine.npz", x=RANDOM.random((40, 3)) + 5, x_test=np.full((3, 3), 5.5))
    vectors = load("npz", tmp_path)
    assert vectors.train.mean(0).abs().max() < 1e-5 and len(vectors.test) == 3, "scaled by the training part"


@pytest.mark.parametrize("values, black, white, words", [
    (np.array([-1e-7, 0.5, 1.0]), 0, 1, "taken for 0..1"), (np.array([0, 0.5, 1.0000001]), 0, 1, "taken for 0..1"),
    (np.array([-1.0000001, 0, 1]), -1, 1, "taken for -1..1"), (np.array([0.0, 100, 255]), 0, 255, "taken for 0..255"),
    (np.array([0, 1000, 4095]), 0, 4095, "taken for 0..4095"), (np.array([0, 1000, 60_000]), 0, 65_535, "0..65535"),
    (np.array([0, 8, 16], np.uint8), 0, 255, "under a quarter of the range, --value_range 0 16 uses all of it"),
])
def test_values_are_taken_for_what_they_are_and_it_is_said(tmp_path, values, black, white, words):
    x = values[RANDOM.integers(0, 3, (20, 8, 8))]
    np.savez(tmp_path / "mine.npz", x=x)
    data = load("npz", tmp_path)
    expected = np.rint((values.astype(float) - black) / (white - black) * 255).clip(0, 255).astype(int)
    assert sorted(data.train.unique().tolist()) == sorted(set(expected.tolist()))
    assert any(words in note for note in data.notes), data.notes


def test_the_user_says_what_is_black_and_what_is_white(tmp_path):
    x = np.array([0, 8, 16], np.uint8)[RANDOM.integers(0, 3, (20, 8, 8))]
    np.savez(tmp_path / "mine.npz", x=x)
    data = load("npz", tmp_path, value_range=(0, 16))
    assert data.train.unique().tolist() == [0, 128, 255] and "as --value_range says" in " ".join(data.notes)
    wrongs = {(0, 8): "leaves out values of the images, which lie in 0..16; widen it", (16, 0): "takes two numbers",
              (0,): "takes two numbers", (0, np.nan): "takes two numbers"}
    for wrong, words in wrongs.items():
        with pytest.raises(ValueError, match=words):
            load("npz", tmp_path, value_range=wrong)


@pytest.mark.parametrize(
    "arrays, words",
    [
        ({"x": np.array([{"a": 1}, None], dtype=object)}, "object arrays are refused"),
        ({"z": np.ones((3, 3))}, "no array 'x'"),
        ({"x": np.ones((4, 8, 9))}, "images must be square, got 9x8; --image_size cuts them to their middle square"),
        ({"x": np.ones((4, 8, 8, 2))}, r"x must be .*got \(4, 8, 8, 2\)"),
        ({"x": np.full((4, 8, 8), np.nan)}, "non-finite"),
        ({"x": np.full((4, 8, 8), 3.5)}, r"must lie in \[0, 1\]"),
        ({"x": np.full((4, 8, 8), 70_000)}, r"must lie in 0..65535, got 70000..70000; say with --value_range"),
        ({"x": np.full((4, 8, 8), -1)}, "must lie in 0..65535"),
        ({"x": np.full((4, 8, 8), 1.00001 + 0.01)}, r"got \[1.01001, 1.01001\]"),
        ({"x": np.full((4, 8, 8), 7)}, "all 4 data are the same"),
        ({"x": np.ones((4, 5))}, "all 4 data are the same"),
        ({"x": np.ones((4, 8, 8)), "y": np.ones(3, int)}, "y must be 4 labels, got int64 of shape"),
        ({"x": np.ones((4, 8, 8)), "y": np.array([0.5, 1, 1, 0])}, r"y holds \[0.5\], no class"),
        ({"x": np.ones((4, 8, 8)), "y": np.array([0, 1, -3, 0])}, "y holds -3; classes are 0 or more, and -1 is"),
        ({"x": np.ones((4, 8, 8)), "y": np.full(4, -1)}, "y has no label at all"),
        ({"x": np.ones((8, 8, 8)), "y": np.arange(8)}, "y has 8 different values for 8 data, which are no classes"),
        ({"x": np.ones((4, 8, 8)), "y": np.tri(4)}, r"y of shape \(4, 4\) must be one-hot"),
        ({"x": np.ones((9, 8, 8)), "y": np.eye(3)[[0, 1, 2] * 3], "x_test": np.ones((4, 8, 8)),
          "y_test": np.eye(2)[[0, 1, 0, 1]]}, "the same columns in all parts, got 3 and 2 of them"),
        ({"x": np.ones((4, 8, 8)), "images": np.ones((4, 8, 8))}, "has both 'x' and 'images', and either could be x"),
        ({"x": np.ones((4, 8, 8)), "x_test": np.ones((4, 9, 9))}, "x_test must be data like x"),
        ({"x": np.ones((4, 8, 8)), "y_test": np.ones(4)}, "belong together, got"),
        ({"x": np.ones((1, 4))}, "at least 2"),
        ({"x": np.array(3.0)}, "at least 2"),
        ({"x": np.ones((4, 0))}, "at least 2"),
        ({"x": np.ones((4, 0, 0))}, "at least 2"),
        ({"x": np.array(["a", "b"])}, "at least 2 rows of real numbers, got <U1"),
        ({"x": np.tri(4, 8, dtype=int)[None].repeat(2, 0)}, "must be"),
        ({"x": np.tri(8, 8, dtype=int)[None].repeat(2, 0)}, "got only 0 and 1"),
        ({"x": np.array([[0, 1.5e308], [1, 1.6e308]])}, "0 or in 1e-100..1e[+]100, got 1.6e[+]308 in column 1"),
        ({"x": np.array([[1e300, 0], [-1e300, 1]] * 9)}, "got 1e[+]300 in column 0; scale it"),
        ({"x": np.array([[1e-200, 0], [-1e-200, 1]] * 9)}, "got 1e-200 in column 0; scale it"),
        ({"x": np.array([[0.0], [1e-90]]), "x_test": np.array([[1e90], [0]])}, "overflows"),
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
    with pytest.raises(ValueError, match="mine.npz is not a readable .npz of plain arrays"):
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
    x[:, 2] = (lambda shares: (shares / shares.sum(1, keepdims=True)).sum(1))(np.random.default_rng(1).random((200, 3)))
    np.savez(tmp_path / "data.npz", x=x)
    rounded = DATA_SETS["npz"].load(DataOptions(data_path=tmp_path))  # 1 but for rounding
    assert len(np.unique(x[:, 2])) > 1 and rounded.train[:, 2].abs().max() < 1e-10
    assert "columns that never change: 2" in rounded.notes
    x[:, 2] = 4
    moved = x.copy()
    rows = np.random.default_rng(0).permutation(200)[180:]  # the test part
    moved[rows, :2] += 1000
    np.savez(tmp_path / "data.npz", x=moved)
    assert torch.equal(DATA_SETS["npz"].load(DataOptions(data_path=tmp_path)).train, plain.train)


@pytest.mark.parametrize("scale", [lambda x: x / 255, lambda x: x / 127.5 - 1, lambda x: (x * 4.01).astype(np.uint16),
                                   lambda x: np.concatenate([x[..., :3] / 127.5 - 1, x[..., 3:] / 255], -1)])
def test_transparency_is_read_on_the_scale_of_the_colours(tmp_path, scale):
    x = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 4)).astype(float)
    x[0, 0, 0], x[0, 0, 1] = 0, 255
    np.savez(tmp_path / "mine.npz", x=x.astype(np.uint8))
    plain = load("npz", tmp_path)
    np.savez(tmp_path / "mine.npz", x=scale(x))
    assert (load("npz", tmp_path).train.int() - plain.train.int()).abs().max() <= 2


def test_images_of_arrays_are_cut_laid_on_a_background_and_made_grey(tmp_path):
    x = np.zeros((6, 8, 12, 4), np.uint8)
    x[..., 0], x[..., 3] = 200, 255  # red and opaque
    x[:, :, :2] = 7  # beyond the middle square
    x[:, 3, 5] = [[0, 255, 0, alpha] for alpha in (0, 51, 102, 153, 204, 255)]
    x[:, 0, 4, 2] = range(6)
    np.savez(tmp_path / "mine.npz", x=x)
    data = load("npz", tmp_path, image_size=8, background="black")
    everything = torch.cat([data.train, data.test])
    assert data.shape == (3, 8, 8) and sorted(everything[:, 1, 3, 3].tolist()) == [0, 51, 102, 153, 204, 255]
    told = " ".join(data.notes)
    assert "cut to their middle square" in told and "transparent pixels are black now" in told
    assert data.train[:, 0, 7, 0].eq(200).all()
    grey = load("npz", tmp_path, image_size=8, channels=1)
    assert grey.shape == (1, 8, 8) and grey.train[0, 0, 7, 7] == round(0.299 * 200)
    np.savez(tmp_path / "mine.npz", x=x[..., 3])
    coloured = load("npz", tmp_path, image_size=8, channels=3)
    assert coloured.shape == (3, 8, 8) and coloured.train[0, :, 7, 7].tolist() == [255] * 3


HALVES = RANDOM.random((20, 8, 8))


@pytest.mark.parametrize(
    "x, x_test, words",
    [
        ((HALVES * 255).astype(np.uint8), HALVES.astype(np.float32), "x is uint8 and x_test is float32"),
        (HALVES > 0.5, (HALVES * 255).astype(np.uint8), "x is bool and x_test is uint8"),
        ((HALVES * 255).astype(np.uint8), (HALVES * 65535).astype(np.uint16), "x is uint8 and x_test is uint16"),
        (2 * HALVES - 1, HALVES, "x is taken for -1..1 and x_test is taken for 0..1; scale both alike"),
    ],
)
def test_parts_on_different_scales_are_refused(tmp_path, x, x_test, words):
    np.savez(tmp_path / "mine.npz", x=x, x_test=x_test)
    with pytest.raises(ValueError, match=words):
        load("npz", tmp_path)
    np.savez(tmp_path / "mine.npz", x=HALVES, x_test=HALVES.astype(np.float32)[:5] / 2)
    assert load("npz", tmp_path).test.max() < 129


def test_transparency_has_a_scale_of_its_own(tmp_path):
    x = np.ones((6, 8, 8, 4)) * RANDOM.random((6, 1, 1, 1)) * 2 - 1
    x[..., 3] = 1
    x[:, 0, 0, 3] = 0
    np.savez(tmp_path / "mine.npz", x=x)
    data = load("npz", tmp_path, background="black")
    assert data.train[:, :, 0, 0].eq(0).all() and (data.train[:, 0, 5, 5] == data.train[:, 0, 3, 3]).all()
    x[..., :3], x[:, :4, :, 3] = 1, 0
    np.savez(tmp_path / "mine.npz", x=x)
    with pytest.raises(ValueError, match="all images are the same on white, .*give another --background"):
        load("npz", tmp_path)


def test_labels_beside_unnamed_images_are_labels(tmp_path):
    np.savez(tmp_path / "mine.npz", HALVES, labels=np.arange(20) % 2)
    assert load("npz", tmp_path).classes == ("0", "1")


@pytest.mark.parametrize("missing", ["-1", "nan", "NaN", "None", " "])
def test_words_that_say_that_there_is_no_label_are_none(tmp_path, missing):
    np.savez(tmp_path / "mine.npz", x=HALVES, y=np.array(["10", "9", missing, "9"] * 5))
    data = load("npz", tmp_path)
    assert data.classes == ("9", "10") and (data.train_labels == UNKNOWN).sum() == 5


def test_labels_of_two_forms_are_refused(tmp_path):
    numbers = np.arange(20) % 2
    for y_test in (numbers.astype(str), np.eye(2)[numbers]):
        np.savez(tmp_path / "mine.npz", x=HALVES, y=numbers, x_test=HALVES, y_test=y_test)
        with pytest.raises(ValueError, match="labels must be of one form in all parts, got numbers and "):
            load("npz", tmp_path)


def test_one_label_a_class_is_enough_where_the_others_have_none(tmp_path):
    y = np.full(20, -1)
    y[:6] = [0, 1, 2] * 2
    np.savez(tmp_path / "mine.npz", x=HALVES, y=y)
    assert load("npz", tmp_path).classes == ("0", "1", "2")


def test_a_header_that_lies_about_its_size_is_refused_before_memory_is_asked_for(tmp_path):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (10**10, 8)})
    with zipfile.ZipFile(tmp_path / "mine.npz", "w") as archive:
        archive.writestr("x.npy", file.getvalue() + bytes(100))
    with pytest.raises(ValueError, match="x.npy holds 100 bytes of data, its header says 640000000000"):
        load("npz", tmp_path)


def test_the_units_of_vectors_are_kept(tmp_path):
    x = RANDOM.standard_normal((1000, 4)) * [1, 7, 0, 0] + [0, 5, 2, 0.1]
    np.savez(tmp_path / "mine.npz", x=x)
    data = load("npz", tmp_path)
    mean, spread = data.units
    assert torch.allclose(data.train.double() * spread + mean, torch.from_numpy(x)[:, :].double()[rows_of(data, x)],
                          atol=1e-5)
    assert "columns that never change: 2, 3" in " ".join(data.notes)
    assert spread[2:].tolist() == [0, 0] and mean[2:].tolist() == [2, 0.1] and (data.train[:, 2:] == 0).all()


def rows_of(data, x):
    mean, spread = data.units
    found = (data.train.double() * spread + mean).numpy()
    return [int(np.abs(x - row).sum(1).argmin()) for row in found]
