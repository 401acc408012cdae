"""Data sets by name. A data set joins by one registration in a module imported here."""

from bayesgan.data import arrays, bundled, cifar, folders, four_shapes, idx, imagenet, stacked, svhn
from bayesgan.data.bundled import GENERATED
from bayesgan.data.dataset import DATA_SETS, DataOptions, Dataset, some, to_bytes, to_float
from bayesgan.data.distortions import distorted
from bayesgan.data.labels import ALL, choose_labels, labelled_rows, with_labels
from bayesgan.data.shifts import shifted
from bayesgan.data.unseen import Unseen, read_unseen
from bayesgan.data.values import Values

__all__ = [
    "ALL",
    "DATA_SETS",
    "GENERATED",
    "DataOptions",
    "Dataset",
    "Unseen",
    "Values",
    "choose_labels",
    "distorted",
    "labelled_rows",
    "read_unseen",
    "shifted",
    "some",
    "to_bytes",
    "to_float",
    "with_labels",
    "arrays",
    "bundled",
    "cifar",
    "folders",
    "four_shapes",
    "idx",
    "imagenet",
    "stacked",
    "svhn",
]
