"""Arrays as people hand them over, as tensors."""

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from bayesgan.basics.errors import InputError

__all__ = ["as_tensor", "data_of", "first_of"]


def as_tensor(array, name: str, doubles: bool = False) -> Tensor:
    """Tensors as they are; numpy's arrays with doubles as floats, which is what networks are made of.

    Args:
        doubles: They stay doubles: data in units of their own, where a float would round differences away.

    Raises:
        ValueError: If it is neither, or holds no numbers.
    """
    if isinstance(array, Tensor):
        return array
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        what = f"an array of {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
        raise InputError(f"{name} must be arrays of numbers, got {what}; give tensors, torch.as_tensor and torch.stack "
                         "make them")
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "f" and size > 4:
        array = array.astype(np.float32 if torch.get_default_dtype() == torch.float32 and not doubles else np.float64)
    elif kind == "u" and size > 1:
        array = array.astype(np.int64)  # torch counts in signed numbers
    return torch.from_numpy(np.ascontiguousarray(array, array.dtype.newbyteorder("=")))


def data_of(given, name: str) -> Tensor:
    """Data (n, ...) alone, of an array, a pair (data, labels), a TensorDataset or all batches of a DataLoader.

    Raises:
        ValueError: If it is none of these.
    """
    if isinstance(given, DataLoader):
        parts = [data_of(batch, name) for batch in given]
        if not parts:
            raise InputError(f"{name}: the loader has no batches; give one that has")
        return torch.cat(parts)
    return as_tensor(first_of(given), name)


def first_of(given):
    """The data in one array, or two of one length, that stand in a tuple or list; anything else as it is."""
    if isinstance(given, TensorDataset):
        given = given.tensors
    if isinstance(given, (tuple, list)) and 1 <= len(given) <= 2 and all(
            isinstance(part, (Tensor, np.ndarray)) and part.ndim > 0 and len(part) == len(given[0]) for part in given):
        return given[0]
    return given
