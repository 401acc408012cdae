"""Folders of pictures of which only some have a class: what is trained on, what is tested on, what is labelled."""

import pytest
import torch

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
