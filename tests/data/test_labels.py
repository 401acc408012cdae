"""Labelled subsets: balanced, reproducible, and nothing else readable."""

from dataclasses import replace

import pytest
import torch

from bayesgan.data import DATA_SETS, DataOptions, choose_labels, labelled_rows, with_labels


@pytest.fixture(scope="module")
def digits():
    return DATA_SETS["digits"].load(DataOptions())


def test_a_subset_is_balanced_and_depends_on_its_seed_alone(digits):
    rows = choose_labels(digits, 50, seed=3)
    assert digits.train_labels[rows].bincount().tolist() == [5] * 10 and len(rows.unique()) == 50
    assert torch.equal(rows, choose_labels(digits, 50, seed=3))
    assert not torch.equal(rows, choose_labels(digits, 50, seed=4))


def test_every_image_is_labelled_equally_often(digits):
    """Over 400 draws of 100 labels each image of a class of n is in 400 · 10/n of them, |z| < 5."""
    counts, draws = torch.zeros(len(digits.train)), 400
    for seed in range(draws):
        counts[choose_labels(digits, 100, seed)] += 1
    share = 10 / digits.train_labels.bincount()[digits.train_labels]
    assert ((counts - draws * share) / (draws * share * (1 - share)).sqrt()).abs().max() < 5


def test_all_other_labels_are_gone(digits):
    rows = choose_labels(digits, 20, seed=0)
    hidden = with_labels(digits, rows)
    assert torch.equal(labelled_rows(hidden), rows)
    assert torch.equal(hidden.train_labels[rows], digits.train_labels[rows])
    assert (hidden.train_labels == -1).sum() == len(digits.train) - 20
    with pytest.raises(ValueError, match="labelled rows must be in 0..1437"):
        with_labels(digits, torch.tensor([1438]))
    with pytest.raises(ValueError, match="has no labels here, and the run's data had"):
        with_labels(replace(digits, train_labels=None), rows)


def test_held_out_data_is_fixed_and_disjoint(digits):
    rest = digits.hold_out(0.1)
    assert len(rest.calibration) == 144 and len(rest.train) == len(rest.train_labels) == 1438 - 144
    assert torch.equal(rest.calibration, digits.hold_out(0.1).calibration)
    together = torch.cat([rest.train, rest.calibration]).flatten(1).sort(0).values
    assert torch.equal(together, digits.train.flatten(1).sort(0).values)
    pairs = {tuple(x.flatten().tolist()): y for x, y in zip(digits.train, digits.train_labels.tolist())}
    assert all(pairs[tuple(x.flatten().tolist())] == y for x, y in zip(rest.train, rest.train_labels.tolist()))


@pytest.mark.parametrize("count, changes, words", [
    (101, {}, "--N must be a multiple of the 10 classes to be balanced, got 101; the nearest is 100"),
    (3, {}, "the nearest is 10"), (10_000, {}, "--N must be at most the 1438 training data"),
    (1430, {}, "training data and --N 1430 needs 143 of each class, the test part and .* not counted; use at most --N"),
    (100, {"train_labels": None}, "digits has none; use run_bgan.py"),
    (100, {"test_labels": None}, "no labelled test data"), (10, {"classes": ("0",)}, "at least 2 classes"),
])
def test_what_cannot_be_balanced_is_refused(digits, count, changes, words):
    with pytest.raises(ValueError, match=words):
        choose_labels(replace(digits, **changes), count, 0)


def test_as_many_as_there_are_is_all(digits):
    """An export's card, and a resumed run, name the number that `all` stood for."""
    assert torch.equal(choose_labels(digits, 1438, 0), torch.arange(1438))
    few = with_labels(digits, torch.arange(37))
    assert torch.equal(choose_labels(few, 37, 0), torch.arange(37))
