"""New data for a trained run, read as its training data were: the same scale of values, size and channels."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bayesgan.basics.errors import InputError
from bayesgan.data.arrays import TABLES, as_images, check_numbers, named_parts, read_arrays
from bayesgan.data.dataset import DataOptions, images_tensor
from bayesgan.data.folders import Source, left_out, picture_source
from bayesgan.data.pictures import is_picture, read_picture, read_pictures
from bayesgan.data.values import Values

__all__ = ["Unseen", "read_unseen"]


class Unseen(NamedTuple):
    """Data that no training has seen.

    Attributes:
        names: Of each, the picture's path, in a folder or zip below that, or the row in an array.
        data: Images (n, C, H, W) uint8, or vectors (n, D) float64 in the user's units.
        notes: How they were understood, a sentence each.
    """

    names: list[str]
    data: Tensor
    notes: list[str]


def read_unseen(
    paths: list[Path], options: DataOptions, shape: tuple[int, ...], values: Values | None
) -> Unseen:
    """A folder or zip of pictures, an .npz with an array x, or pictures.

    Args:
        paths: One of the former, or any number of pictures.
        options: Those that the training data were read with.
        shape: Of one training datum.
        values: What numbers in the training data were taken for, if they were a user's images. They are the same here
            if they are stored alike; otherwise they are worked out, which is said.

    Raises:
        ValueError: If there is nothing to read, or it cannot be data of that shape.
    """
    if len(shape) == 3:
        options = replace(options, image_size=shape[-1], channels=shape[0])
    path = paths[0]
    if path.suffix.lower() == ".npz" and len(paths) == 1:
        return of_arrays(path, options, len(shape) == 3, values)
    if len(shape) != 3:
        raise InputError(f"the run was trained on vectors; give an .npz with an array x (n, {shape[0]}), got {path}; "
                         "np.savez('new.npz', x=table) makes one")
    if all(one.is_file() and is_picture(one.suffix) for one in paths):
        source = Source(list(map(str, paths)), lambda name: Path(name).read_bytes(), [])
    else:
        if len(paths) > 1:
            wrong = next(one for one in paths if not (one.is_file() and is_picture(one.suffix)))
            raise InputError(f"several PATHs must be pictures, got {wrong}; name one folder, zip or .npz alone")
        if path.suffix.lower() in (*TABLES, ".npy"):
            raise InputError(f"{path} is no .npz; save one with np.savez('new.npz', x=images)")
        source = picture_source(path, "PATH")
    first = read_picture(source.read(source.names[0]), source.names[0], replace(options, image_size=None)).pixels
    options, warned = on_the_scale_of(values, first.dtype, options)  # all pictures must be of one type
    pictures, _, notes = read_pictures(source.names, source.read, options, differ=False)
    told = f"read {len(source.names)} pictures{left_out(source.others)}"
    return Unseen(source.names, images_tensor(pictures), [told, *notes, *scaled(first.shape, shape), *warned])


def of_arrays(path: Path, options: DataOptions, images: bool, values: Values | None) -> Unseen:
    """The array x of a file; labels in it are left alone."""
    parts, notes = named_parts(read_arrays(path), path)
    x, others = parts["x"], [name for name in parts if name != "x"]
    if others:
        notes.append(f"x alone is read, not {', '.join(others)}")
    check_numbers(x, f"{path}: x", least=1)
    if images != (x.ndim > 2):
        wanted = "images, x (n, H, W) or (n, H, W, C)" if images else "vectors, x (n, D)"
        raise InputError(f"{path} must hold {wanted}, as the run was trained on, got {x.shape}")
    if images and x.ndim == 3 and x.shape[2] in (3, 4) and x.shape[1] > 4:
        raise InputError(f"{path}: x must be (n, H, W) or (n, H, W, C), got {x.shape}, which looks like one image of "
                         "colours; give x[None]")
    names = list(map(str, range(len(x))))
    if not images:
        return Unseen(names, torch.from_numpy(x.astype(np.float64)), notes)
    options, warned = on_the_scale_of(values, x.dtype, options)
    if not warned and values is not None and values.black < 0 <= x.min():
        warned = [f"warning: no value is negative, and black is {values.black:g} as in training; if that is not so "
                  "here, save these on the scale of the training data"]
    read, _, told = as_images({"x": x}, options, path, differ=False)
    data = images_tensor(read, options.image_size, options.crop)
    return Unseen(names, data, [*notes, *told, *scaled(read.shape[1:], data.shape[1:]), *warned])


def scaled(before: tuple[int, ...], after: tuple[int, ...]) -> list[str]:
    """From (H, W, ...) to (C, H, W), in words."""
    if before[:2] == after[1:]:
        return []
    return [f"scaled to {after[2]}x{after[1]}, the size in training; the first was {before[1]}x{before[0]}"]


def on_the_scale_of(values: Values | None, kind: np.dtype, options: DataOptions) -> tuple[DataOptions, list[str]]:
    """The options with the training data's black and white, where these are stored alike; else a warning. What the
    user said of them counts for these too.
    """
    if values is None:
        return options, []
    of_training = np.dtype(values.kind)
    if of_training == kind.newbyteorder("=") or of_training.kind == kind.kind == "f":
        return replace(options, value_range=values), []
    if options.value_range is not None:
        return options, []
    return options, [
        f"warning: these are {kind}, the training data were {values.kind} from {values.black:g}, black, "
                     f"to {values.white:g}, white; see that black and white are the same in both"]
