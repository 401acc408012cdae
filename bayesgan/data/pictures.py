"""Picture files decoded to arrays: turned, cropped, laid on a background, of one size and one number of channels."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageColor, ImageOps, UnidentifiedImageError

from bayesgan.basics.errors import InputError, reason
from bayesgan.data.dataset import DataOptions
from bayesgan.data.values import Values, as_bytes, check_range, colour_channels, grey_channel, value_scale

__all__ = ["FILTER", "background_colour", "is_picture", "read_picture", "read_pictures"]

NO_PICTURES = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "PDF", "WMF"}  # Pillow knows them and needs help to read them
FILTER = Image.Resampling.BILINEAR  # that of `images_tensor`
GREY = ("1", "L", "LA", "La")


class Picture(NamedTuple):
    """One decoded picture.

    Attributes:
        pixels: (H, W) grey, or (H, W, 3). uint8, or int32 and float32 where a grey file holds more than that.
        cropped: Whether its ends were cut off.
        clear: Whether it had transparent pixels.
        several: Whether its file holds more pictures.
        values: The smallest and the largest value before it was scaled, and one that is not whole, if any is: of grey
            of more than 8 bits, and where the user says what is black and white; else empty.
    """

    pixels: np.ndarray
    cropped: bool
    clear: bool
    several: bool
    values: np.ndarray


def is_picture(suffix: str) -> bool:
    """Whether Pillow reads files that end so, `suffix` with its dot."""
    return Image.registered_extensions().get(suffix.lower()) in Image.OPEN.keys() - NO_PICTURES


def background_colour(name: str) -> tuple[int, int, int]:
    """Red, green and blue of a colour's name or #rrggbb.

    Raises:
        ValueError: If there is no such colour.
    """
    try:
        return ImageColor.getrgb(name)[:3]
    except ValueError:
        raise InputError(f"--background must be a colour such as white, black or #808080, got {name!r}") from None


def read_picture(content: bytes, name: str, options: DataOptions) -> Picture:
    """One picture, turned as its camera says (EXIF), transparent pixels on `background`; of a film the first picture.

    With an `image_size`, its middle square (or all of it, by `crop`) is scaled to that. Where the user says what is
    black and white, pictures of 8 bits are brought to 0..255 first: scaled, 0 and 1 would have nothing between them.

    Raises:
        ValueError: If it is damaged.
    """
    try:
        if not content:
            raise ValueError("it has no bytes")
        with Image.open(io.BytesIO(content)) as picture:
            several = getattr(picture, "n_frames", 1) > 1
            picture, clear, values = plain(ImageOps.exif_transpose(picture), background_colour(options.background),
                                           options.value_range)
            oblong = picture.width != picture.height
            if options.image_size is not None and picture.size != (options.image_size,) * 2:
                scale = ImageOps.fit if options.crop == "center" else Image.Image.resize
                picture = scale(picture, (options.image_size,) * 2, FILTER)
                oblong &= options.crop == "center"
            return Picture(np.asarray(picture), oblong and options.image_size is not None, clear, several, values)
    except Exception as error:  # every decoder has errors of its own
        if isinstance(error, InputError):
            raise
        unknown = isinstance(error, UnidentifiedImageError)  # whose words are an address
        why = "it is of no known format" if unknown else reason(error)
        raise InputError(f"cannot read the picture {name} ({why}); repair or remove it") from None


def plain(
    picture: Image.Image, background: tuple[int, int, int], given: tuple[float, float] | Values | None
) -> tuple[Image.Image, bool, np.ndarray]:
    """The picture in mode L or RGB, or with more than 8 bits of grey I or F; whether any of it was transparent; and
    `values` of a `Picture`.
    """
    if picture.mode == "F" or picture.mode.startswith("I"):
        picture = picture if picture.mode == "F" else picture.convert("I")
        before = np.asarray(picture)
        if not np.isfinite(before).all():
            raise ValueError("it holds NaN or infinity")
        return picture, False, np.array([before.min(), before.max(), *before[before % 1 != 0][:1]], before.dtype)
    grey, clear, values = picture.mode in GREY, False, np.array((), np.uint8)
    transparent = picture.has_transparency_data
    if picture.mode == "P" and not transparent:
        colours = np.asarray(picture.convert("RGB"))
        grey = bool((colours == colours[..., :1]).all())
    picture = picture.convert("RGBA" if transparent else "L" if grey else "RGB")
    if given is not None:
        seen = np.asarray(picture)
        seen = seen[seen[..., 3] > 0, :3] if transparent else seen
        values = np.array([seen.min(initial=255), seen.max(initial=0)] if seen.size else (), np.uint8)
        levels = as_bytes(np.arange(256.0), *given[:2]).tolist()
        picture = picture.point(levels * (3 if transparent else len(picture.getbands()))
                                + list(range(256)) * transparent)
    if transparent:
        clear = picture.getextrema()[3][0] < 255
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, (*background, 255)), picture)
        grey &= not clear or len(set(background)) == 1
        picture = picture.convert("L" if grey else "RGB")
    return picture, clear, values


def read_pictures(
    names: list[str], read: Callable[[str], bytes], options: DataOptions, differ: bool = True
) -> tuple[np.ndarray, Values, list[str]]:
    """All pictures as one array (N, H, W) or (N, H, W, 3) of uint8, and how they were understood, also in sentences.

    Args:
        differ: They must not be all the same once transparent pixels have a colour, as training data must not.

    Raises:
        ValueError: If one cannot be read, sizes or depths are mixed, or the background hides what they show.
    """
    if options.value_range is not None:
        check_range(options.value_range)
    with ThreadPoolExecutor() as pool:  # decoding releases the interpreter lock
        pictures = list(pool.map(lambda name: read_picture(read(name), name, options), names))
    first = pictures[0].pixels
    for name, picture in zip(names, pictures):
        if picture.pixels.shape[:2] != first.shape[:2]:
            raise InputError(f"pictures must have one size: {names[0]} is {describe(first)}, {name} is "
                             f"{describe(picture.pixels)}; --image_size scales them")
        if picture.pixels.dtype != first.dtype:
            raise InputError(f"pictures must have one depth: {names[0]} is {describe(first)}, {name} is "
                             f"{describe(picture.pixels)}; convert those of more than 8 bits")
    if first.shape[0] != first.shape[1]:
        raise InputError(f"pictures must be square, {names[0]} is {describe(first)}; --image_size cuts them to their "
                         "middle square and scales that, with --crop none all of them")
    channels, notes = one_kind([picture.pixels for picture in pictures], options.channels)
    stacked = np.stack(channels)
    found = np.concatenate([picture.values for picture in pictures])  # scaling takes ends off
    black, white, note = value_scale([found if len(found) else stacked], options.value_range)
    clear = sum(picture.clear for picture in pictures)
    if clear and differ and (stacked == stacked[:1]).all():
        raise InputError(f"all {len(names)} pictures are the same on {options.background}, which shows where they are "
                         "transparent; give another --background")
    if cropped := sum(picture.cropped for picture in pictures):
        notes.append(f"{cropped} were not square and are cut to their middle square")
    if several := sum(picture.several for picture in pictures):
        notes.append(f"{several} files hold several pictures, of which the first is read")
    if clear:
        notes.append(f"{clear} have transparent pixels, which are {options.background} now")
    if options.value_range is None or first.dtype != np.uint8:  # else they are
        stacked = as_bytes(stacked, black, white)
    return stacked, Values(black, white, first.dtype.name), [note, *notes]


def one_kind(pictures: list[np.ndarray], channels: int | None) -> tuple[list[np.ndarray], list[str]]:
    """All grey (H, W) or all colour (H, W, 3): as `channels` says, else as most are; and what that changed, in words.

    Files that could hold colours and hold none are grey where others are.
    """
    flat, by_most = [picture.ndim == 2 for picture in pictures], channels is None
    if by_most and (all(flat) or not any(flat)):
        return pictures, []
    pictures = [
        picture[..., 0] if picture.ndim == 3 and (picture == picture[..., :1]).all() else picture
        for picture in pictures
    ]
    grey = sum(picture.ndim == 2 for picture in pictures)
    coloured = len(pictures) - grey
    if by_most:
        channels = 3 if coloured >= grey else 1
    convert = grey_channel if channels == 1 else colour_channels
    changed = coloured if channels == 1 else grey
    told = f"{changed} of {len(pictures)} are {'colour and made grey' if channels == 1 else 'grey'}"
    if by_most:
        told += f"; --channels {4 - channels} {'keeps their colours' if channels == 1 else 'makes all grey'}"
    pictures = [convert(picture) if picture.ndim != (2 if channels == 1 else 3) else picture for picture in pictures]
    return pictures, [told] if changed else []


def describe(picture: np.ndarray) -> str:
    depth = "" if picture.dtype == np.uint8 else " of more than 8 bits"
    return f"{picture.shape[1]}x{picture.shape[0]} {'grey' if picture.ndim == 2 else 'colour'}{depth}"
