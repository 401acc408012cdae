"""Files of every kind that a user would have on disk, made small, and a data set loaded from them."""

import gzip
import io
import pickle
import struct
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from bayesgan.data import DATA_SETS, DataOptions, svhn
from bayesgan.data.idx import PARTS

RANDOM = np.random.default_rng(0)


def write_idx(folder, sizes=(30, 10), pack=True):
    folder.mkdir(parents=True, exist_ok=True)
    for part, size in zip(PARTS, (sizes[0], sizes[0], sizes[1], sizes[1])):
        array = RANDOM.integers(0, 255, (size, 28, 28)) if "images" in part else np.arange(size) % 10
        content = (
            struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
        )
        if pack:
            (folder / f"{part}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / part).write_bytes(content)


def picture(size=(12, 12), mode="L"):
    shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], 3)
    file = io.BytesIO()
    Image.fromarray(RANDOM.integers(0, 255, shape).astype(np.uint8)).save(file, "png")
    return file.getvalue()


def write_pictures(folder, classes=("a", "b"), count=10, **kind):
    for name in classes:
        (folder / name).mkdir(parents=True)
        for n in range(count):
            (folder / name / f"{n}.png").write_bytes(picture(**kind))


def write_svhn(folder):
    for part, size in (("train", 12), ("test", 5)):
        savemat(folder / f"{part}_32x32.mat", {"X": RANDOM.integers(0, 255, (32, 32, 3, size)).astype(np.uint8),
                                               "y": (np.arange(size) % 10 + 1).astype(np.uint8)[:, None]})
    return {part: svhn.calculate_md5(folder / f"{part}_32x32.mat") for part in svhn.MD5}


def write_cifar(folder):
    for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"):
        rows = RANDOM.integers(0, 255, (4, 3073)).astype(np.uint8)
        rows[:, 0] = np.arange(4)
        rows.tofile(folder / f"{name}.bin")


def write_pickles(folder, name):
    """CIFAR as torchvision leaves it, pickled as by Python 2; the bytes of the test images."""
    root, key = folder / name, "fine_labels" if "100" in name else "labels"
    root.mkdir(parents=True)
    names = ("train", "test") if "100" in name else (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch")
    for part in names:
        rows = RANDOM.integers(0, 255, (4, 3072)).astype(np.uint8)
        content = {"data": rows, key: list(range(4)), "filenames": ["a.png"] * 4}
        (root / part).write_bytes(pickle.dumps(content, protocol=2).replace(b"numpy._core", b"numpy.core"))
    classes = [f"name {number}" for number in range(100 if "100" in name else 10)]
    meta, of_classes = ("meta", "fine_label_names") if "100" in name else ("batches.meta", "label_names")
    (root / meta).write_bytes(pickle.dumps({of_classes: classes}, protocol=2))
    return rows


def load(name, folder, **options):
    return DATA_SETS[name].load(DataOptions(data_path=Path(folder), cache_path=Path(folder) / "cache", **options))
