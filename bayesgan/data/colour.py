"""SVHN and CIFAR-10 from the files their authors publish, in plain formats: nothing is unpickled."""

import zlib
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy.io import loadmat
from scipy.io.matlab import MatReadError
from torchvision.datasets.utils import download_and_extract_archive, download_url

from bayesgan.basics.errors import InputError
from bayesgan.data.dataset import DATA_SETS, DataOptions, Dataset, DataSource, images_tensor

__all__ = []

SVHN_URL = "http://ufldl.stanford.edu/housenumbers"
SVHN_MD5 = {"train": "e26dedcc434d2e4c54c9b2d4a06d8373", "test": "eb5a983be6a315427106f1b164d9cef3"}
CIFAR_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
CIFAR_FOLDER = "cifar-10-batches-bin"
CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR_ROW = 1 + 3 * 32 * 32  # label, then the red, green and blue planes


def fetch(name: str, root: Path, download) -> None:
    """Runs a torchvision download; a failure becomes one line that says what to put where."""
    print(f"{name}: not in {root}; downloading", flush=True)
    try:
        download()
    except (OSError, RuntimeError) as error:
        raise InputError(f"{name}: not in {root} and the download failed ({str(error).splitlines()[0]}); "
                         "name the folder that has it with --data_path") from None


def svhn(options: DataOptions) -> Dataset:
    """Street View House Numbers, cropped, 32x32 colour: train_32x32.mat and test_32x32.mat."""
    root = next((p for p in (options.data_path / "svhn", options.data_path) if (p / "train_32x32.mat").is_file()),
                options.data_path / "svhn")
    parts = []
    for part, checksum in SVHN_MD5.items():
        path = root / f"{part}_32x32.mat"
        if not path.is_file():
            fetch("svhn", root, partial(download_url, f"{SVHN_URL}/{path.name}", root, md5=checksum))
        try:
            content = loadmat(path, variable_names=("X", "y"))
            images, labels = content["X"], content["y"].astype(np.int64).ravel() % 10  # the digit 0 is stored as 10
        except (OSError, ValueError, KeyError, TypeError, NotImplementedError, MatReadError, zlib.error) as error:
            raise InputError(f"{path} is not SVHN's matrix file ({error}); download it again") from None
        if images.shape[:3] != (32, 32, 3) or images.shape[3:] != labels.shape or images.dtype != np.uint8:
            raise InputError(f"{path}: X must be (32, 32, 3, n) bytes for n labels, got {images.shape}; download again")
        parts += [images_tensor(images.transpose(3, 0, 1, 2), options.image_size), torch.from_numpy(labels)]
    return Dataset("svhn", parts[0], parts[2], parts[1], parts[3], tuple("0123456789"))


DATA_SETS.register("svhn")(DataSource(svhn, {}))


def cifar(options: DataOptions) -> Dataset:
    """CIFAR-10, binary version: data_batch_1.bin .. data_batch_5.bin and test_batch.bin."""
    folders = (options.data_path / CIFAR_FOLDER, options.data_path)
    root = next((p for p in folders if (p / "test_batch.bin").is_file()), folders[0])
    if not (root / "test_batch.bin").is_file():
        fetch("cifar", root,
              lambda: download_and_extract_archive(CIFAR_URL, options.data_path, md5=CIFAR_MD5))
    train, train_labels = cifar_rows([root / f"data_batch_{n}.bin" for n in range(1, 6)], options.image_size)
    test, test_labels = cifar_rows([root / "test_batch.bin"], options.image_size)
    return Dataset("cifar", train, test, train_labels, test_labels, CIFAR_CLASSES)


def cifar_rows(paths: list[Path], image_size: int | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (n, 3, S, S) and labels (n,) of the batch files."""
    rows = []
    for path in paths:
        content = np.fromfile(path, np.uint8) if path.is_file() else np.empty(0, np.uint8)
        if len(content) == 0 or len(content) % CIFAR_ROW:
            raise InputError(f"{path} has {len(content)} bytes, expected a multiple of {CIFAR_ROW}; download it again")
        rows.append(content.reshape(-1, CIFAR_ROW))
    table = np.concatenate(rows)
    if table[:, 0].max() > 9:
        raise InputError(f"{paths[0].parent} has labels over 9; it is not CIFAR-10's binary version")
    images = table[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return images_tensor(images, image_size), torch.from_numpy(table[:, 0].astype(np.int64))


DATA_SETS.register("cifar")(DataSource(cifar, {}))
