"""Arrays as people hand them over, as tensors."""

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from bayesgan.basics.errors import InputError

__all__ = ["as_real", "as_tensor", "data_of", "first_of", "refuse_not_finite"]


def as_tensor(array, name: str, doubles: bool = False) -> Tensor:
    """Tensors as they are; numpy's arrays with doubles as floats, which is what networks are made of.

    Args:
        doubles: They stay doubles: data in units of their own, where a float would round differences away.

    Raises:
        ValueError: If it is neither, or holds no numbers, as tensors on device meta.
    """
    if isinstance(array, Tensor):
        if array.is_meta:
            raise InputError(f"{name} must hold numbers, got a tensor {tuple(array.shape)} on device meta; make it on "
                             "a device that computes")
        return array
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        what = f"an array of {array.dtype}" if isinstance(array, np.ndarray) else f"a {type(array).__name__}"
        remedy = "give tensors, torch.as_tensor and torch.stack make them"
        if isinstance(array, (tuple, dict)):
            at = repr(next(iter(array), 0)) if isinstance(array, dict) else 0
            remedy = f"give what is meant of it, for example [{at}]; of a function's, lambda x: function(x)[{at}]"
        raise InputError(f"{name} must be arrays of numbers, got {what}; {remedy}")
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "f" and size > 4:
        array = array.astype(np.float32 if torch.get_default_dtype() == torch.float32 and not doubles else np.float64)
    elif kind == "u" and size > 1:
        array = array.astype(np.int64)  # torch counts in signed numbers
    return torch.from_numpy(np.ascontiguousarray(array, array.dtype.newbyteorder("=")))


def as_real(array, name: str) -> Tensor:
    """`as_tensor`; ValueError also for complex numbers."""
    array = as_tensor(array, name)
    if array.is_complex():
        raise InputError(f"{name} must be real numbers, got {array.dtype}; give .real, .abs() or torch.view_as_real")
    return array


def refuse_not_finite(data: Tensor, name: str, remedy: str = "remove or replace it") -> None:
    """Raises InputError for NaN or infinity in data (n, ...), naming the first row."""
    if data.is_floating_point() and not data.isfinite().all():
        bad = torch.atleast_1d(~data.isfinite())
        row = int(bad.reshape(len(bad), -1).any(1).nonzero()[0])
        raise InputError(f"{name} must be finite, got NaN or infinity, first in row {row}; {remedy}")


def data_of(given, name: str, remedy: str = "remove it") -> Tensor:
    """Data (n, ...) alone, of an array, a pair (data, labels), a TensorDataset or all batches of a DataLoader.

    Args:
        remedy: Of NaN and infinity.

    Raises:
        ValueError: If it is none of these, or not finite.
    """
    if isinstance(given, DataLoader):
        parts = [as_real(first_of(batch), name) for batch in given]
        if not parts:
            raise InputError(f"{name}: the loader has no batches; give one that has")
        data = torch.cat(parts)
    else:
        data = as_real(first_of(given, batches=False), name)
    refuse_not_finite(data, name, remedy)
    return data


def first_of(given, batches: bool = True):
    """The data in one array, or two of one length, that stand in a tuple or list; anything else as it is.

    Args:
        batches: It may be what a loader gives, a list of inputs and targets that are alike.
    """
    if isinstance(given, TensorDataset):
        given = given.tensors
    if not batches and isinstance(given, list) and len({(part.shape[1:], part.dtype) for part in given
                                                        if isinstance(part, (Tensor, np.ndarray))}) < len(given):
        return given  # rows, or parts of data
    if isinstance(given, (tuple, list)) and 1 <= len(given) <= 2 and all(
            isinstance(part, (Tensor, np.ndarray)) and part.ndim > 0 and len(part) == len(given[0]) for part in given):
        return given[0]
    return given
