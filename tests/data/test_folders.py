"""Folders of pictures of which only some have a class: what is trained on, what is tested on, what is labelled."""

import json
import os
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from bayesgan.commands.train import main
from bayesgan.data import DATA_SETS, DataOptions, choose_labels
from bayesgan.data.class_labels import read_labels
from bayesgan.data.dataset import UNKNOWN
from bayesgan.house import main as house
from tests.commands.helpers import TINY, read
from tests.data.files import picture, write_pictures


def load(folder, **options):
    return DATA_SETS["image_folder"].load(DataOptions(data_path=folder, **options))


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
    write_pictures(tmp_path, ("control", "test"), count=10)
    assert load(tmp_path).classes == ("control", "test") and len(load(tmp_path).train) == 18


@pytest.mark.parametrize("held_out", ["test", "Validation"])
def test_train_and_test_folders_without_classes_are_parts(tmp_path, held_out):
    write_pictures(tmp_path, ("train",), count=10)
    write_pictures(tmp_path, (held_out,), count=4)
    data = load(tmp_path)
    assert len(data.train) == 10 and len(data.test) == 4 and data.train_labels is None
    assert f"the test part is in {held_out}" in " ".join(data.notes)


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
    assert "the test part is in TEST" in " ".join(data.notes)


def test_what_is_beside_folders_and_what_is_no_picture_is_said(tmp_path):
    few_labels(tmp_path)
    (tmp_path / "cat" / "0.png").rename(tmp_path / "loose.png")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "film.mp4").write_bytes(b"no picture")
    data = load(tmp_path)
    assert data.classes == ("cat", "dog") and (data.train_labels == UNKNOWN).sum() == 41
    told = " ".join(data.notes)
    assert "read 52 pictures; left out: 1 .mp4, 1 .txt" in told and "cat (5), dog (6); 41 without a label" in told


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


@pytest.mark.parametrize("pixels, told", [
    (np.uint16([60_000, 0]), "values 0..60000, taken for 0..65535"),
    (np.float32([1, -1]), "values -1..1, taken for -1..1"),
    (np.float32([255, 0]), "values 0..255, taken for 0..255"),
])
def test_black_and_white_are_those_of_the_files_not_of_scaled_pictures(tmp_path, pixels, told):
    for number in range(3):
        picture = np.full((16, 16), pixels[1])
        picture[number, ::5] = pixels[0]
        Image.fromarray(picture).save(tmp_path / f"{number}.tif")
    assert told in " ".join(load(tmp_path, image_size=8).notes)


def disc(size, radius):
    """A white disc in the middle of a black oblong picture, its radius as a share of the shorter side."""
    height, width = np.ogrid[:size[1], :size[0]]
    inside = (height - size[1] / 2 + .5) ** 2 + (width - size[0] / 2 + .5) ** 2 < (min(size) * radius) ** 2
    return Image.fromarray(np.where(inside, 255, 0).astype(np.uint8))


def test_a_disc_stays_a_disc(tmp_path):
    for number, size in enumerate(((60, 40), (40, 60), (80, 40))):
        disc(size, 0.3 + 0.05 * number).save(tmp_path / f"{number}.png")
    data = load(tmp_path, image_size=20)
    for image in torch.cat([data.train, data.test])[:, 0] > 127:
        assert image.any(0).sum() == image.any(1).sum() and (image == image.T).all()
    assert "3 were not square and are cut to their middle square" in " ".join(data.notes)
    squashed = load(tmp_path, image_size=20, crop="none")
    assert not all((image == image.T).all() for image in squashed.train[:, 0])
    with pytest.raises(ValueError, match="pictures must have one size: 0.png is 60x40 grey.*--image_size"):
        load(tmp_path)


def test_transparent_pictures_lie_on_the_background_asked_for(tmp_path):
    for number in range(3):
        pixels = np.full((8, 8, 4), 255, np.uint8)
        pixels[:number + 1, :, 3] = 0
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    with pytest.raises(ValueError, match="all 3 pictures are the same on white, .*give another --background"):
        load(tmp_path)
    data = load(tmp_path, background="#400000")
    assert data.train[:, :, 0, 0].tolist() == [[64, 0, 0]] * 3 and data.train[:, :, 7, 7].eq(255).all()
    assert "3 have transparent pixels, which are #400000 now" in " ".join(data.notes)
    with pytest.raises(ValueError, match="--background must be a colour such as white, .*got 'nile'"):
        load(tmp_path, background="nile")


def test_the_kind_of_most_pictures_is_the_kind_of_all(tmp_path):
    red = np.zeros((8, 8, 3), np.uint8)
    red[::2, ::2] = (200, 40, 0)
    grey = np.random.default_rng(0).integers(0, 256, (3, 8, 8)).astype(np.uint8)
    Image.fromarray(red).save(tmp_path / "red.png")
    for number, pixels in enumerate(grey):
        stored = "RGB" if number == 0 else "L"  # no colours in a file that could have some
        Image.fromarray(pixels).convert(stored).save(tmp_path / f"{number}.png")
    data = load(tmp_path)
    everything = torch.cat([data.train, data.test])
    lightness = round(.299 * 200 + .587 * 40)
    assert data.shape == (1, 8, 8) and sum(image[0, 0, 0] == lightness for image in everything) == 1
    assert "1 of 4 are colour and made grey; --channels 3 keeps their colours" in " ".join(data.notes)
    coloured = load(tmp_path, channels=3)
    everything = torch.cat([coloured.train, coloured.test])
    assert sum(image[:, 0, 0].tolist() == [200, 40, 0] for image in everything) == 1
    assert "3 of 4 are grey" in coloured.notes  # nobody who asks for colours is told of greys


def test_a_constant_channel_is_refused(tmp_path):
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3)).astype(np.uint8)
        pixels[..., 2] = 7
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    with pytest.raises(ValueError, match="channel 2 is 7 in all images; make them grey with --channels 1"):
        load(tmp_path)
    assert load(tmp_path, channels=1).shape == (1, 8, 8)


def test_links_to_folders_are_followed_once(tmp_path):
    write_pictures(tmp_path / "elsewhere", ("cat", "dog"), count=5)
    (tmp_path / "data").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).symlink_to(tmp_path / "elsewhere" / name)
    (tmp_path / "data" / "cat" / "loop").symlink_to(tmp_path / "data")
    data = load(tmp_path / "data")
    assert data.classes == ("cat", "dog") and len(data.train) + len(data.test) == 10


def test_a_pipe_among_pictures_does_not_hang(tmp_path):
    write_pictures(tmp_path, count=5)
    os.mkfifo(tmp_path / "a" / "pipe.png")
    assert len(load(tmp_path).train) + len(load(tmp_path).test) == 10


STYLEGAN = [("00000/img0.png", 3), ("00000/img1.png", 3), ("00001/img2.png", 12), ("00001/img3.png", 12)]


@pytest.mark.parametrize("form", ["numbers", "one-hot", "null"])
def test_stylegan_shards_and_their_labels(tmp_path, form):
    """As the data set tool of StyleGAN2-ADA packs them; shards are no classes."""
    labels = {"numbers": [list(pair) for pair in STYLEGAN], "null": None,
              "one-hot": [[name, [float(label == 3), float(label == 12)]] for name, label in STYLEGAN]}[form]
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, _ in STYLEGAN:
            archive.writestr(name, picture())
        archive.writestr("dataset.json", json.dumps({"labels": labels}))
    data = load(path)
    if form == "null":
        assert data.train_labels is None and "dataset.json has no labels" in " ".join(data.notes)
        return
    assert data.classes == (("3", "12") if form == "numbers" else ("0", "1"))
    assert torch.cat([data.train_labels, data.test_labels]).bincount().tolist() == [2, 2]
    assert "2 classes: " in " ".join(data.notes)


@pytest.mark.parametrize(
    "content, words",
    [
        (b"[]", 'must hold {"labels"'),
        (b'{"labels": [["a/0.png"]]}', 'must hold {"labels"'),
        (b'{"labels": [["nowhere.png", 1]]}', "labels nowhere.png, which is not there"),
        (b"{not json", 'must hold {"labels"'),
    ],
)
def test_a_label_file_that_says_something_else(tmp_path, content, words):
    write_pictures(tmp_path, count=3)
    (tmp_path / "dataset.json").write_bytes(content)
    with pytest.raises(ValueError, match=words):
        load(tmp_path)


def test_photos_of_a_phone_as_they_come(tmp_path, capsys):
    """Large and oblong, some turned, upper-case names, films and formats that nobody reads among them."""
    folder = tmp_path / "DCIM" / "100PHOTO"
    folder.mkdir(parents=True)
    for number in range(12):
        pixels = np.zeros((120, 160, 3), np.uint8)
        pixels[:, :, 0] = np.linspace(0, 250, 160)  # dark on the left
        pixels[:, :, 1] = np.linspace(0, 100 + 10 * number, 120)[:, None]
        photo, exif = Image.fromarray(pixels), Image.Exif()
        if number % 2:
            photo, exif[0x0112] = photo.transpose(Image.Transpose.ROTATE_90), 6  # turn it back, says the camera
        photo.save(folder / f"IMG_{number:04}.JPG", exif=exif, quality=95)
    (folder / "IMG_0099.MOV").write_bytes(b"film")
    (folder / "IMG_0100.HEIC").write_bytes(b"no codec")
    arguments = ["data", "image_folder", "--data_path", str(tmp_path / "DCIM"), "--image_size", "32",
                 "--out", str(tmp_path / "grid.png")]
    assert house(arguments) == 0
    told = capsys.readouterr().out
    assert "read 12 pictures; left out: 1 .heic, 1 .mov (convert pictures among them to png or jpg)" in told
    assert "12 were not square and are cut to their middle square" in told
    data = load(tmp_path / "DCIM", image_size=32)
    red = data.train[:, 0].float().mean(1)
    assert (red[:, -1] > red[:, 0] + 100).all(), "a photo lies on its side"
    assert Image.open(tmp_path / "grid.png").size[0] > 32


def test_copies_of_one_picture_are_refused(tmp_path):
    for number in range(3):
        Image.new("L", (8, 8), 90).save(tmp_path / f"{number}.png")
    with pytest.raises(ValueError, match="all 3 data are the same; there is nothing"):
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


def test_all_labels_there_are(tmp_path, capsys):
    few_labels(tmp_path / "pictures", test=True)
    flags = ["--dataset", "image_folder", "--data_path", str(tmp_path / "pictures"), "--out_dir", str(tmp_path / "out")]
    assert main([*TINY, *flags, "--N", "all", "--calibration_fraction", "0"], semi=True) == 0, capsys.readouterr().err
    assert "12 of them labelled, 2 classes" in capsys.readouterr().out
    folder = next((tmp_path / "out").iterdir())
    assert len(read(folder, "labelled.json")["rows"]) == 12 and read(folder, "config.json")["options"]["N"] == 12
    assert main([*TINY, *flags, "--N", "every"], semi=True) == 2
    assert "--N" in capsys.readouterr().err


def test_one_folder_around_all_others_says_nothing(tmp_path):
    for part, count in (("train", 6), ("test", 3)):
        write_pictures(tmp_path / "outer" / "inner" / part, ("cat", "dog"), count=count)
    data = load(tmp_path)
    assert data.classes == ("cat", "dog") and data.test_labels.bincount().tolist() == [3, 3]


def test_what_lies_beside_parts_is_refused(tmp_path):
    for part in ("train", "val", "extra"):
        write_pictures(tmp_path / part, ("cat", "dog"), count=3)
    with pytest.raises(ValueError, match="has the parts train, val and extra beside them, which is neither"):
        load(tmp_path)


def test_folders_in_unlabelled_are_no_classes(tmp_path):
    write_pictures(tmp_path, ("cat", "dog"), count=6)
    write_pictures(tmp_path / "unlabelled", ("roll 1", "roll 2"), count=4)
    data = load(tmp_path)
    assert data.classes == ("cat", "dog") and (data.train_labels == UNKNOWN).sum() == 8


def test_a_link_to_a_class_beside_it_leaves_that_class_alone(tmp_path):
    write_pictures(tmp_path, ("b", "c"), count=3)
    (tmp_path / "a").symlink_to(tmp_path / "b")
    assert load(tmp_path).classes == ("a", "b", "c")


def test_a_flat_folder_test_among_classes_is_warned_of(tmp_path):
    write_pictures(tmp_path, ("cat", "dog", "test"), count=5)
    assert "warning: test is taken for a class, put its pictures into test/CLASS" in " ".join(load(tmp_path).notes)


def test_one_class_in_several_folders_is_warned_of(tmp_path):
    for above in ("cat", "dog"):
        write_pictures(tmp_path / above, ("s1", "s2"), count=5)
    assert "warning: s1 in cat and in dog are taken for one class" in " ".join(load(tmp_path).notes)
    (tmp_path / "cat").rename(tmp_path / "train")
    (tmp_path / "dog").rename(tmp_path / "test")
    assert "warning" not in " ".join(load(tmp_path).notes)


@pytest.mark.parametrize("names, asked, found", [(("00", "01", "10"), 10, "10"), (("1", "01", "2"), 2, "2")])
def test_classes_that_are_numbers_with_zeros_before_them(tmp_path, names, asked, found):
    """Where two are the same number, --classes counts them, the same in every process."""
    write_pictures(tmp_path, names, count=5)
    data = load(tmp_path)
    assert data.classes == tuple(sorted(names, key=lambda name: (int(name), name)))
    assert data.only([asked]).classes == (found,)
    with pytest.raises(ValueError, match="got 7"):
        data.only([7])


def test_films_and_opaque_pictures_are_what_they_are(tmp_path):
    frames = [Image.fromarray(np.random.default_rng(n).integers(0, 256, (8, 8)).astype(np.uint8)) for n in range(3)]
    frames[0].save(tmp_path / "0.gif", save_all=True, append_images=frames[1:])
    frames[1].save(tmp_path / "1.png")
    frames[2].convert("RGBA").save(tmp_path / "2.png")
    told = " ".join(load(tmp_path, channels=1).notes)
    assert "1 files hold several pictures, of which the first is read" in told and "transparent" not in told


def test_pictures_that_nobody_reads_are_to_be_converted(tmp_path):
    (tmp_path / "IMG_1.HEIC").write_bytes(b"no codec")
    with pytest.raises(ValueError, match="no pictures .*; convert those in .heic to png or jpg"):
        load(tmp_path)


def test_floats_in_a_tiff_that_are_none_are_refused(tmp_path):
    pixels = np.random.default_rng(0).random((8, 8)).astype(np.float32)
    Image.fromarray(pixels).save(tmp_path / "0.tif")
    pixels[0, 0] = np.nan
    Image.fromarray(pixels).save(tmp_path / "1.tif")
    with pytest.raises(ValueError, match="cannot read the picture 1.tif .it holds NaN"):
        load(tmp_path, value_range=(0, 1))


def test_a_class_that_only_the_test_part_has_cannot_be_learnt(tmp_path):
    write_pictures(tmp_path / "train", ("cat", "dog"), count=6)
    write_pictures(tmp_path / "test", ("cat", "dog", "emu"), count=3)
    for count in (6, "all"):
        with pytest.raises(ValueError, match="class emu has no labelled training data.*--classes, or add labels"):
            choose_labels(load(tmp_path), count, seed=0)


@pytest.mark.parametrize("train, test, tested, words", [
    (["train/unlabelled"], ["test/unlabelled"], 6, "the test part is in test"),
    (["train"], ["test/unlabelled"], 6, "the test part is in test"),
    (["train/a", "train/b"], ["test/unlabelled"], 0,
     "6 pictures of it have no class and are left out; the test part is cut off here"),
    (["train/a", "train/b", "train/unlabelled"], ["test/a", "test/b", "test/unlabelled"], 12, "6 pictures of it"),
    (["a", "b"], ["test/a", "test/b", "test/unlabelled"], 12, "6 pictures of it have no class and are left out"),
])
def test_no_picture_of_the_test_part_is_trained_on_also_where_it_has_no_class(tmp_path, train, test, tested, words):
    """Without classes all are tested on; beside classes those without one are left out, which is said."""
    write_pictures(tmp_path, train, count=6)
    write_pictures(tmp_path, test, count=6)
    data = load(tmp_path)
    own = [np.asarray(Image.open(file)).tobytes() for file in (tmp_path / "test").rglob("*.png")]
    trained, held = ({image.numpy().tobytes() for image in part} for part in (data.train, data.test))
    assert trained.isdisjoint(own) and len(held.intersection(own)) == tested
    assert words in " ".join(data.notes)


def test_unlabelled_pictures_train_whatever_folders_they_are_in(tmp_path):
    write_pictures(tmp_path, ("a", "b", "unlabelled/test/c"), count=10)
    data = load(tmp_path)
    assert len(data.train) + len(data.test) == 30 and (data.train_labels == UNKNOWN).sum() == 10


def test_a_folder_around_the_classes_of_every_part_is_passed_over(tmp_path):
    for part in ("train", "test"):
        write_pictures(tmp_path / part / "images", ("cat", "dog"), count=6)
    data = load(tmp_path)
    assert data.classes == ("cat", "dog") and len(data.train) == len(data.test) == 12


def test_folders_that_become_one_class_of_a_part_are_warned_of(tmp_path):
    for part in ("train", "test"):
        write_pictures(tmp_path / part, ("animals/cat", "animals/dog", "things/car"), count=6)
    data = load(tmp_path)
    assert data.classes == ("animals", "things")
    assert "warning: train/animals/cat and train/animals/dog are taken for one class, animals" in " ".join(data.notes)


def test_the_folders_of_the_test_part_are_named(tmp_path):
    for top, name in (("x", "cat"), ("y", "dog")):
        write_pictures(tmp_path / top / "train", (name,), count=6)
        write_pictures(tmp_path / top / "test", (name,), count=6)
    assert "the test part is in x/test and y/test" in " ".join(load(tmp_path).notes)


def test_words_that_are_whole_floats_are_numbers():
    """As a column of whole numbers with gaps becomes text."""
    labels, names, _ = read_labels([np.array(["1.0", "-1.0", "10.0", "2.0", "nan"])], [5], "mine")
    assert names == ("1", "2", "10") and labels.tolist() == [0, UNKNOWN, 2, 1, UNKNOWN]
    assert read_labels([np.array(["v1.0", "v2.0"] * 3)], [6], "mine")[1] == ("v1.0", "v2.0")


@pytest.mark.parametrize("words, classes", [
    (["1.0", "1", "2", "2.0"], ("1", "2")), (["-0.0", "0.0", "1.0"], ("0", "1")), (["01", "2", "01"], ("01", "2"))])
def test_words_of_one_whole_number_are_one_class(words, classes):
    assert read_labels([np.array(words * 3)], [3 * len(words)], "mine")[1] == classes


def test_a_folder_around_the_classes_of_every_part_is_passed_over_beside_unlabelled_pictures(tmp_path):
    for part in ("train", "test"):
        write_pictures(tmp_path / part / "images", ("cat", "dog"), count=6)
    write_pictures(tmp_path / "train", ("unlabelled",), count=9)
    data = load(tmp_path)
    assert data.classes == ("cat", "dog") and len(data.train) == 21 and len(data.test) == 12
