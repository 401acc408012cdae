"""Which rows a semi-supervised run may read the labels of, and how the labels of all others are hidden from it."""

from dataclasses import replace

import torch
from torch import Tensor

from bayesgan.basics.errors import InputError
from bayesgan.basics.randomness import keyed_generator
from bayesgan.data.dataset import UNKNOWN, Dataset

__all__ = ["ALL", "choose_labels", "labelled_rows", "with_labels"]

ALL = "all"  # in place of a number of labels


def choose_labels(data: Dataset, count: int | str, seed: int) -> Tensor:
    """Rows of a class-balanced random subset of data.train: (count,), ascending; `ALL`, and as many as there are, is
    every row with a label.

    Raises:
        ValueError: If `data` has no labels or no labelled test part, or `count` cannot be balanced.
    """
    if data.train_labels is None:
        raise InputError(
            f"--N {count} labels are asked for and {data.name} has none; use run_bgan.py, or data with labels"
        )
    if data.test_labels is None or len(data.test) == 0:
        raise InputError(f"{data.name} has no labelled test data to measure accuracy on; add some")
    classes = len(data.classes)
    if classes < 2:
        raise InputError(f"a classifier needs at least 2 classes, {data.name} has {classes}; name more with --classes")
    sizes = data.train_labels[labelled_rows(data)].bincount(minlength=classes)
    if (sizes == 0).any():
        raise InputError(f"class {data.classes[int(sizes.argmin())]} has no labelled training data, which nobody can "
                         "learn; name the other classes with --classes, or add labels")
    if count in (ALL, int(sizes.sum())):
        return labelled_rows(data)
    if count % classes:
        nearest = max(1, round(count / classes)) * classes
        raise InputError(
            f"--N must be a multiple of the {classes} classes to be balanced, got {count}; the nearest is {nearest}"
        )
    if count > len(data.train):
        raise InputError(f"--N must be at most the {len(data.train)} training data, got {count}")
    each = count // classes
    if (sizes < each).any():
        scarce = int(sizes.argmin())
        raise InputError(
            f"class {data.classes[scarce]} has {int(sizes[scarce])} labelled training data and --N {count} needs "
            f"{each} of each class, the test part and what --calibration_fraction puts aside not counted; use at most "
            f"--N {int(sizes[scarce]) * classes}, or --N all"
        )
    order = torch.randperm(len(data.train), generator=keyed_generator(seed, "labels"))
    rows = [order[data.train_labels[order] == label][:each] for label in range(classes)]
    return torch.cat(rows).sort().values


def labelled_rows(data: Dataset) -> Tensor:
    """Rows of data.train whose label may be read, ascending."""
    return (data.train_labels != UNKNOWN).nonzero()[:, 0]


def with_labels(data: Dataset, rows: Tensor) -> Dataset:
    """`data` with every training label but those of `rows` replaced by `UNKNOWN`.

    Raises:
        ValueError: If a row does not exist, or there are no labels.
    """
    if data.train_labels is None:
        raise InputError(f"{data.name} has no labels here, and the run's data had; give the data it was trained on")
    if len(rows) == 0 or rows.min() < 0 or rows.max() >= len(data.train):
        raise InputError(f"labelled rows must be in 0..{len(data.train) - 1}, got {rows.tolist()[:5]}")
    labels = torch.full((len(data.train),), UNKNOWN)
    labels[rows] = data.train_labels[rows]
    return replace(data, train_labels=labels)
