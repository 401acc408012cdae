"""The user's own arrays in an .npz file."""

import tokenize
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bayesgan.basics.errors import InputError
from bayesgan.data.dataset import (
    DATA_SETS,
    UNKNOWN,
    DataOptions,
    Dataset,
    DataSource,
    a_share_of_each_class,
    images_tensor,
    split,
    standardise,
    to_float,
)
from bayesgan.data.values import as_bytes, value_scale

__all__ = []

MOST_CLASSES = 10_000
SHOWN = 12  # classes that a note names
# part -> the names it goes by, of which a file may have one; numpy's own names where there is no other
NAMES = {
    "x": ("x", "x_train", "X", "X_train", "images", "train_images", "data"),
    "y": ("y", "y_train", "labels", "train_labels", "targets"),
    "x_test": ("x_test", "X_test", "test_images"),
    "y_test": ("y_test", "test_labels"),
}
UNNAMED = {"x": "arr_0", "y": "arr_1"}


def find_file(path: Path) -> Path:
    """`path` itself, or the only .npz in it."""
    if path.is_file():
        return path
    files = sorted(path.glob("*.npz")) if path.is_dir() else []
    if len(files) != 1:
        raise InputError(f"{path} must be an .npz file or a folder with one, found {len(files)}; "
                         "--data_path names the file")
    return files[0]


def npz(options: DataOptions) -> Dataset:
    """`x`: images (N, H, W), (N, H, W, C) or (N, C, H, W), or vectors (N, D); `y`: labels, optional.

    `x_test` and `y_test` are the test part; without them a tenth of all data is, or a fifth of the labelled where
    others have no label. See NAMES for other names, `value_scale` for values, `read_labels` for labels.
    """
    path = find_file(options.data_path)
    parts, notes = named_parts(read_arrays(path), path)
    for name, array in parts.items():
        if name.startswith("x"):
            check_numbers(array, f"{path}: {name}")
    train, test = parts["x"], parts.get("x_test")
    if test is not None and test.shape[1:] != train.shape[1:]:
        raise InputError(f"{path}: x_test must be data like x, got {test.shape} and {train.shape}")
    if ("y_test" in parts) != (test is not None and "y" in parts):
        raise InputError(f"{path}: x, y, x_test and y_test belong together, got {sorted(parts)}; leave out labels or "
                         "add the missing array")
    both = [train] if test is None else [train, test]
    labels, classes = None, ()
    if "y" in parts:
        given = [parts["y"]] if test is None else [parts["y"], parts["y_test"]]
        labels, classes, note = read_labels(given, [len(array) for array in both], path)
        notes.append(note)
    if train.ndim == 2:
        data = torch.from_numpy(np.concatenate(both).astype(np.float64))
    else:
        both = [channels_last(array, path) for array in both]
        black, white, note = value_scale(both, options.value_range)
        notes.append(note)
        images = np.concatenate([as_bytes(array, black, white) for array in both])
        data = images_tensor(images, options.image_size)
    if (data == data[:1]).all():
        raise InputError(f"{path}: all {len(data)} data are the same; there is nothing to learn from copies of one")
    dataset = cut(data, labels, classes, len(train))
    if not (to_float(dataset.train).isfinite().all() and to_float(dataset.test).isfinite().all()):
        raise InputError(f"{path}: x overflows when it is standardised; scale it down")
    return replace(dataset, notes=tuple(notes))


def cut(data: Tensor, labels: Tensor | None, classes: tuple[str, ...], train: int) -> Dataset:
    """Training and test part: the first `train` data and the others, or as `npz` says where there are no others."""
    if train < len(data):
        apart = torch.arange(len(data)) >= train
    elif labels is not None and (labels == UNKNOWN).any():
        apart = a_share_of_each_class(labels, 0.2)
    else:
        return split(data, labels, 0.1, "npz", classes)
    if data.dim() == 2:
        data = standardise(data, data[~apart])
    of_train, of_test = (None, None) if labels is None else (labels[~apart], labels[apart])
    return Dataset("npz", data[~apart], data[apart], of_train, of_test, classes)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Everything in the file; only plain arrays are read."""
    try:
        stored = np.load(path, allow_pickle=False)
        if not isinstance(stored, np.lib.npyio.NpzFile):
            raise ValueError("it is a single array, .npy")
        with stored:
            return {name: np.asarray(stored[name], order="C") for name in stored.files}
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile, zlib.error, tokenize.TokenError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} is not a readable .npz of plain arrays ({reason}); object arrays are refused, "
                         "save numbers with np.savez(file, x=..., y=...)") from None


def named_parts(arrays: dict[str, np.ndarray], path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays under the names x, y, x_test, y_test; and which were called otherwise or are left out."""
    found = {}
    for part, names in NAMES.items():
        here = [name for name in names if name in arrays]
        if len(here) > 1:
            raise InputError(f"{path} has both {here[0]!r} and {here[1]!r}, and either could be {part}; keep one")
        if here:
            found[part] = here[0]
    if "x" not in found:
        found = {part: name for part, name in UNNAMED.items() if name in arrays}
    if "x" not in found:
        raise InputError(
            f"{path} has no array 'x', only {sorted(arrays)}; save with np.savez(file, x=images, y=labels)"
        )
    notes = [f"{name} is {part}" for part, name in found.items() if name != part]
    left = sorted(set(arrays) - set(found.values()))
    if left:
        notes.append(f"not read: {', '.join(left)}")
    return {part: arrays[name] for part, name in found.items()}, notes


def check_numbers(x: np.ndarray, name: str) -> None:
    """Raises InputError where data are no numbers or too few."""
    if x.dtype.kind not in "uifb" or x.ndim < 2 or len(x) < 2 or x.size == 0:
        raise InputError(f"{name} must hold at least 2 rows of real numbers, got {x.dtype} of shape {x.shape}")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise InputError(f"{name} has non-finite values; remove those rows")


def channels_last(x: np.ndarray, path: Path) -> np.ndarray:
    """Images of any accepted layout as (N, H, W[, C])."""
    if x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[3] not in (1, 3):
        x = x.transpose(0, 2, 3, 1)
    if x.ndim not in (3, 4) or x.shape[1] != x.shape[2] or (x.ndim == 4 and x.shape[3] not in (1, 3)):
        raise InputError(f"{path}: x must be (N, D), (N, H, H), (N, H, H, C) or (N, C, H, H) with C 1 or 3, "
                         f"got {x.shape}")
    return x


def read_labels(given: list[np.ndarray], sizes: list[int], path: Path) -> tuple[Tensor, tuple[str, ...], str]:
    """Labels as (n,) class numbers from 0 with -1 for none, the classes' names, and what was understood.

    Accepted are (n,) or (n, 1) numbers, truth values or words, and (n, Y) one-hot rows. -1, NaN and the empty word are
    data without a label. Any other values are classes in their order, whether or not they begin at 0.

    Raises:
        ValueError: For other shapes or fractions, or where nearly every datum would be a class of its own.
    """
    flat, how = [], ""
    for y, size in zip(given, sizes, strict=True):
        if y.ndim == 2 and y.shape[1] > 1 and y.dtype.kind in "uifb" and len(y) == size:
            if not (np.isin(y, (0, 1)).all() and (y.sum(1) == 1).all()):
                raise InputError(f"{path}: y of shape {y.shape} must be one-hot, a 1 and zeros in every row; or give "
                                 f"{size} class numbers")
            y, how = y.argmax(1), "one-hot rows, "
        y = y.reshape(len(y)) if y.ndim == 2 and y.shape[1] == 1 else y
        if y.shape != (size,) or y.dtype.kind not in "uifbUS":
            raise InputError(f"{path}: y must be {size} labels, got {y.dtype} of shape {y.shape}; give one a datum")
        flat.append(y)
    y = np.concatenate(flat)
    if y.dtype.kind == "f":
        known = ~np.isnan(y) & (y != -1)
        if not np.isfinite(y[known]).all() or (y[known] % 1).any():
            raise InputError(f"{path}: y holds {y[known][y[known] % 1 != 0][:1]}, no class; give class numbers, "
                             "NaN or -1 where there is none")
        y = np.where(known, y, UNKNOWN).astype(np.int64)
    known = y != "" if y.dtype.kind == "U" else y != b"" if y.dtype.kind == "S" else y.astype(object) != UNKNOWN
    if y.dtype.kind == "i" and (y[known] < 0).any():
        raise InputError(f"{path}: y holds {y[known].min()}; classes are 0 or more, and -1 is a datum without a label")
    values, numbers = np.unique(y[known], return_inverse=True)
    if len(values) == 0:
        raise InputError(f"{path}: y has no label at all; leave y out")
    if len(values) > min(MOST_CLASSES, max(2, known.sum() // 2)):
        raise InputError(f"{path}: y has {len(values)} different values for {known.sum()} data, which are no classes; "
                         "give each datum one of a few")
    labels = np.full(len(y), UNKNOWN)
    labels[known] = numbers.reshape(-1)
    names = tuple(value.decode() if isinstance(value, bytes) else str(value) for value in values.tolist())
    counts = [f"{name} ({count})" for name, count in zip(names, np.bincount(numbers.reshape(-1)))]
    listed = ", ".join(counts[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    without = f"; {int((~known).sum())} without a label" if not known.all() else ""
    return torch.from_numpy(labels), names, f"labels: {how}{len(names)} classes, {listed}{without}"


DATA_SETS.register("npz")(DataSource(npz, {}))
