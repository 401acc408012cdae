"""The user's own arrays in an .npz file."""

import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch

from bayesgan.basics.errors import InputError
from bayesgan.data.dataset import DATA_SETS, DataOptions, Dataset, DataSource, images_tensor, split, to_float

__all__ = []

MOST_CLASSES = 10_000


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
    """`x`: images (N, H, W), (N, H, W, C) or (N, C, H, W) of bytes, or vectors (N, D); `y`: labels (N,), optional.

    Floating-point images are taken to lie in [0, 1] or, with negative values, in [-1, 1]. 10 % are held out.
    """
    path = find_file(options.data_path)
    try:
        stored = np.load(path, allow_pickle=False)
        if not isinstance(stored, np.lib.npyio.NpzFile):
            raise ValueError("it is a single array, .npy")
        with stored:
            arrays = {name: np.asarray(stored[name], order="C") for name in stored.files}
        if arrays.get("x", np.empty(0)).dtype.kind in "SUOV":
            raise ValueError("x is not numbers")
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile, zlib.error, tokenize.TokenError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} is not a readable .npz of plain arrays ({reason}); object arrays are refused, "
                         "save numbers with np.savez(file, x=..., y=...)") from None
    if "x" not in arrays:
        raise InputError(
            f"{path} has no array 'x', only {sorted(arrays)}; save with np.savez(file, x=images, y=labels)"
        )
    x, y = arrays["x"], arrays.get("y")
    if x.dtype.kind not in "uifb" or x.ndim < 2 or len(x) < 2 or x.size == 0:
        raise InputError(f"{path}: x must hold at least 2 rows of real numbers, got {x.dtype} of shape {x.shape}")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise InputError(f"{path}: x has non-finite values; remove those rows")
    labels = None
    if y is not None:
        if y.shape != (len(x),) or y.dtype.kind not in "ui" or y.min() < 0 or y.max() >= MOST_CLASSES:
            raise InputError(
                f"{path}: y must be {len(x)} class numbers in 0..{MOST_CLASSES - 1}, got {y.dtype} of shape "
                f"{y.shape}; number the classes from 0"
            )
        labels = torch.from_numpy(y.astype(np.int64))
    classes = () if labels is None else tuple(str(c) for c in range(int(labels.max()) + 1))
    if x.ndim == 2:
        data = torch.from_numpy(x.astype(np.float64))
    else:
        data = images_tensor(as_bytes(x, path), options.image_size)
    dataset = split(data, labels, 0.1, "npz", classes)
    if not (to_float(dataset.train).isfinite().all() and to_float(dataset.test).isfinite().all()):
        raise InputError(f"{path}: x overflows when it is standardised; scale it down")
    return dataset


def as_bytes(x: np.ndarray, path: Path) -> np.ndarray:
    """Images of any accepted layout and type as uint8 (N, H, W[, C])."""
    if x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[3] not in (1, 3):
        x = x.transpose(0, 2, 3, 1)
    if x.ndim not in (3, 4) or x.shape[1] != x.shape[2] or (x.ndim == 4 and x.shape[3] not in (1, 3)):
        raise InputError(f"{path}: x must be (N, D), (N, H, H), (N, H, H, C) or (N, C, H, H) with C 1 or 3, "
                         f"got {x.shape}")
    if x.dtype.kind == "f":
        low, high = float(x.min()), float(x.max())
        if low < -1 or high > 1:
            raise InputError(f"{path}: floating-point images must lie in [0, 1] or [-1, 1], got [{low:g}, {high:g}]")
        x = np.rint(x * 255 if low >= 0 else (x + 1) * 127.5)
    elif x.dtype.kind == "b":
        x = x * np.uint8(255)
    elif x.max() == 1:
        raise InputError(f"{path}: whole-number images must use 0..255, got only 0 and 1; save x as bool or as floats")
    elif x.min() < 0 or x.max() > 255:
        raise InputError(f"{path}: whole-number images must lie in 0..255, got {x.min()}..{x.max()}")
    return x.astype(np.uint8)


DATA_SETS.register("npz")(DataSource(npz, {}))
