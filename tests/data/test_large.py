"""CelebA and ImageNet in the layouts they are published in, made small: sizes, crops, parts, and a run of each."""

import tracemalloc

import numpy as np
import pytest
import torch

from bayesgan.commands.train import main as train
from bayesgan.data import arrays, imagenet, svhn
from bayesgan.data.values import as_bytes
from bayesgan.house import main
from bayesgan.options import Options, load_data
from tests.commands.helpers import TINY
from tests.data.files import (
    load,
    write_celeba,
    write_imagenet,
    write_photo,
    write_pictures,
    write_small_imagenet,
    write_svhn,
)

SMALL = [*TINY, "--train_iter", "4", "--n_save", "2", "--log_every", "2"]


@pytest.mark.parametrize("side", [32, 64])
def test_celeba_is_cropped_to_the_face_and_parted_as_published(side, tmp_path):
    colours = write_celeba(tmp_path)
    data = load("image_folder", tmp_path / "celeba", image_size=side)
    assert data.shape == (3, side, side) and (len(data.train), len(data.test)) == (35, 5)
    assert data.train_labels is None
    assert "list_eval_partition.txt calls 2" in " ".join(data.notes)
    assert "40 were not square and are cut to their middle square" in " ".join(data.notes)
    middle = data.test[:, :, side // 2, side // 2].float()
    assert (middle - torch.tensor(colours[35:])).abs().max() < 12  # a JPEG's rounding
    row = (data.test[0, :, side // 2].float() - torch.tensor(colours[35]).float()[:, None]).abs().amax(0) < 12
    assert abs(row.sum() - side / 2) <= 3  # a disc of half the shorter side: not squashed


@pytest.mark.parametrize("change, words", [
    (lambda text: text.replace("000007.jpg 0\n", ""), "says nothing of 000007.jpg"),
    (lambda text: text.replace("000007.jpg 0", "000007.jpg 3"), "000007.jpg 3.*be a picture's name and 0, 1 or 2"),
    (lambda text: text.replace(" 0", " 2").replace(" 1\n", " 2\n"), "calls all 40 pictures 2, the test"),
])
def test_a_partition_that_does_not_fit_is_one_line(change, words, tmp_path):
    write_celeba(tmp_path)
    file = tmp_path / "celeba" / "list_eval_partition.txt"
    file.write_text(change(file.read_text()))
    with pytest.raises(ValueError, match=words):
        load("image_folder", tmp_path / "celeba", image_size=32)


def test_an_attribute_of_celeba_is_the_class(tmp_path):
    red = torch.tensor(write_celeba(tmp_path)[:, 0] > 127).long()
    data = load("image_folder", tmp_path / "celeba", image_size=32, attribute="Smiling")
    assert data.classes == ("not Smiling", "Smiling") and "(" in data.notes[-1]
    assert torch.equal(data.train_labels, red[:35]) and torch.equal(data.test_labels, red[35:])


@pytest.mark.parametrize("change, words", [
    (lambda text: text.replace("Smiling", "Bald"), "--attribute must be one of .*got 'Smiling'; it has Arched_Eye"),
    (lambda text: text.replace("000007.jpg -1", "000007.jpg"), "begins with '000007.jpg'.*for each of 3 attributes"),
    (lambda text: text.replace("000007.jpg", "700000.jpg"), "says nothing of 000007.jpg"),
    (lambda text: "", "list_attr_celeba.txt is empty; download it again"),
    (None, "needs CelebA's list_attr_celeba.txt, which is not in"),
])
def test_attributes_that_do_not_fit_are_one_line(change, words, tmp_path):
    write_celeba(tmp_path)
    file = tmp_path / "celeba" / "list_attr_celeba.txt"
    file.unlink() if change is None else file.write_text(change(file.read_text()))
    with pytest.raises(ValueError, match=words):
        load("image_folder", tmp_path / "celeba", image_size=32, attribute="Smiling")


@pytest.mark.parametrize("kept, tested, words", [
    (range(1, 21), 2, "list_eval_partition.txt calls all 20 pictures 0; the test part is cut off here"),
    (range(21, 36), 5, "the test part is what list_eval_partition.txt calls 1"),
    (range(26, 41), 5, "the test part is what list_eval_partition.txt calls 2"),
])
def test_the_parts_of_a_subset_are_those_of_its_pictures(kept, tested, words, tmp_path):
    """Beside the whole list, as whoever takes some of CelebA has it."""
    write_celeba(tmp_path)
    for path in (tmp_path / "celeba" / "img_align_celeba").iterdir():
        if int(path.stem) not in kept:
            path.unlink()
    data = load("image_folder", tmp_path / "celeba", image_size=32)
    assert len(data.test) == tested and words in data.notes[-1]


@pytest.mark.parametrize("name", ["list_eval_partition.txt", "list_attr_celeba.txt"])
def test_a_list_is_there_once(name, tmp_path):
    write_celeba(tmp_path)
    text = (tmp_path / "celeba" / name).read_text()
    for place in ("copy", ".hidden"):
        (tmp_path / "celeba" / place).mkdir()
        (tmp_path / "celeba" / place / name).write_text(text)
    with pytest.raises(ValueError, match=f"{name} must be there once, got 2: copy/{name} and {name}; keep one"):
        load("image_folder", tmp_path / "celeba", image_size=32, attribute="Smiling")


def test_lists_that_an_editor_saved_read_as_published(tmp_path):
    """A mark before the first line, blank lines, a carriage return at each end."""
    write_celeba(tmp_path)
    before = load("image_folder", tmp_path / "celeba", image_size=32, attribute="Smiling")
    for name in ("list_eval_partition.txt", "list_attr_celeba.txt"):
        file = tmp_path / "celeba" / name
        file.write_bytes(("\n \n" + file.read_text()).replace("\n", "\r\n\t\r\n").encode("utf-8-sig"))
    after = load("image_folder", tmp_path / "celeba", image_size=32, attribute="Smiling")
    assert torch.equal(before.test, after.test) and torch.equal(before.train_labels, after.train_labels)


def test_without_a_test_part_the_validation_part_is_held_out(tmp_path):
    write_celeba(tmp_path)
    file = tmp_path / "celeba" / "list_eval_partition.txt"
    file.write_text(file.read_text().replace(" 2\n", " 0\n"))
    assert len(load("image_folder", tmp_path / "celeba", image_size=32).test) == 5


@pytest.mark.parametrize("side", [32, 64])
def test_imagenet_in_class_folders(side, tmp_path):
    write_imagenet(tmp_path)
    data = load("image_folder", tmp_path, image_size=side)
    assert data.classes == ("n01440764", "n01443537", "n01484850") and data.shape == (3, side, side)
    assert data.train_labels.bincount().tolist() == [10, 10, 10] and data.test_labels.bincount().tolist() == [4, 4, 4]
    middle = data.test[:, :, side // 2, side // 2].float()
    assert (middle.argmax(1) == data.test_labels).all()


def test_imagenets_validation_pictures_without_folders_are_refused(tmp_path):
    """As the archive has them: their classes are in the devkit."""
    write_imagenet(tmp_path)
    for path in list((tmp_path / "val").glob("*/*")):
        path.rename(tmp_path / "val" / path.name.replace("val_", f"val_{path.parent.name}"))
    with pytest.raises(ValueError, match="pictures in val need a folder of their class.*move them into val/CLASS"):
        load("image_folder", tmp_path, image_size=32)


@pytest.mark.parametrize("side", [32, 64])
def test_downsampled_imagenet_as_published(side, tmp_path):
    first = write_small_imagenet(tmp_path, side)
    data = load("imagenet", tmp_path)
    assert data.shape == (3, side, side) and len(data.train) == 60 and len(data.test) == 30
    assert np.array_equal(data.train[:30].reshape(30, -1).numpy(), first)
    assert data.train_labels[:3].tolist() == [0, 33, 66] and data.classes[33] == "34" and len(data.classes) == 1000
    assert load("imagenet", tmp_path, image_size=16).shape == (3, 16, 16)


def test_what_is_not_downsampled_imagenet_is_one_line(tmp_path):
    with pytest.raises(ValueError, match="got 0 train_data_batch_<n>.npz and 0 val_data.npz"):
        load("imagenet", tmp_path)
    write_small_imagenet(tmp_path, 32)
    write_small_imagenet(tmp_path, 64)
    with pytest.raises(ValueError, match="got 4 train_data_batch_<n>.npz and 2 val_data.npz"):
        load("imagenet", tmp_path)
    place = tmp_path / "Imagenet32_val_npz" / "val_data.npz"
    (tmp_path / "Imagenet64_val_npz" / "val_data.npz").unlink()
    with pytest.raises(ValueError, match="images of 32 and 64 pixels a side"):
        load("imagenet", tmp_path)
    for bad in ({"data": np.zeros((3, 3072), np.uint8), "labels": np.zeros(3, int)},
                {"data": np.zeros((3, 3072), np.float32), "labels": np.ones(3, int)},
                {"data": np.zeros((3, 100), np.uint8), "labels": np.ones(3, int)}, {"x": np.zeros(3)},
                {"data": np.uint8(3), "labels": np.ones(1, int)}, {"data": np.zeros((3, 3072), np.uint8)},
                {"data": np.zeros((30, 0), np.uint8), "labels": np.ones(30, int)},
                {"data": np.zeros((0, 3072), np.uint8), "labels": np.ones(0, int)}):
        np.savez(place, **bad)
        with pytest.raises(ValueError, match="is not of downsampled ImageNet"):
            load("imagenet", tmp_path)


@pytest.mark.parametrize("image_size, needed", [(None, 5 * 30 * 3 * 64 * 64), (16, 5 * 30 * 3 * 16 * 16)])
def test_batches_that_are_too_much_together_are_refused_before_one_is_read(image_size, needed, tmp_path, monkeypatch):
    """Of two batches and a test part the batches are held twice: as read, and joined."""
    write_small_imagenet(tmp_path, 64)
    monkeypatch.setattr(arrays, "room", lambda device: needed)
    monkeypatch.setattr(imagenet, "read_arrays", lambda path: pytest.fail("a batch was read"))
    with pytest.raises(pytest.fail.Exception):
        load("imagenet", tmp_path, image_size=image_size)
    monkeypatch.setattr(arrays, "room", lambda device: needed - 1)
    with pytest.raises(ValueError, match="GiB of memory are free; give fewer data, or smaller images"):
        load("imagenet", tmp_path, image_size=image_size)


@pytest.mark.parametrize("name, write, extra, side", [
    ("image_folder", write_celeba, [], "64"), ("image_folder", write_imagenet, [], "32"),
    ("image_folder", write_celeba, ["--N", "4", "--attribute", "Smiling"], "32"),
    ("image_folder", write_imagenet, ["--N", "6"], "64"), ("imagenet", write_small_imagenet, [], "64"),
    ("svhn", write_svhn, [], "64"), ("svhn", write_svhn, ["--N", "20"], "32"),
])
def test_a_few_iterations_of_each(name, write, extra, side, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    published = write(tmp_path / "data", **({"sizes": (60, 20)} if name == "svhn" else {}))
    if name == "svhn":
        monkeypatch.setattr(svhn, "MD5", published)
    semi = bool(extra)
    flags = ["--dataset", name, "--data_path", str(tmp_path / "data"), "--image_size", side, "--out_dir",
             str(tmp_path / "out"), *extra, *(["--no_supervised", "--spread_labels", "0"] if semi else [])]
    assert train([*SMALL, *flags], semi) == 0
    (folder,) = (tmp_path / "out").glob("bgan_*")
    assert (folder / "samples" / "posterior.png").exists()


def test_data_says_what_it_sees_of_celeba(tmp_path, capsys):
    write_celeba(tmp_path)
    write_photo(tmp_path / "celeba" / "img_align_celeba" / "000041.jpg", (178, 218), (0, 0, 0))
    line = ["data", "image_folder", "--data_path", str(tmp_path / "celeba"), "--image_size", "32"]
    assert main(line) == 2
    assert "says nothing of 000041.jpg" in capsys.readouterr().err


@pytest.mark.parametrize("side, told", [(128, "images of 128x128 cost about 4 times those of 64x64"), (64, None)])
def test_a_cpu_is_offered_smaller_images_where_they_are_large(side, told, tmp_path, capsys):
    write_pictures(tmp_path / "data", size=(side, side))
    flags = ["--dataset", "image_folder", "--data_path", str(tmp_path / "data"), "--dry_run"]
    assert train([*SMALL, *flags]) == 0
    out = capsys.readouterr().out
    assert told in out if told else "quicker start" not in out
    assert train([*SMALL, *flags, "--image_size", str(side)]) == 0
    assert "quicker start" not in capsys.readouterr().out  # who asked for the size knows it


def test_images_of_floats_take_little_more_than_themselves():
    """Doubles of all at once were eight times the bytes, four times over."""
    images = np.random.default_rng(0).integers(0, 256, (20_000, 16, 16)).astype(np.float32)
    tracemalloc.start()
    found = as_bytes(images / 255, 0, 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found == images).all() and peak < images.nbytes + found.nbytes + 40e6


@pytest.mark.parametrize("shape", [(8, 8), (9,)])
def test_data_that_do_not_fit_are_not_called_damaged(shape, tmp_path, monkeypatch):
    np.savez(tmp_path / "mine.npz", x=np.zeros((30, *shape)))
    monkeypatch.setattr(np, "load", refuse_memory)
    with pytest.raises(ValueError, match="reading npz needs more memory than there is; give fewer data"):
        load_data(Options(dataset="npz", data_path=tmp_path / "mine.npz"))


def refuse_memory(*arguments, **keywords):
    raise MemoryError("Unable to allocate 229. MiB")
