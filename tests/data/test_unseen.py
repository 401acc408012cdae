"""New data are read as the training data were: what one reader makes of a file, the other must make of its copy."""

import numpy as np
import pytest
import torch
from PIL import Image

from bayesgan.data import DataOptions, Values, read_unseen
from tests.data.files import RANDOM, load, picture, write_pictures


def unseen(path, data, **options):
    return read_unseen([path], DataOptions(**options), data.shape, data.values)


def same(found, expected):
    """Whether these are the same images, in any order."""
    return sorted(image.numpy().tobytes() for image in found) == sorted(image.numpy().tobytes() for image in expected)


def everything(data):
    return torch.cat([data.train, data.test])


def greys(folder, highest, dtype=np.uint16, count=6):
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = RANDOM.integers(0, highest, (12, 12)).astype(dtype)
        pixels[0, 0] = highest
        Image.fromarray(pixels).save(folder / f"{number}.png")


@pytest.mark.parametrize("options", [
    {"image_size": 8}, {"image_size": 16, "crop": "none"}, {"image_size": 8, "background": "black", "channels": 1},
    {"image_size": 8, "value_range": (0, 510)},
])
def test_pictures_are_read_as_in_training(tmp_path, options):
    """Oblong, transparent, grey among coloured ones, on a scale of their own."""
    write_pictures(tmp_path / "all", mode="RGB", size=(20, 12))
    (tmp_path / "all" / "a" / "grey.png").write_bytes(picture((9, 30)))
    clear = np.full((12, 12, 4), (200, 10, 30, 0), np.uint8)
    clear[3:] = (1, 2, 3, 255)
    Image.fromarray(clear).save(tmp_path / "all" / "b" / "clear.png")
    data = load("image_folder", tmp_path / "all", **options)
    assert same(unseen(tmp_path / "all", data, **options).data, everything(data))
    one = unseen(tmp_path / "all" / "b" / "clear.png", data, **options)
    assert one.names == [str(tmp_path / "all" / "b" / "clear.png")]
    assert any(torch.equal(one.data[0], image) for image in everything(data))


def test_dark_greys_of_16_bits_stay_dark(tmp_path):
    """By their own values they would be of 8 bits, 16 times as bright."""
    greys(tmp_path / "train", 4000)
    data = load("image_folder", tmp_path / "train")
    assert data.values == Values(0, 4095, "int32")
    greys(tmp_path / "new", 200)
    found = unseen(tmp_path / "new", data)
    assert found.data.max() == round(200 / 4095 * 255)
    assert "values 0..200, taken for 0..4095 as in training" in " ".join(found.notes)


def test_floats_of_arrays_keep_their_scale(tmp_path):
    """What lies in [0, 1] is grey to white where training had [-1, 1]."""
    x = RANDOM.uniform(-1, 1, (20, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "train.npz", x=x)
    data = load("npz", tmp_path / "train.npz")
    assert same(unseen(tmp_path / "train.npz", data).data, everything(data))
    np.savez(tmp_path / "new.npz", x=np.abs(x)[:1].astype(np.float64), y=[3])
    found = unseen(tmp_path / "new.npz", data)
    assert found.names == ["0"] and found.data.min() >= 127
    np.savez(tmp_path / "wide.npz", x=x * 2)
    with pytest.raises(ValueError, match=r"values -1\.9\S+, those that .* were on the scale of -1..1; save these"):
        unseen(tmp_path / "wide.npz", data)


def test_what_the_user_said_of_values_counts_for_new_data(tmp_path):
    """Digits of 0..16, saved as wider numbers."""
    x = RANDOM.integers(0, 17, (20, 8, 8))
    np.savez(tmp_path / "train.npz", x=x.astype(np.uint8))
    data = load("npz", tmp_path / "train.npz", value_range=(0, 16))
    np.savez(tmp_path / "new.npz", x=x, x_test=x)
    found = unseen(tmp_path / "new.npz", data, value_range=(0, 16))
    assert same(found.data, everything(data)) and "x alone is read, not x_test" in found.notes


def test_another_type_is_warned_of(tmp_path):
    np.savez(tmp_path / "train.npz", x=RANDOM.uniform(0, 1, (20, 12, 12)))
    data = load("npz", tmp_path / "train.npz")
    write_pictures(tmp_path / "new", classes=(".",))
    found = unseen(tmp_path / "new", data)
    assert found.data.shape == (10, 1, 12, 12) and found.data.max() > 200
    assert "warning: these are uint8, the training data were float64 from 0, black, to 1, white" in found.notes[-1]


def test_size_and_colours_become_those_of_training(tmp_path):
    write_pictures(tmp_path / "train")
    data = load("image_folder", tmp_path / "train")
    write_pictures(tmp_path / "new", classes=("x",), count=2, size=(30, 24), mode="RGB")
    found = unseen(tmp_path / "new", data)
    assert found.data.shape == (2, 1, 12, 12) and found.names == ["x/0.png", "x/1.png"]
    told = " ".join(found.notes)
    assert "read 2 pictures" in told and "2 of 2 are colour and made grey" in told and "--channels" not in told
    assert "scaled to 12x12, the size in training; the first was 30x24" in told


def test_vectors_stay_in_their_units(tmp_path):
    x = RANDOM.normal(1e5, 1, (20, 3))
    np.savez(tmp_path / "train.npz", x=x)
    data = load("npz", tmp_path / "train.npz")
    found = unseen(tmp_path / "train.npz", data)
    assert found.data.dtype == torch.float64 and (found.data.numpy() == x).all()


@pytest.mark.parametrize("name, words", [
    ("absent", "absent does not exist; PATH names a folder or zip of pictures"),
    ("empty", "no pictures .*; PATH names where they are"),
    ("vectors.npz", r"must hold images, x \(n, H, W\) or \(n, H, W, C\), as the run was trained on, got \(5, 3\)"),
    ("none.npz", r"must hold at least 1 row of real numbers, got float64 of shape \(0, 8, 8\)"),
    ("nan.npz", "non-finite"), ("notes.md", "neither a folder of pictures nor a complete zip"),
    ("damaged.png", "cannot read the picture .*damaged.png"),
])
def test_what_cannot_be_read_is_told(tmp_path, name, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.md").write_text("no picture")
    (tmp_path / "damaged.png").write_bytes(picture()[:60])
    np.savez(tmp_path / "vectors.npz", x=np.ones((5, 3)))
    np.savez(tmp_path / "none.npz", x=np.ones((0, 8, 8)))
    np.savez(tmp_path / "nan.npz", x=np.full((2, 8, 8), np.nan))
    with pytest.raises(ValueError, match=words):
        read_unseen([tmp_path / name], DataOptions(), (1, 8, 8), None)


def test_a_run_on_vectors_takes_no_pictures(tmp_path):
    with pytest.raises(ValueError, match=r"trained on vectors; give an .npz with an array x \(n, 3\)"):
        read_unseen([tmp_path], DataOptions(), (3,), None)
    np.savez(tmp_path / "images.npz", x=np.ones((5, 3, 3)))
    with pytest.raises(ValueError, match=r"must hold vectors, x \(n, D\)"):
        read_unseen([tmp_path / "images.npz"], DataOptions(), (3,), None)


def test_several_pictures_are_read_together(tmp_path):
    write_pictures(tmp_path, count=3)
    data = load("image_folder", tmp_path)
    files = [tmp_path / "a" / "0.png", tmp_path / "b" / "2.png"]
    found = read_unseen(files, DataOptions(), data.shape, data.values)
    assert found.names == list(map(str, files)) and len(found.data) == 2
    with pytest.raises(ValueError, match="several PATHs must be pictures, got .*; name one folder, zip or .npz alone"):
        read_unseen([*files, tmp_path / "a"], DataOptions(), data.shape, data.values)
