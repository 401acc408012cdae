"""MNIST and Fashion-MNIST from their original idx files, packed or not, in the folder given or where torchvision puts
them; downloaded by torchvision only when none is there."""

import gzip
import hashlib
import math
import struct
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import torch

from bayesgan.basics.errors import InputError
from bayesgan.data.dataset import DATA_SETS, DataOptions, Dataset, DataSource, images_tensor
from bayesgan.data.downloads import fetch

__all__ = ["read_idx"]

PARTS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


# of the bytes of their training labels, by which sets are told apart whose files have the same names
SETS = {"1feba77c54802fa5": "mnist", "657fbd221bfc9f41": "fashion_mnist"}
MOST_BYTES = 2**32  # of one unpacked file: four thousand times MNIST's


def read_idx(path: Path) -> np.ndarray:
    """The unsigned-byte array of an idx file (yann.lecun.com/exdb/mnist), packed or not, whatever it is called.

    No more is unpacked than the header promises.

    Raises:
        ValueError: If the file is not idx, not unsigned bytes, or shorter or longer than its header says.
    """
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else open(path, "rb") as file:
            start = file.read(4)
            axes = file.read(4 * start[3]) if start[:3] == b"\0\0\x08" and len(start) == 4 else b""
            if not axes or len(axes) < 4 * start[3]:
                raise InputError(f"{path} is not an idx file of bytes: it starts with {start.hex() or 'nothing'}, "
                                 "expected 000008 and the number of axes; download it again")
            shape = struct.unpack(f">{start[3]}I", axes)
            size = math.prod(shape)
            if size > MOST_BYTES:
                raise InputError(f"{path} says that it holds {size} bytes, shape {shape}; no such set is that large: "
                                 "download it again")
            content = file.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be unpacked ({error}); download it again") from None
    if len(content) != size:
        held = f"{len(content)}" if len(content) < size else f"more than {size}"
        raise InputError(f"{path} holds {held} bytes of data, its header says {size} for shape {shape}: truncated or "
                         "corrupted; download it again")
    return np.frombuffer(content, np.uint8).reshape(shape)


def spellings(part: str) -> list[str]:
    """Names that people keep a part under: as published, or with a dot for its last dash; packed or not."""
    dotted = part.replace("-idx", ".idx")
    return [f"{name}{end}" for name in (part, dotted) for end in ("", ".gz")]


def find_parts(folders: list[Path]) -> list[Path] | None:
    """The four files in the first folder that has them all; None when no folder has any.

    Raises:
        ValueError: If some folder has a part of them and none has all.
    """
    incomplete = None
    for folder in folders:
        found = [next((p for name in spellings(part) if (p := folder / name).is_file()), None) for part in PARTS]
        missing = [part for part, path in zip(PARTS, found) if path is None]
        if not missing:
            return found
        if len(missing) < len(PARTS) and incomplete is None:
            incomplete = f"{folder} lacks {missing[0]}[.gz] while other parts are there; add it"
    if incomplete is not None:
        raise InputError(incomplete)
    return None


def torchvision_set(name: str) -> type:
    from torchvision import datasets  # takes seconds, and most runs have other data

    return getattr(datasets, name)


def load_idx_set(name: str, original: type, options: DataOptions) -> Dataset:
    """The set in data_path, data_path/<Set>/raw or data_path/<name>, else downloaded into data_path."""
    root = options.data_path
    stored = root / original.__name__ / "raw"
    folders = [stored, root / name, root]
    paths = find_parts(folders)
    if paths is None:
        places = ", ".join(map(str, folders))
        fetch(name, stored, partial(original, root, download=True),
              f"put the four files {PARTS[0]}[.gz] ... into {places}, or name their folder with --data_path")
        paths = find_parts([stored])
    return read_set(name, original, paths, options)


def stored_idx_set(name: str, original: type, options: DataOptions) -> Dataset | None:
    """The set if data_path has it in a folder of its own; never downloaded."""
    paths = find_parts([options.data_path / original.__name__ / "raw", options.data_path / name])
    return None if paths is None else read_set(name, original, paths, options)


def read_set(name: str, original: type, paths: list[Path], options: DataOptions) -> Dataset:
    """The set in these four files.

    Raises:
        ValueError: If one is damaged, or images and labels do not fit.
    """
    train, train_labels, test, test_labels = (read_idx(path) for path in paths)
    held = SETS.get(hashlib.sha256(train_labels.tobytes()).hexdigest()[:16], name)
    if held != name:
        raise InputError(f"{paths[0].parent} holds {held}, not {name}, whose files have the same names; give --dataset "
                         f"{held}, or put those of {name} into a folder {name} in --data_path")
    for images, labels, path in ((train, train_labels, paths[0]), (test, test_labels, paths[2])):
        if len(images) == 0:
            raise InputError(f"{path} holds no images; download it again")
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels) or labels.max(initial=0) > 9:
            raise InputError(f"{path} and its labels do not fit: shapes {images.shape} and {labels.shape}, "
                             "expected (n, 28, 28) and (n,) with labels 0..9; download both again")
    return Dataset(
        name, images_tensor(train, options.image_size), images_tensor(test, options.image_size),
        torch.from_numpy(train_labels.astype(np.int64)), torch.from_numpy(test_labels.astype(np.int64)),
        tuple(original.classes), notes=(f"read from {paths[0].parent}",),
    )


DATA_SETS.register("mnist")(
    DataSource(lambda options: load_idx_set("mnist", torchvision_set("MNIST"), options),
               foreign=lambda options: stored_idx_set("fashion_mnist", torchvision_set("FashionMNIST"), options))
)
DATA_SETS.register("fashion_mnist")(
    DataSource(lambda options: load_idx_set("fashion_mnist", torchvision_set("FashionMNIST"), options),
               foreign=lambda options: stored_idx_set("mnist", torchvision_set("MNIST"), options))
)
