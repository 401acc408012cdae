"""Labels in the many forms that people keep them in, as class numbers with the classes' names."""

import re
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bayesgan.basics.errors import InputError
from bayesgan.data.dataset import UNKNOWN, Dataset

__all__ = ["counted", "in_order", "parts_in_words", "read_labels"]

MOST_CLASSES = 10_000
SHOWN = 12  # classes that a note names
MOST_SHOWN = 100  # classes that are counted part by part
WHOLE = re.compile(r"-?\d+(\.0+)?")
NO_LABEL = ("", "-1", "nan", "none")


def counted(classes: Sequence[str], labels: Tensor) -> str:
    """The classes with how many data each has, in words."""
    counts = labels[labels != UNKNOWN].bincount(minlength=len(classes)).tolist()
    listed = ", ".join(f"{name} ({count})" for name, count in list(zip(classes, counts))[:SHOWN])
    more = f" and {len(classes) - SHOWN} more" if len(classes) > SHOWN else ""
    without = int((labels == UNKNOWN).sum())
    return f"{len(classes)} classes: {listed}{more}" + (f"; {without} without a label" if without else "")


def parts_in_words(data: Dataset) -> list[str]:
    """How many data of each class training and test part have, a line each; none without labels or of many classes."""
    lines = []
    for part in ("train", "test"):
        labels = getattr(data, f"{part}_labels")
        if labels is not None and len(data.classes) <= MOST_SHOWN:
            counts = labels[labels != UNKNOWN].bincount(minlength=len(data.classes)).tolist()
            named = [f"{name} ({count})" for name, count in zip(data.classes, counts)]
            unknown = int((labels == UNKNOWN).sum())
            lines.append(f"{part}: {', '.join([*named, *([f'without a label ({unknown})'] if unknown else [])])}")
    return lines


def in_order(name: str) -> tuple:
    """A sort key: numbers as numbers, words after them."""
    return (0, int(name), name) if name.isdecimal() else (1, 0, name)


def read_labels(given: list[np.ndarray], sizes: list[int], name: str) -> tuple[Tensor, tuple[str, ...], str]:
    """Labels as (n,) class numbers from 0 with -1 for none, the classes' names, and what was understood.

    Accepted are (n,) or (n, 1) numbers, truth values or words, and (n, Y) one-hot rows. -1, NaN and the empty word,
    also as words, are data without a label. Any other values are classes in their order, from 0 or not.

    Args:
        given: One array a part, which are (sizes[0],), (sizes[1],), ... labels.
        name: Of their file, for messages.

    Raises:
        ValueError: For other shapes or fractions, or where nearly every datum would be a class of its own.
    """
    flat, forms, widths = [], [], []  # widths of one-hot rows
    for y, size in zip(given, sizes, strict=True):
        if y.ndim == 2 and y.shape[1] > 1 and y.dtype.kind in "uifb" and len(y) == size:
            if not (np.isin(y, (0, 1)).all() and (y.sum(1) == 1).all()):
                raise InputError(f"{name}: y of shape {y.shape} must be one-hot, a 1 and zeros in every row; or give "
                                 f"{size} class numbers")
            widths.append(y.shape[1])
            y = y.argmax(1)
            forms.append("one-hot rows")
        else:
            forms.append("words" if y.dtype.kind in "US" else "numbers")
        y = y.reshape(len(y)) if y.ndim == 2 and y.shape[1] == 1 else y
        if y.shape != (size,) or y.dtype.kind not in "uifbUS":
            raise InputError(f"{name}: y must be {size} labels, got {y.dtype} of shape {y.shape}; give one a datum")
        flat.append(np.char.strip(y) if y.dtype.kind in "US" else y)
    if len(set(widths)) > 1:
        raise InputError(f"{name}: one-hot labels must have the same columns in all parts, got "
                         f"{' and '.join(map(str, widths))} of them; give class numbers, or a column for every class")
    if len(set(forms)) > 1:
        raise InputError(f"{name}: labels must be of one form in all parts, got {' and '.join(forms)}; convert one")
    y = np.concatenate(flat)
    if y.dtype.kind == "f":
        known = ~np.isnan(y) & (y != -1)
        if not np.isfinite(y[known]).all() or (y[known] % 1).any():
            raise InputError(f"{name}: y holds {y[known][y[known] % 1 != 0][:1]}, no class; give class numbers, "
                             "NaN or -1 where there is none")
        y = np.where(known, y, UNKNOWN).astype(np.int64)
    if y.dtype.kind == "S":
        y = np.char.decode(y, "utf-8", "replace")
    if y.dtype.kind == "U" and all(WHOLE.fullmatch(word) for word in y[~np.isin(np.char.lower(y), NO_LABEL)]):
        y = np.array([re.sub(r"^-(0+)$", r"\1", word.partition(".")[0]) for word in y.tolist()])  # as tables have them
    known = ~np.isin(np.char.lower(y), NO_LABEL) if y.dtype.kind == "U" else y.astype(object) != UNKNOWN
    if y.dtype.kind == "i" and (y[known] < 0).any():
        raise InputError(f"{name}: y holds {y[known].min()}; classes are 0 or more, and -1 is a datum without a label")
    values, numbers = np.unique(y[known], return_inverse=True)
    if len(values) == 0:
        raise InputError(f"{name}: y has no label at all; leave y out")
    if len(values) > (min(MOST_CLASSES, max(2, len(y) // 2)) if known.all() else MOST_CLASSES):
        raise InputError(f"{name}: y has {len(values)} different values for {known.sum()} data, which are no classes; "
                         "give each datum one of a few")
    names = [str(value) for value in values.tolist()]
    order = list(range(len(names)))  # numbers are in their order
    if y.dtype.kind == "U":
        order.sort(key=lambda row: in_order(names[row]))
    labels = torch.full((len(y),), UNKNOWN)
    labels[torch.from_numpy(known)] = torch.tensor(order).argsort()[torch.from_numpy(numbers.reshape(-1))]
    names = tuple(names[row] for row in order)
    return labels, names, ("one-hot rows, " if "one-hot rows" in forms else "") + counted(names, labels)
