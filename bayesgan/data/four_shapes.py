"""The four-shapes set, from its zip or unpacked, with a cache of its decoded pictures."""

import hashlib
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path, PurePath

import numpy as np
import torch

from bayesgan.basics.errors import InputError
from bayesgan.basics.files import write_arrays
from bayesgan.data.dataset import DATA_SETS, DataOptions, Dataset, DataSource, images_tensor, split
from bayesgan.data.folders import picture_source
from bayesgan.data.pictures import FILTER, read_pictures

__all__ = ["SHAPES"]

SHAPES = ("circle", "square", "star", "triangle")


def four_shapes(options: DataOptions) -> Dataset:
    """14,970 black shapes on white, 200x200: circle, square, star, triangle; 80/20 split.

    Read from data_path: the zip as published, a folder that holds it, or the unpacked folder. Decoded once into
    cache_path/four_shapes_<size>.npz, which is made anew when the source changes.
    """
    source = next(
        (p for p in (options.data_path / "shapes.zip", options.data_path / "four_shapes" / "shapes.zip",
                     options.data_path / "shapes", options.data_path / "four_shapes") if p.exists()),
        options.data_path,
    )
    names, read, _ = picture_source(source)
    names = [name for name in names if PurePath(name).parent.name in SHAPES]
    absent = set(SHAPES) - {PurePath(name).parent.name for name in names}
    if absent:
        raise InputError(f"{source} has no pictures in a folder {sorted(absent)[0]!r}; four_shapes needs the folders "
                         f"{', '.join(SHAPES)}")
    size = options.image_size
    cache = options.cache_path / f"four_shapes_{size or 'full'}.npz"
    stamp = fingerprint(source, names)
    images = read_cache(cache, stamp)
    if images is None:
        print(f"four_shapes: decoding {len(names)} pictures from {source} once, into {cache}", flush=True)
        images, _, _ = read_pictures(names, read, DataOptions(image_size=size))
        write_cache(cache, stamp, images)
    labels = torch.tensor([SHAPES.index(PurePath(name).parent.name) for name in names])
    data = split(images_tensor(images), labels, 0.2, "four_shapes", SHAPES)
    return replace(data, notes=(f"read from {source}",))


DATA_SETS.register("four_shapes")(DataSource(four_shapes))


def fingerprint(source: Path, names: list[str]) -> str:
    """Changes whenever a picture is added, moved, edited or removed, or would be scaled otherwise."""
    files = [source / name for name in names] if source.is_dir() else [source]
    marks = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr((FILTER.name, marks)).encode()).hexdigest()


def read_cache(cache: Path, stamp: str) -> np.ndarray | None:
    """The cached images if they were made from this very source."""
    try:
        with np.load(cache, allow_pickle=False) as stored:
            return stored["images"] if str(stored["source"]) == stamp else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None  # absent, or damaged: it is made again


def write_cache(cache: Path, stamp: str, images: np.ndarray) -> None:
    """Keeps the conversion; a folder that cannot be written costs the next run its time, not this one."""
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_arrays(cache, {"images": images, "source": np.array(stamp)}, compressed=True)
    except OSError as error:
        print(f"four_shapes: cannot keep the conversion in {cache} ({error}); the next run decodes again")
