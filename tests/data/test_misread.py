"""Files that look like another thing than they are: read as what they are, or refused."""

import struct
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from bayesgan.data import DataOptions, idx, read_unseen
from bayesgan.data.idx import PARTS
from tests.data.files import RANDOM, load, picture, write_idx, write_pictures


def test_a_set_is_not_taken_for_another_whose_files_have_the_same_names(tmp_path, monkeypatch):
    write_idx(tmp_path, pack=False)
    content = (tmp_path / PARTS[1]).read_bytes()
    labels = np.frombuffer(content[8:], np.uint8)
    assert struct.unpack(">I", content[4:8])[0] == len(labels) == 30
    monkeypatch.setattr(idx, "SETS", {idx.hashlib.sha256(labels.tobytes()).hexdigest()[:16]: "mnist"})
    assert len(load("mnist", tmp_path).train) == 30
    with pytest.raises(ValueError, match="holds mnist, not fashion_mnist, whose files have the same names"):
        load("fashion_mnist", tmp_path)


def test_pictures_and_arrays_are_scaled_alike(tmp_path):
    """A run on arrays that were made smaller must see pictures of the same."""
    images = np.clip(RANDOM.normal(128, 90, (6, 28, 28)), 0, 255).astype(np.uint8)
    np.savez(tmp_path / "mine.npz", x=images)
    for side in (12, 13, 40):
        data = load("npz", tmp_path / "mine.npz", image_size=side)
        expected = torch.cat([data.train, data.test])
        (tmp_path / str(side)).mkdir()
        for number, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / str(side) / f"{number}.png")
        found = read_unseen([tmp_path / str(side)], DataOptions(image_size=side), data.shape, data.values).data
        apart = (found[:, None].int() - expected[None].int()).abs().flatten(2).amax(2).amin(1)
        assert apart.max() <= 2, side


def test_a_link_to_a_picture_that_is_not_there_is_told(tmp_path):
    write_pictures(tmp_path, count=3)
    (tmp_path / "a" / "gone.png").symlink_to(tmp_path / "annex" / "gone.png")
    with pytest.raises(ValueError, match="a/gone.png is a link to a file that is not there; fetch it"):
        load("image_folder", tmp_path)


def test_a_zip_with_the_other_slash_has_its_classes(tmp_path):
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        for name in ("a", "b"):
            for number in range(5):
                info = zipfile.ZipInfo(f"mine/{name}/{number}.png")
                info.filename = f"mine\\{name}\\{number}.png"  # as some programs on Windows write it
                archive.writestr(info, picture())
    data = load("image_folder", tmp_path / "mine.zip")
    assert data.classes == ("a", "b") and len(data.train) + len(data.test) == 10


def test_opaque_pixels_are_not_called_transparent(tmp_path):
    x = RANDOM.integers(0, 255, (20, 8, 8, 4)).astype(np.uint8)
    x[..., 3] = 255
    np.savez(tmp_path / "mine.npz", x=x)
    assert "transparent" not in " ".join(load("npz", tmp_path / "mine.npz").notes)
    x[0, 0, 0, 3] = 10
    np.savez(tmp_path / "mine.npz", x=x)
    assert "transparent pixels are white now" in load("npz", tmp_path / "mine.npz").notes


def test_floats_without_a_negative_are_asked_about(tmp_path):
    x = RANDOM.uniform(-1, 1, (20, 8, 8))
    np.savez(tmp_path / "mine.npz", x=x)
    data = load("npz", tmp_path / "mine.npz")
    np.savez(tmp_path / "new.npz", x=(x + 1) / 2)
    notes = read_unseen([tmp_path / "new.npz"], DataOptions(), data.shape, data.values).notes
    assert any("no value is negative, and black is -1 as in training" in note for note in notes)
    notes = read_unseen([tmp_path / "mine.npz"], DataOptions(), data.shape, data.values).notes
    assert not any("warning" in note for note in notes)


@pytest.mark.parametrize("name", ["mine.csv", "mine.txt"])
def test_a_table_is_told_how_to_become_arrays(tmp_path, name):
    (tmp_path / name).write_text("1,2,a\n3,4,b\n")
    with pytest.raises(ValueError, match=r"is a table and no .npz; read it with numpy or pandas and save it with np"):
        load("npz", tmp_path / name)
    with pytest.raises(ValueError, match=r"is no .npz; save one with np.savez"):
        read_unseen([tmp_path / name], DataOptions(), (1, 8, 8), None)


@pytest.mark.parametrize("top", [1, 16])
def test_pictures_with_a_range_of_their_own_are_scaled_as_arrays_are(top, tmp_path):
    """Scaled first, a mask of 0 and 1 had nothing between these."""
    images = RANDOM.integers(0, top + 1, (20, 32, 32)).astype(np.uint8)
    np.savez(tmp_path / "mine.npz", x=images)
    (tmp_path / "mine").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "mine" / f"{number:02d}.png")
    options = {"value_range": (0, top), "image_size": 16}
    of_arrays = load("npz", tmp_path / "mine.npz", **options)
    of_pictures = load("image_folder", tmp_path / "mine", **options)
    assert (of_arrays.train.int() - of_pictures.train.int()).abs().max() <= 2
    assert f"values 0..{top}, taken for 0..{top}" in " ".join(of_pictures.notes)
    read = read_unseen([tmp_path / "mine"], DataOptions(**options), of_arrays.shape, of_arrays.values).data
    assert len(read.unique()) > 100 or top == 16


def test_a_background_lies_on_the_scale_of_the_screen(tmp_path):
    for number in range(10):
        pixels = RANDOM.integers(0, 17, (8, 8, 4)).astype(np.uint8)
        pixels[..., 3] = 255
        pixels[0, 0] = (200, 0, 0, 0)  # seen by nobody
        pixels[1, 1] = (16, 16, 0, 255)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    data = load("image_folder", tmp_path, value_range=(0, 16), background="#00ff00")
    assert (data.train[:, :, 0, 0] == torch.tensor([0, 255, 0])).all()
    assert (data.train[:, :, 1, 1] == torch.tensor([255, 255, 0])).all()
    for wrong in ((16, 0), (0,), (0, 1, 2)):
        with pytest.raises(ValueError, match="--value_range takes two numbers"):
            load("image_folder", tmp_path, value_range=wrong)


def test_whole_numbers_in_the_other_order_of_bytes_are_the_same_type(tmp_path):
    x = RANDOM.integers(0, 4000, (20, 8, 8))
    np.savez(tmp_path / "mine.npz", x=x.astype(">u2"))
    data = load("npz", tmp_path / "mine.npz")
    found = []
    for kind in (">u2", "<u2"):
        np.savez(tmp_path / "new.npz", x=(x[:3] // 5).astype(kind))
        found.append(read_unseen([tmp_path / "new.npz"], DataOptions(), data.shape, data.values))
    assert torch.equal(found[0].data, found[1].data) and found[0].notes == found[1].notes
    assert "as in training" in " ".join(found[0].notes)


def test_one_image_of_colours_is_not_many_grey_ones(tmp_path):
    np.savez(tmp_path / "mine.npz", x=RANDOM.random((20, 16, 16)))
    data = load("npz", tmp_path / "mine.npz")
    np.savez(tmp_path / "new.npz", x=RANDOM.random((16, 16, 3)))
    with pytest.raises(ValueError, match="looks like one image of colours; give x\\[None\\]"):
        read_unseen([tmp_path / "new.npz"], DataOptions(), data.shape, data.values)


def test_a_little_below_black_is_warned_of(tmp_path):
    x = RANDOM.random((20, 8, 8))
    x[0, 0, 0] = -0.02
    np.savez(tmp_path / "mine.npz", x=x)
    assert "warning: nothing is near -1, where black would be" in " ".join(load("npz", tmp_path / "mine.npz").notes)


def test_runs_below_the_users_pictures_are_none_of_them(tmp_path):
    write_pictures(tmp_path, count=5)
    (run := tmp_path / "runs" / "bgan_x_1" / "samples").mkdir(parents=True)
    (run / "posterior.png").write_bytes(picture())
    for name in ("config.json", "hypers.txt"):
        (run.parent / name).write_text("{}")
    data = load("image_folder", tmp_path)
    assert data.classes == ("a", "b") and len(data.train) + len(data.test) == 10


def test_parts_may_name_the_same_classes(tmp_path):
    for part in ("Train", "Validation", "Testing"):
        write_pictures(tmp_path / part, count=3)
    assert "warning" not in " ".join(load("image_folder", tmp_path).notes)
