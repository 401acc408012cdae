"""Folders and zips of picture files: the user's own images, and the four-shapes set with its cache."""

import hashlib
import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePath

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from bayesgan.basics.errors import InputError
from bayesgan.basics.files import write_atomically
from bayesgan.data.dataset import (
    DATA_SETS,
    UNKNOWN,
    DataOptions,
    Dataset,
    DataSource,
    a_share_of_each_class,
    images_tensor,
    split,
)
from bayesgan.data.values import as_bytes, value_scale

__all__ = ["read_picture", "read_pictures"]

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".jp2", ".avif"}
NO_CLASS = ("unlabelled", "unlabeled")  # folders of pictures whose class nobody has said
TEST = ("test", "testing")  # folders of class folders that are never trained on
TRAIN, VALIDATION = ("train", "training"), ("val", "valid", "validation")
SHOWN = 12  # classes that a note names
SHAPES = ("circle", "square", "star", "triangle")


def read_picture(content: bytes, name: str, image_size: int | None) -> np.ndarray:
    """One picture as uint8 (H, W) if it is grey, else (H, W, 3); scaled to image_size x image_size if given.

    It is turned as its camera says (EXIF), transparent pixels are laid on white, and of a film the first picture
    counts. Greys of more than 8 bits stay as they are, int32.
    """
    try:
        with Image.open(io.BytesIO(content)) as picture:
            picture = plain(ImageOps.exif_transpose(picture))
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
    """The picture in mode L, RGB or, with more than 8 bits, I."""
    if picture.mode.startswith("I"):
        return picture.convert("I")
    grey = picture.mode in ("1", "L", "LA", "La")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    if grey or picture.mode != "P":
        return picture.convert("L" if grey else "RGB")
    colours = np.asarray(picture.convert("RGB"))
    return picture.convert("L" if (colours == colours[..., :1]).all() else "RGB")


def read_pictures(
    names: list[str], read: Callable[[str], bytes], image_size: int | None,
    value_range: tuple[float, float] | None = None,
) -> tuple[np.ndarray, str]:
    """All pictures as one array (N, H, W) or (N, H, W, 3) of uint8, and what their values were taken for.

    Raises:
        ValueError: If one cannot be read, sizes or depths are mixed, or all are the same.
    """
    with ThreadPoolExecutor() as pool:  # decoding releases the interpreter lock
        pictures = list(pool.map(lambda name: read_picture(read(name), name, image_size), names))
    pictures, mixed = one_mode(pictures)
    for name, picture in zip(names, pictures):
        if picture.shape != pictures[0].shape or picture.dtype != pictures[0].dtype:
            raise InputError(
                f"pictures must have one size and one depth: {names[0]} is {describe(pictures[0])}, {name} "
                f"is {describe(picture)}; --image_size scales them, depths you convert yourself"
            )
    if pictures[0].shape[0] != pictures[0].shape[1]:
        raise InputError(f"pictures must be square, {names[0]} is {describe(pictures[0])}; --image_size scales them")
    stacked = np.stack(pictures)
    if len(stacked) > 1 and (stacked == stacked[:1]).all():
        raise InputError(f"all {len(names)} pictures are the same; there is nothing to learn from copies of one")
    black, white, note = value_scale([stacked], value_range)
    return as_bytes(stacked, black, white), note + mixed


def one_mode(pictures: list[np.ndarray]) -> tuple[list[np.ndarray], str]:
    """All grey (H, W), or all colour (H, W, 3) where some really have colours; and what that changed, in words."""
    grey = sum(picture.ndim == 2 for picture in pictures)
    if grey in (0, len(pictures)):
        return pictures, ""
    if any(picture.ndim == 3 and (picture != picture[..., :1]).any() for picture in pictures):
        return [np.repeat(p[..., None], 3, 2) if p.ndim == 2 else p for p in pictures], f"; {grey} grey ones as colour"
    return [picture[..., 0] if picture.ndim == 3 else picture for picture in pictures], ""


def describe(picture: np.ndarray) -> str:
    depth = "" if picture.dtype == np.uint8 else " of more than 8 bits"
    return f"{picture.shape[1]}x{picture.shape[0]} {'grey' if picture.ndim == 2 else 'colour'}{depth}"


def picture_names(names: Iterable[str]) -> list[str]:
    """Picture files in a stable order, hidden ones and the resource forks of macOS zips left out."""
    return sorted(
        name for name in names
        if PurePath(name).suffix.lower() in SUFFIXES
        and not any(part.startswith((".", "__MACOSX")) for part in PurePath(name).parts)
    )


def picture_source(path: Path) -> tuple[list[str], Callable[[str], bytes], str]:
    """Names of the pictures under a folder or in a zip, how to read one, and which files are left out, in words.

    Raises:
        ValueError: If there is no such place, it holds no pictures, or the zip is damaged.
    """
    if path.is_dir():
        all_names = [str(p.relative_to(path)) for p in path.rglob("*") if p.is_file()]  # no pipes, no sockets
        read = lambda name: (path / name).read_bytes()  # noqa: E731
    elif zipfile.is_zipfile(path):
        try:
            archive = zipfile.ZipFile(path)  # its reads are safe from several threads
        except zipfile.BadZipFile as error:
            raise InputError(f"{path} is a damaged zip ({error}); download it again") from None
        all_names = [name for name in archive.namelist() if not name.endswith("/")]

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
    names = picture_names(all_names)
    if not names:
        raise InputError(f"no pictures ({', '.join(sorted(SUFFIXES))}) in {path}; --data_path names where they are")
    others = Counter(PurePath(name).suffix.lower() or "no suffix" for name in set(all_names) - set(names))
    left_out = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
    return names, read, f"; left out: {left_out}" if left_out else ""


def layout(paths: list[PurePath]) -> list[tuple[PurePath, str]]:
    """The class folder of each picture and its part, "train" or "test".

    Where all pictures lie below folders named train, val, test and their like, these are parts, and so is a folder
    named test beside class folders if it holds class folders itself. What is in val is trained on. Pictures beside
    folders have no class.
    """
    tops = {path.parts[0].lower() for path in paths if len(path.parts) > 1}
    deep = any(len(path.parts) > 2 for path in paths)
    parted = deep and tops & set(TEST) and tops & set(TRAIN) and tops <= {*TEST, *TRAIN, *VALIDATION, *NO_CLASS}
    found = []
    for path in paths:
        top, place = path.parts[0].lower(), path.parent
        below = {part.lower() for part in path.parts[:-2]}
        test = bool(below & set(TEST)) and place.name.lower() not in NO_CLASS
        if parted and len(path.parts) > 2:  # part/class/.../picture
            place = PurePath(path.parts[1])
        elif tops and (len(path.parts) == 1 or (parted and top not in TEST)):
            place = PurePath(NO_CLASS[0])
        found.append((place, "test" if test else "train"))
    return found


def in_order(name: str) -> tuple:
    """Numbers as numbers, words after them."""
    return (0, int(name), "") if name.isdecimal() else (1, 0, name)


def image_folder(options: DataOptions) -> Dataset:
    """The user's pictures under data_path; the folder right above a picture is its class if there are several.

    Those in a folder named unlabelled have none. Pictures of classes below a folder named test are the test data;
    without it a tenth of all is, or a fifth of the labelled where others are not. See `layout`.
    """
    names, read, left_out = picture_source(options.data_path)
    paths = [PurePath(name) for name in names]
    own = layout(paths)
    folders = {place.name for place, _ in own}
    classes = sorted((folder for folder in folders if folder.lower() not in NO_CLASS), key=in_order)
    flat = [path for path, (place, part) in zip(paths, own) if place.name.lower() in TEST and len(path.parts) == 2]
    if flat and len(classes) < len(folders):
        raise InputError(f"pictures in {flat[0].parent} need a folder of their class, got {flat[0]}; move them into "
                         f"{flat[0].parent}/CLASS, or rename {flat[0].parent} if it is a class")
    pictures, note = read_pictures(names, read, options.image_size, options.value_range)
    data = images_tensor(pictures, None)
    notes = (f"read {len(names)} pictures{left_out}", note)
    labels = torch.tensor([classes.index(place.name) if place.name in classes else UNKNOWN for place, _ in own])
    apart = torch.tensor([part == "test" for _, part in own])
    if apart.all():
        raise InputError(f"{options.data_path} holds pictures in its folder {paths[0].parts[0]} alone; name the "
                         "folder above it, or add pictures to train on")
    if len(folders) < 2:
        one = split(data, None, 0.1, "image_folder", ()) if not apart.any() else Dataset(
            "image_folder", data[~apart], data[apart])
        return replace(one, notes=notes)
    apart &= labels != UNKNOWN
    counts = [f"{name} ({count})" for name, count in zip(classes, labels[labels != UNKNOWN].bincount().tolist())]
    without = f"; {int((labels == UNKNOWN).sum())} without a class" if (labels == UNKNOWN).any() else ""
    told = "a folder of its own" if apart.any() else "cut off here"
    notes += (f"{len(classes)} classes: {', '.join(counts[:SHOWN])}{' and more' if len(counts) > SHOWN else ''}"
              f"{without}; the test part is {told}",)
    if not apart.any() and (labels != UNKNOWN).all():
        return replace(split(data, labels, 0.1, "image_folder", tuple(classes)), notes=notes)
    if not apart.any():
        apart = a_share_of_each_class(labels, 0.2)
    return Dataset("image_folder", data[~apart], data[apart], labels[~apart], labels[apart], tuple(classes),
                   notes=notes)


DATA_SETS.register("image_folder")(DataSource(image_folder, {}))


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
        images, _ = read_pictures(names, read, size)
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
