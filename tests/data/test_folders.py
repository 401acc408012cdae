"""Folders of pictures of which only some have a class: what is trained on, what is tested on, what is labelled."""

import numpy as np
import pytest
import torch
from PIL import Image

from bayesgan.commands.train import main
from bayesgan.data import DATA_SETS, DataOptions, choose_labels
from bayesgan.data.dataset import UNKNOWN
from tests.commands.helpers import TINY, read
from tests.data.files import write_pictures


def load(folder):
    return DATA_SETS["image_folder"].load(DataOptions(data_path=folder))


def few_labels(folder, spelling="unlabelled", test=False):
    write_pictures(folder, ("cat", "dog"), count=6)
    write_pictures(folder, (spelling,), count=40)
    if test:
        write_pictures(folder / "test", ("cat", "dog"), count=7)


@pytest.mark.parametrize("spelling", ["unlabelled", "unlabeled"])
def test_unlabelled_pictures_are_trained_on_and_a_fifth_of_the_labelled_is_tested_on(tmp_path, spelling):
    few_labels(tmp_path, spelling)
    data = load(tmp_path)
    assert data.classes == ("cat", "dog") and len(data.train) == 50 and data.test_labels.tolist() == [0, 1]
    assert (data.train_labels == UNKNOWN).sum() == 40 and data.train_labels.clamp_min(0).sum() == 5
    assert torch.equal(load(tmp_path).test, data.test)


def test_a_folder_named_test_is_what_is_tested_on(tmp_path):
    few_labels(tmp_path, test=True)
    data = load(tmp_path)
    assert data.test_labels.bincount().tolist() == [7, 7] and len(data.train) == 52
    assert data.train_labels[data.train_labels >= 0].bincount().tolist() == [6, 6]


def test_a_class_named_test_is_a_class(tmp_path):
    write_pictures(tmp_path, ("test", "train"), count=10)
    assert load(tmp_path).classes == ("test", "train") and len(load(tmp_path).train) == 18


def test_nothing_to_train_on_is_refused(tmp_path):
    write_pictures(tmp_path / "test", ("cat", "dog"), count=3)
    with pytest.raises(ValueError, match="holds pictures in its folder test alone; name the folder above it"):
        load(tmp_path)


def test_pictures_right_in_test_are_refused_where_they_cannot_be_a_class(tmp_path):
    few_labels(tmp_path)
    write_pictures(tmp_path, ("test",), count=2)
    with pytest.raises(ValueError, match="pictures in test need a folder of their class, got test/0.png; move them"):
        load(tmp_path)


def test_held_out_data_cost_no_label_and_labels_are_chosen_among_the_labelled(tmp_path):
    few_labels(tmp_path)
    data = load(tmp_path).hold_out(0.5)
    assert len(data.calibration) == 25 and (data.train_labels >= 0).sum() == 10
    rows = choose_labels(data, 10, seed=0)
    assert data.train_labels[rows].bincount().tolist() == [5, 5]
    with pytest.raises(ValueError, match="class cat has 5 labelled training data and --N 12 needs 6 of each class"):
        choose_labels(data, 12, seed=0)


def test_train_validation_and_test_folders_are_parts(tmp_path):
    for part, count in (("Train", 6), ("val", 3), ("TEST", 4)):
        write_pictures(tmp_path / part, ("10", "9"), count=count)
    data = load(tmp_path)
    assert data.classes == ("9", "10") and data.test_labels.bincount().tolist() == [4, 4]
    assert data.train_labels.bincount().tolist() == [9, 9], "what is in val is trained on"
    assert "the test part is a folder of its own" in " ".join(data.notes)


def test_what_is_beside_folders_and_what_is_no_picture_is_said(tmp_path):
    few_labels(tmp_path)
    (tmp_path / "cat" / "0.png").rename(tmp_path / "loose.png")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "film.mp4").write_bytes(b"no picture")
    data = load(tmp_path)
    assert data.classes == ("cat", "dog") and (data.train_labels == UNKNOWN).sum() == 41
    told = " ".join(data.notes)
    assert "read 52 pictures; left out: 1 .mp4, 1 .txt" in told and "cat (5), dog (6); 41 without a class" in told


def test_a_photo_is_turned_as_its_camera_says(tmp_path):
    picture = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    for number, suffix in enumerate(("png", "tif", "webp")):
        picture.save(tmp_path / f"{number}.{suffix}", exif=exif, **({"lossless": True} if suffix == "webp" else {}))
    picture.save(tmp_path / "3.gif")
    data = load(tmp_path)
    everything = torch.cat([data.train, data.test])[:, 0]
    turned = torch.arange(63, -1, -1, dtype=torch.uint8).view(8, 8)
    assert sum(torch.equal(image, turned) for image in everything) == 3 and len(everything) == 4
    assert any(torch.equal(image, turned.flip(0, 1)) for image in everything)


def test_greys_of_twelve_bits_keep_their_levels(tmp_path):
    levels = np.linspace(0, 4095, 64).astype(np.uint16).reshape(8, 8)
    for number in range(3):
        Image.fromarray(np.roll(levels, number)).save(tmp_path / f"{number}.png")
    data = load(tmp_path)
    assert len(data.train.unique()) == 64 and "taken for 0..4095" in " ".join(data.notes)


def test_copies_of_one_picture_are_refused(tmp_path):
    for number in range(3):
        Image.new("L", (8, 8), 90).save(tmp_path / f"{number}.png")
    with pytest.raises(ValueError, match="all 3 pictures are the same"):
        load(tmp_path)


def test_some_classes_of_a_partly_labelled_folder(tmp_path):
    few_labels(tmp_path)
    assert load(tmp_path).only([1]).train_labels.sort().values.tolist() == [UNKNOWN] * 40 + [0] * 5


def test_a_partly_labelled_folder_from_the_command_line(tmp_path, capsys):
    few_labels(tmp_path / "pictures", test=True)
    flags = ["--dataset", "image_folder", "--data_path", str(tmp_path / "pictures"), "--out_dir", str(tmp_path / "out")]
    assert main([*TINY, *flags, "--N", "12"], semi=True) == 0, capsys.readouterr().err
    text = capsys.readouterr().out
    assert "12 of them labelled, 2 classes" in text and "the teacher" in text and "label spreading" in text
    folder = next((tmp_path / "out").iterdir())
    assert len(read(folder, "labelled.json")["rows"]) == 12
    figures = read(folder, "evaluation/figures.json")
    assert {"averaged weights", "label spreading"} <= set(figures) and figures["averaged weights"]["errors"] <= 14
