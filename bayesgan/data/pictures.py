"""Folders and zips of picture files: the user's own images, and the four-shapes set with its cache."""

import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from bayesgan.basics.errors import InputError
from bayesgan.basics.files import write_atomically
from bayesgan.data.dataset import DATA_SETS, UNKNOWN, DataOptions, Dataset, DataSource, images_tensor, split

__all__ = ["read_picture", "read_pictures"]

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp"}
NO_CLASS = ("unlabelled", "unlabeled")  # folders of pictures whose class nobody has said
TEST = "test"  # a folder of class folders that are never trained on
SHAPES = ("circle", "square", "star", "triangle")


def read_picture(content: bytes, name: str, image_size: int | None) -> np.ndarray:
    """One picture as uint8 (H, W) if it is grey, else (H, W, 3); scaled to image_size x image_size if given.

    Transparent pixels are laid on white; 16-bit greys are scaled to 8 bits.
    """
    try:
        with Image.open(io.BytesIO(content)) as picture:
            picture = plain(picture)
            if image_size is not None and picture.size != (image_size, image_size):
                picture = picture.resize((image_size, image_size), Image.Resampling.BOX)
            return np.asarray(picture)
    except (
        UnidentifiedImageError,
        OSError,
        SyntaxError,
        ValueError,
        zlib.error,
        Image.DecompressionBombError,
    ) as error:
        raise InputError(f"cannot read the picture {name} ({error}); repair or remove it") from None


def plain(picture: Image.Image) -> Image.Image:
    """The picture in mode L or RGB."""
    if picture.mode.startswith("I"):  # 16 bits, or 32 that hold 16
        return Image.fromarray((np.asarray(picture).clip(0, 65_535) / 257).round().astype(np.uint8))
    grey = picture.mode in ("1", "L", "LA", "La")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    if grey or picture.mode != "P":
        return picture.convert("L" if grey else "RGB")
    colours = np.asarray(picture.convert("RGB"))
    return picture.convert("L" if (colours == colours[..., :1]).all() else "RGB")


def read_pictures(names: list[str], read: Callable[[str], bytes], image_size: int | None) -> np.ndarray:
    """All pictures as one array (N, H, W) or (N, H, W, 3).

    Raises:
        ValueError: If one cannot be read, or sizes or colours are mixed.
    """
    with ThreadPoolExecutor() as pool:  # decoding releases the interpreter lock
        pictures = list(pool.map(lambda name: read_picture(read(name), name, image_size), names))
    for name, picture in zip(names, pictures):
        if picture.shape != pictures[0].shape:
            raise InputError(
                f"pictures must have one size and be all grey or all colour: {names[0]} is "
                f"{describe(pictures[0])}, {name} is {describe(picture)}; --image_size scales them, "
                "colour you convert yourself"
            )
    if pictures[0].shape[0] != pictures[0].shape[1]:
        raise InputError(f"pictures must be square, {names[0]} is {describe(pictures[0])}; --image_size scales them")
    return np.stack(pictures)


def describe(picture: np.ndarray) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]} {'grey' if picture.ndim == 2 else 'colour'}"


def picture_names(names: Iterable[str]) -> list[str]:
    """Picture files in a stable order, hidden ones and the resource forks of macOS zips left out."""
    return sorted(
        name for name in names
        if PurePath(name).suffix.lower() in SUFFIXES
        and not any(part.startswith((".", "__MACOSX")) for part in PurePath(name).parts)
    )


def picture_source(path: Path) -> tuple[list[str], Callable[[str], bytes]]:
    """Names of the pictures under a folder or in a zip, and how to read one.

    Raises:
        ValueError: If there is no such place, it holds no pictures, or the zip is damaged.
    """
    if path.is_dir():
        names = picture_names(str(p.relative_to(path)) for p in path.rglob("*") if p.is_file())
        read = lambda name: (path / name).read_bytes()  # noqa: E731
    elif zipfile.is_zipfile(path):
        try:
            archive = zipfile.ZipFile(path)  # its reads are safe from several threads
        except zipfile.BadZipFile as error:
            raise InputError(f"{path} is a damaged zip ({error}); download it again") from None
        names = picture_names(archive.namelist())

        def read(name: str) -> bytes:
            try:
                return archive.read(name)
            except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
                raise InputError(
                    f"{path} cannot be read at {name} ({error}); download it again, or unpack it"
                ) from None
    elif path.exists():
        raise InputError(f"{path} is neither a folder of pictures nor a complete zip of them; download it again")
    else:
        raise InputError(f"{path} does not exist; --data_path names a folder or zip of pictures")
    if not names:
        raise InputError(f"no pictures ({', '.join(sorted(SUFFIXES))}) in {path}; --data_path names where they are")
    return names, read


def image_folder(options: DataOptions) -> Dataset:
    """The user's pictures under data_path; the folder right above a picture is its class if there are several.

    Those in a folder named unlabelled have none. Pictures of classes below a folder named test are the test data;
    without it a tenth of all is, or a fifth of the labelled where others are not.
    """
    names, read = picture_source(options.data_path)
    paths = [PurePath(name) for name in names]
    folders = {path.parent.name for path in paths}
    classes = sorted(folder for folder in folders if folder.lower() not in NO_CLASS)
    flat = [path for path in paths if path.parent == PurePath(TEST)]
    if flat and len(classes) < len(folders):
        raise InputError(f"pictures in {TEST} need a folder of their class, got {flat[0]}; move them into "
                         f"{TEST}/CLASS, or rename {TEST} if it is a class")
    data = images_tensor(read_pictures(names, read, options.image_size), None)
    if len(folders) < 2:
        return split(data, None, 0.1, "image_folder", ())
    labels = torch.tensor([classes.index(p.parent.name) if p.parent.name in classes else UNKNOWN for p in paths])
    apart = torch.tensor([TEST in (part.lower() for part in p.parts[:-2]) for p in paths]) & (labels != UNKNOWN)
    if apart.all():
        raise InputError(f"{options.data_path} holds pictures in its folder {TEST} alone; name the folder above it, or "
                         "add pictures to train on")
    if not apart.any() and (labels != UNKNOWN).all():
        return split(data, labels, 0.1, "image_folder", tuple(classes))
    if not apart.any():
        apart = a_share_of_each_class(labels, 0.2)
    return Dataset("image_folder", data[~apart], data[apart], labels[~apart], labels[apart], tuple(classes))


DATA_SETS.register("image_folder")(DataSource(image_folder, {}))


def a_share_of_each_class(labels: torch.Tensor, share: float) -> torch.Tensor:
    """(n,) bool: a fixed random share of the labelled of each class, at least one of it but never all."""
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(labels)))
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels[labels != UNKNOWN].unique():
        own = order[labels[order] == label]
        chosen[own[: min(max(1, round(share * len(own))), len(own) - 1)]] = True
    return chosen


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
    names, read = picture_source(source)
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
        images = read_pictures(names, read, size)
        write_cache(cache, stamp, images)
    labels = torch.tensor([SHAPES.index(PurePath(name).parent.name) for name in names])
    return split(images_tensor(images, None), labels, 0.2, "four_shapes", SHAPES)


DATA_SETS.register("four_shapes")(DataSource(four_shapes, {}))


def fingerprint(source: Path, names: list[str]) -> str:
    """Changes whenever a picture is added, moved, edited or removed."""
    files = [source / name for name in names] if source.is_dir() else [source]
    marks = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr(marks).encode()).hexdigest()


def read_cache(cache: Path, stamp: str) -> np.ndarray | None:
    """The cached images if they were made from this very source."""
    try:
        with np.load(cache, allow_pickle=False) as stored:
            return stored["images"] if str(stored["source"]) == stamp else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None  # absent, or damaged: it is made again


def write_cache(cache: Path, stamp: str, images: np.ndarray) -> None:
    """Keeps the conversion; a folder that cannot be written costs the next run its time, not this one."""

    def write(path: Path) -> None:
        with open(path, "wb") as file:
            np.savez_compressed(file, images=images, source=np.array(stamp))

    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(cache, write)
    except OSError as error:
        print(f"four_shapes: cannot keep the conversion in {cache} ({error}); the next run decodes again")
