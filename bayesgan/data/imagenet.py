"""ImageNet downsampled to 8, 16, 32 or 64 pixels a side (Chrabaszcz et al. 2017), from its .npz files."""

import math
from pathlib import Path

import numpy as np
import torch

from bayesgan.basics.errors import InputError
from bayesgan.data.arrays import headers, read_arrays, require_memory
from bayesgan.data.dataset import DATA_SETS, DataOptions, Dataset, DataSource, images_tensor

__all__ = []

CLASSES = tuple(str(number) for number in range(1, 1001))  # as they are numbered in it
VALIDATION = "val_data.npz"
WANTED = "of downsampled ImageNet: it needs data (n, 3 S S) of bytes and labels (n,) from 1 to 1000; download it again"


def imagenet(options: DataOptions) -> Dataset:
    """train_data_batch_<n>.npz and val_data.npz, the test part, in data_path or any folders of it."""
    batches = sorted(options.data_path.rglob("train_data_batch_*.npz"))
    held_out = sorted(options.data_path.rglob(VALIDATION))
    if not batches or len(held_out) != 1:
        raise InputError(f"{options.data_path} must hold the unpacked .npz files of one size of downsampled ImageNet, "
                         f"got {len(batches)} train_data_batch_<n>.npz and {len(held_out)} {VALIDATION}; --data_path "
                         "names a folder around them")
    *of_batches, of_test = [bytes_in(path, options.image_size) for path in (*batches, *held_out)]
    require_memory(2 * sum(of_batches) + of_test, options.data_path)  # batches beside all of them joined
    sides, images, labels = zip(*(read_batch(path, options.image_size) for path in (*batches, *held_out)))
    if len(found := sorted(set(sides))) > 1:
        raise InputError(f"{options.data_path} holds images of {found[0]} and {found[1]} pixels a side; keep one size")
    return Dataset("imagenet", torch.cat(images[:-1]), images[-1], torch.cat(labels[:-1]), labels[-1], CLASSES,
                   notes=(f"read {len(batches)} batches and {held_out[0]}",))


def bytes_in(path: Path, image_size: int | None) -> int:
    """Of a file's images as they are kept; raises ValueError for another file."""
    shape, dtype = headers(path).get("data", ((), None))
    if dtype != np.uint8 or len(shape) != 2 or 0 in shape:
        raise InputError(f"{path} is not {WANTED}")
    return shape[0] * (shape[1] if image_size is None else 3 * image_size**2)


def read_batch(path: Path, image_size: int | None) -> tuple[int, torch.Tensor, torch.Tensor]:
    """Side S in the file, images (n, 3, S', S') uint8, labels (n,) from 0; raises ValueError for another file."""
    arrays = read_arrays(path)
    data, labels = arrays["data"], arrays.get("labels", np.zeros(0))
    side = math.isqrt(data.shape[1] // 3)
    if 3 * side**2 != data.shape[1] or labels.shape != data.shape[:1] or not np.isin(labels, range(1, 1001)).all():
        raise InputError(f"{path} is not {WANTED}")
    images = images_tensor(data.reshape(-1, 3, side, side).transpose(0, 2, 3, 1), image_size)
    return side, images, torch.from_numpy(labels.astype(np.int64) - 1)


DATA_SETS.register("imagenet")(DataSource(imagenet))
