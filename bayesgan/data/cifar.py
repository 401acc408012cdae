"""CIFAR-10 and CIFAR-100 from the files their authors publish: the binary version, or the pickled one that torchvision
leaves on disk, of which nothing but numbers, words and plain containers is unpickled."""

import codecs
import io
import pickle
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from bayesgan.basics.errors import InputError, reason
from bayesgan.basics.later import later
from bayesgan.data.dataset import DATA_SETS, DataOptions, Dataset, DataSource, images_tensor
from bayesgan.data.downloads import fetch

__all__ = []

download_and_extract_archive = later("torchvision.datasets.utils", "download_and_extract_archive")

URL = "https://www.cs.toronto.edu/~kriz"
PLANES = 3 * 32 * 32  # red, green, blue


class Version(NamedTuple):
    """One of the two sets, as its authors pack it.

    Attributes:
        train: Names of its training files; binary ones end in .bin.
        label_bytes: Before each image of the binary version; the last is the class.
        labels: Key of the labels in the pickled version.
        names: Where the classes' names stand: the binary version's file, the pickled version's file and key.
    """

    name: str
    binary: str
    pickled: str
    archive: str
    md5: str
    train: tuple[str, ...]
    test: str
    label_bytes: int
    labels: str
    classes: int
    names: tuple[str, ...]


CIFAR10 = Version(
    "cifar", "cifar-10-batches-bin", "cifar-10-batches-py", "cifar-10-binary.tar.gz",
    "c32a1d4ab5d03f1284b67883e8d87530", tuple(f"data_batch_{n}" for n in range(1, 6)), "test_batch", 1, "labels", 10,
    ("batches.meta.txt", "batches.meta", "label_names"),
)
CIFAR100 = Version(
    "cifar100", "cifar-100-binary", "cifar-100-python", "cifar-100-binary.tar.gz",
    "03b5dce01913d631647c71ecec9e9cb8", ("train",), "test", 2, "fine_labels", 100,
    ("fine_label_names.txt", "meta", "fine_label_names"),
)
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def cifar(version: Version, options: DataOptions) -> Dataset:
    """The set in data_path or a folder in it, pickled or binary; else the binary one, downloaded into data_path."""
    path = options.data_path
    places = [(path / version.binary, ".bin"), (path, ".bin"), (path / version.pickled, ""), (path, "")]
    found = next(((folder, end) for folder, end in places if (folder / f"{version.test}{end}").is_file()), None)
    if found is None:
        found = places[0]
        fetch(version.name, found[0],
              lambda: download_and_extract_archive(f"{URL}/{version.archive}", path, md5=version.md5),
              f"put {version.binary} or {version.pickled} into {path}, or name their folder with --data_path")
    folder, end = found
    parts = []
    for files in (version.train, (version.test,)):
        read = [(rows_of if end else pickled_rows)(folder / f"{file}{end}", version) for file in files]
        planes, labels = (np.concatenate(one) for one in zip(*read))
        if labels.min() < 0 or labels.max() >= version.classes:
            raise InputError(f"{folder} has labels {labels.min()}..{labels.max()}, {version.name} has "
                             f"0..{version.classes - 1}; it is another set")
        images = planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        parts += [images_tensor(images, options.image_size), torch.from_numpy(labels)]
    return Dataset(version.name, parts[0], parts[2], parts[1], parts[3], class_names(folder, end, version),
                   notes=(f"read from {folder}",))


def rows_of(path: Path, version: Version) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 3072) uint8 and labels (n,) int64 of a binary file."""
    row = version.label_bytes + PLANES
    content = np.fromfile(path, np.uint8) if path.is_file() else np.empty(0, np.uint8)
    if len(content) == 0 or len(content) % row:
        raise InputError(f"{path} has {len(content)} bytes, expected a multiple of {row}; download it again")
    table = content.reshape(-1, row)
    return table[:, version.label_bytes:], table[:, version.label_bytes - 1].astype(np.int64)


def pickled_rows(path: Path, version: Version) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 3072) uint8 and labels (n,) int64 of a pickled file."""
    content = unpickled(path)
    data, labels = content.get("data"), content.get(version.labels)
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != PLANES:
        raise InputError(f"{path} holds no 'data' of (n, {PLANES}) bytes; download it again")
    if not isinstance(labels, list) or len(labels) != len(data) or not all(type(label) is int for label in labels):
        raise InputError(f"{path} holds no '{version.labels}', a class number for each of its {len(data)} images; "
                         "download it again")
    return data, np.array(labels, np.int64)


def plain_dtype(code: str, *settings) -> np.dtype:
    """Of bytes, which is all that images need."""
    if code not in ("u1", "|u1"):
        raise pickle.UnpicklingError(f"it holds numbers of type {code!r}, images are bytes")
    return np.dtype(code, *settings)


class PlainUnpickler(pickle.Unpickler):
    """Builds numbers, words, lists, dicts and numpy arrays; no other name in the file is ever looked up."""

    ADMITTED = {
        **{(f"numpy.{core}.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0] for core in ("core", "_core")},
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): plain_dtype,
        ("_codecs", "encode"): lambda text, encoding: codecs.latin_1_encode(text)[0],  # how Python 2's bytes are kept
    }

    def find_class(self, module: str, name: str):
        if (module, name) not in self.ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which images have no use for")
        return self.ADMITTED[module, name]


def unpickled(path: Path) -> dict:
    """The dict in a pickled file, its keys as str.

    Raises:
        ValueError: If it is damaged, or holds anything but plain data.
    """
    try:
        content = PlainUnpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
        if not isinstance(content, dict):
            raise pickle.UnpicklingError(f"it holds {type(content).__name__}, not a dict")
    except Exception as error:  # a damaged pickle raises whatever the bytes happen to call for
        raise InputError(f"{path} cannot be unpickled as plain arrays ({reason(error)}); download it again") from None
    return {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in content.items()}


def class_names(folder: Path, end: str, version: Version) -> tuple[str, ...]:
    """From the file beside the images; CIFAR-10's are known without it."""
    listed, meta, key = version.names
    names = None
    if end and (folder / listed).is_file():
        names = (folder / listed).read_text(errors="replace").split()
    elif not end and (folder / meta).is_file():
        names = unpickled(folder / meta).get(key)
    if names is None:
        names = CIFAR10_CLASSES if version is CIFAR10 else map(str, range(version.classes))
    names = tuple(map(str, names))
    if len(names) != version.classes:
        raise InputError(f"{folder} names {len(names)} classes, {version.name} has {version.classes}; download it "
                         "again")
    return names


DATA_SETS.register("cifar")(DataSource(partial(cifar, CIFAR10)))
DATA_SETS.register("cifar100")(DataSource(partial(cifar, CIFAR100)))
