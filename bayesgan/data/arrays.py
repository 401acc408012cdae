"""The user's own arrays in an .npz file."""

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from bayesgan.basics.errors import InputError, reason
from bayesgan.basics.memory import room
from bayesgan.data.class_labels import read_labels
from bayesgan.data.dataset import (
    DATA_SETS,
    DataOptions,
    Dataset,
    DataSource,
    check_varied,
    images_tensor,
    in_parts,
    never_changing,
)
from bayesgan.data.pictures import background_colour
from bayesgan.data.values import Values, as_bytes, colour_channels, grey_channel, scale_of_parts

__all__ = ["TABLES", "as_images", "check_numbers", "named_parts", "read_arrays"]

# part -> the names it goes by, of which a file may have one; numpy's own names where there is no other
NAMES = {
    "x": ("x", "x_train", "X", "X_train", "images", "train_images", "data"),
    "y": ("y", "y_train", "labels", "train_labels", "targets"),
    "x_test": ("x_test", "X_test", "test_images"),
    "y_test": ("y_test", "test_labels"),
}
LEAST, MOST = 1e-100, 1e100  # whose squares are no rounding to 0 and no infinity
SHOWN = 12  # columns that a note names
LEAST_SIDE = 16  # of images that take what other images take; on 8x8 pixels vgg is slower and no better
CHANNELS = (1, 3, 4)  # grey; red, green, blue; with transparency
TABLES = (".csv", ".tsv", ".txt", ".xlsx", ".parquet")
UNNAMED = {"x": "arr_0", "y": "arr_1"}


def find_file(path: Path) -> Path:
    """`path` itself, or the only .npz in it."""
    if path.is_file():
        return path
    files = sorted(path.glob("*.npz")) if path.is_dir() else []
    if len(files) != 1:
        raise InputError(f"{path} must be an .npz file or a folder with one, found {len(files)}; "
                         "--data_path names the file")
    return files[0]


def npz(options: DataOptions) -> Dataset:
    """`x`: images (N, H, W), (N, H, W, C) or (N, C, H, W), or vectors (N, D); `y`: labels, optional.

    `x_test` and `y_test` are the test part; without them a tenth of all data is, or a fifth of the labelled where
    others have no label. See NAMES for other names, `value_scale` for values, `read_labels` for labels.
    """
    path = find_file(options.data_path)
    parts, notes = named_parts(read_arrays(path), path)
    for name, array in parts.items():
        if name.startswith("x"):
            check_numbers(array, f"{path}: {name}")
    train, test = parts["x"], parts.get("x_test")
    if test is not None and test.shape[1:] != train.shape[1:]:
        raise InputError(f"{path}: x_test must be data like x, got {test.shape} and {train.shape}")
    if ("y_test" in parts) != (test is not None and "y" in parts):
        absent = "x_test" if test is None else "y_test" if "y" in parts else "y"
        other = "y" if absent == "y_test" else "y_test"
        raise InputError(f"{path}: x, y, x_test and y_test belong together, got {sorted(parts)}; add {absent}, or "
                         f"leave out {other}")
    both = [train] if test is None else [train, test]
    labels, classes, values = None, (), None
    if "y" in parts:
        given = [parts["y"]] if test is None else [parts["y"], parts["y_test"]]
        labels, classes, note = read_labels(given, [len(array) for array in both], str(path))
        notes.append(note)
    if train.ndim == 2:
        data = torch.from_numpy(np.concatenate(both, dtype=np.float64))
        if constant := never_changing(data).nonzero()[:, 0].tolist():
            notes.append(f"columns that never change: {', '.join(map(str, constant[:SHOWN]))}")
        largest = torch.maximum(data.amax(0), -data.amin(0))
        if wrong := ((largest != 0) & ~((LEAST <= largest) & (largest <= MOST))).nonzero()[:, 0].tolist():
            raise InputError(f"{path}: the largest number in a column of x must be 0 or in {LEAST:g}..{MOST:g}, got "
                             f"{largest[wrong[0]]:g} in column {wrong[0]}; scale it")
    else:
        images, values, told = as_images(dict(zip(("x", "x_test"), both)), options, path)
        notes += told
        data = images_tensor(images, options.image_size, options.crop)
    check_varied(data, f"{path}: x")
    dataset = in_parts("npz", data, labels, classes, None if test is None else torch.arange(len(data)) >= len(train))
    if train.ndim == 2 and not (dataset.train.isfinite().all() and dataset.test.isfinite().all()):
        raise InputError(f"{path}: x overflows when it is standardised; scale it down")
    told = f"the test part is {'x_test' if test is not None else 'cut off here'}"
    return replace(dataset, notes=(*notes, told, *dataset.notes), values=values)


def as_images(
    parts: dict[str, np.ndarray], options: DataOptions, path: Path, differ: bool = True
) -> tuple[np.ndarray, Values, list[str]]:
    """All images as one array of bytes (N, H, W) or (N, H, W, 3), and how they were understood, also in sentences.

    Args:
        differ: As of `read_pictures`.
    """
    parts = {name: channels_last(array, path) for name, array in parts.items()}
    height, width = parts["x"].shape[1:3]
    if height != width and options.image_size is None:
        raise InputError(f"{path}: images must be square, got {width}x{height}; --image_size cuts them to their middle "
                         "square and scales that, with --crop none all of them")
    opaque = None
    if parts["x"].shape[3:] == (4,):
        opaque = np.concatenate([array[..., 3:] for array in parts.values()])
        parts = {name: array[..., :3] for name, array in parts.items()}
    black, white, note = scale_of_parts(parts, options.value_range)
    values = Values(black, white, parts["x"].dtype.name)
    images = np.concatenate([as_bytes(array, black, white) for array in parts.values()])
    notes = [note]
    if height != width and options.crop == "center":
        notes.append("they were not square and are cut to their middle square")
    if opaque is not None:
        opaque = opacity(opaque, black, white)
        under = np.array(background_colour(options.background))
        images = np.rint(images * opaque + under * (1 - opaque)).astype(np.uint8)
        if opaque.min() < 1:
            notes.append(f"transparent pixels are {options.background} now")
        if differ and (images == images[:1]).all():
            raise InputError(f"{path}: all images are the same on {options.background}, which shows where they are "
                             "transparent; give another --background")
    if images.shape[3:] == (1,):
        images = images[..., 0]
    if options.channels is not None and images.ndim != (3 if options.channels == 1 else 4):
        images = (grey_channel if options.channels == 1 else colour_channels)(images)
        notes.append("colours are made grey" if options.channels == 1 else "they are grey, in three channels")
    return images, values, notes


def opacity(alpha: np.ndarray, black: float, white: float) -> np.ndarray:
    """Alpha in [0, 1]: as it is, or on the colours' scale if it goes beyond that, or on one of its own."""
    low, high = float(alpha.min()), float(alpha.max())
    if low >= 0 and high <= 1:
        return alpha.astype(np.float64)
    if black <= low and high <= white:
        return (alpha.astype(np.float64) - black) / (white - black)
    top = next(top for top in (255, 65535, high) if high <= top)
    return alpha.clip(0) / top


@contextmanager
def plain_arrays(path: Path) -> Iterator[None]:
    """What goes wrong inside is said of the file, in one line."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:  # of many kinds, as bytes that were changed call for
        if path.suffix.lower() in TABLES:
            raise InputError(f"{path} is a table and no .npz; read it with numpy or pandas and save it with "
                             "np.savez('mine.npz', x=table[:, :-1].astype(float), y=table[:, -1])") from None
        raise InputError(f"{path} is not a readable .npz of plain arrays ({reason(error)}); object arrays are refused, "
                         "save numbers with np.savez(file, x=..., y=...)") from None


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Everything in the file; only plain arrays are read, and no more than their headers promise."""
    require_memory(sum(math.prod(shape) * dtype.itemsize for shape, dtype in headers(path).values()), path)
    with plain_arrays(path):
        stored = np.load(path, allow_pickle=False)
        if not isinstance(stored, np.lib.npyio.NpzFile):
            raise ValueError("it is a single array, .npy")
        with stored:
            return {name: np.asarray(stored[name], order="C") for name in stored.files}


def headers(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shape and type of every array in an .npz, none of which is read; nothing of another file.

    Raises:
        ValueError: If a header cannot be read, or promises another size than the file has.
    """
    found = {}
    if not zipfile.is_zipfile(path):
        return found
    with plain_arrays(path), zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            with archive.open(info) as file:
                version = np.lib.format.read_magic(file)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(file)
                size = math.prod(shape) * dtype.itemsize
                if size != info.file_size - file.tell():
                    raise ValueError(f"{info.filename} holds {info.file_size - file.tell()} bytes of data, its header "
                                     f"says {size} for shape {shape}")
                found[info.filename.removesuffix(".npy")] = shape, dtype
    return found


def require_memory(size: int, path: Path) -> None:
    """Raises InputError where data of so many bytes are more than this process could hold."""
    available = room(torch.device("cpu"))
    if available is not None and size > available:
        raise InputError(f"{path} needs {size / 2**30:.1f} GiB and {available / 2**30:.1f} GiB of memory are free; "
                         "give fewer data, or smaller images")


def named_parts(arrays: dict[str, np.ndarray], path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays under the names x, y, x_test, y_test; and which were called otherwise or are left out."""
    found = {}
    for part, names in NAMES.items():
        here = [name for name in names if name in arrays]
        if len(here) > 1:
            raise InputError(f"{path} has both {here[0]!r} and {here[1]!r}, and either could be {part}; keep one")
        if here:
            found[part] = here[0]
    if "x" not in found:
        found = {part: name for part, name in UNNAMED.items() if name in arrays} | found
    if "x" not in found:
        raise InputError(
            f"{path} has no array 'x', only {sorted(arrays)}; save with np.savez(file, x=images, y=labels)"
        )
    notes = [f"{name} is {part}" for part, name in found.items() if name != part]
    left = sorted(set(arrays) - set(found.values()))
    if left:
        notes.append(f"not read: {', '.join(left)}")
    return {part: arrays[name] for part, name in found.items()}, notes


def check_numbers(x: np.ndarray, name: str, least: int = 2) -> None:
    """Raises InputError where data are no numbers or too few."""
    if x.dtype.kind not in "uifb" or x.ndim < 2 or len(x) < least or x.size == 0:
        rows = f"{least} rows" if least > 1 else "1 row"
        raise InputError(f"{name} must hold at least {rows} of real numbers, got {x.dtype} of shape {x.shape}")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise InputError(f"{name} has non-finite values; remove those rows")


def channels_last(x: np.ndarray, path: Path) -> np.ndarray:
    """Images of any accepted layout as (N, H, W[, C])."""
    if x.ndim == 4 and x.shape[1] in CHANNELS and x.shape[3] in CHANNELS:
        raise InputError(f"{path}: x of shape {x.shape} could have its channels in the second axis or in the "
                         "last; give images of more than 4 pixels a side, or grey ones as (N, H, W)")
    if x.ndim == 4 and x.shape[1] in CHANNELS and x.shape[3] not in CHANNELS:
        x = x.transpose(0, 2, 3, 1)
    if x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[3] not in CHANNELS):
        raise InputError(f"{path}: x must be (N, D), (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1, 3 or, with "
                         f"transparency, 4, got {x.shape}")
    return x


def with_labels(path: Path, image_size: int | None) -> dict:
    """What suits vectors and tiny images better than the networks that runs with labels have for images.

    By what the file's header says; what cannot be read is refused when it is loaded.
    """
    try:
        found = headers(find_file(path))
    except InputError:
        found = {}
    shapes = [found[name][0] for name in (*NAMES["x"], UNNAMED["x"]) if name in found]
    sides = sorted(shapes[0][1:])[-2:] if shapes else []  # of (H, W), (H, W, C) or (C, H, W)
    if len(sides) == 2 and (image_size or sides[0]) >= LEAST_SIDE:
        return {}
    return {"network": "auto", "precision": "fp32"}


DATA_SETS.register("npz")(DataSource(npz, semi=with_labels))
