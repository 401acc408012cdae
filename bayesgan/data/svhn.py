"""SVHN from the matrix files its authors publish."""

from functools import partial

import numpy as np
import torch

from bayesgan.basics.errors import InputError, reason
from bayesgan.basics.later import later
from bayesgan.data.dataset import DATA_SETS, DataOptions, Dataset, DataSource, images_tensor
from bayesgan.data.downloads import fetch

__all__ = []

loadmat = later("scipy.io", "loadmat")
calculate_md5 = later("torchvision.datasets.utils", "calculate_md5")
download_url = later("torchvision.datasets.utils", "download_url")

# a reader of matrix files can be made to crash by what it reads: only the published files are
URL = "http://ufldl.stanford.edu/housenumbers"
MD5 = {"train": "e26dedcc434d2e4c54c9b2d4a06d8373", "test": "eb5a983be6a315427106f1b164d9cef3"}


def svhn(options: DataOptions) -> Dataset:
    """Street View House Numbers, cropped, 32x32 colour: train_32x32.mat and test_32x32.mat."""
    root = next((p for p in (options.data_path / "svhn", options.data_path) if (p / "train_32x32.mat").is_file()),
                options.data_path / "svhn")
    parts = []
    for part, checksum in MD5.items():
        path = root / f"{part}_32x32.mat"
        if not path.is_file():
            fetch("svhn", root, partial(download_url, f"{URL}/{path.name}", root, md5=checksum),
                  f"put {path.name} there, or name the folder that has it with --data_path")
        if calculate_md5(path) != checksum:
            raise InputError(f"{path} is not the published file, its MD5 is not {checksum}; download it again")
        try:
            content = loadmat(path, variable_names=("X", "y"))
            images, labels = content["X"], content["y"].ravel()
        except Exception as error:  # of many kinds, as bytes that were changed call for
            raise InputError(f"{path} is not SVHN's matrix file ({reason(error)}); download it again") from None
        if len(labels) == 0 or not np.isin(labels, range(1, 11)).all():
            raise InputError(f"{path}: y must hold labels from 1 to 10, which is the digit 0; download it again")
        labels = labels.astype(np.int64) % 10
        if images.shape[:3] != (32, 32, 3) or images.shape[3:] != labels.shape or images.dtype != np.uint8:
            raise InputError(f"{path}: X must be (32, 32, 3, n) bytes for n labels, got {images.shape}; download again")
        parts += [images_tensor(images.transpose(3, 0, 1, 2), options.image_size), torch.from_numpy(labels)]
    return Dataset("svhn", parts[0], parts[2], parts[1], parts[3], tuple("0123456789"), notes=(f"read from {root}",))


DATA_SETS.register("svhn")(DataSource(svhn))
