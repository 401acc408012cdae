"""What numbers in a user's images mean: which value is black and which is white, told back in words."""

from typing import NamedTuple

import numpy as np

from bayesgan.basics.errors import InputError

__all__ = ["Values", "as_bytes", "check_range", "colour_channels", "grey_channel", "scale_of_parts", "value_scale"]

ROUNDING = 1e-3  # of a range, by which floats may miss it
DEPTHS = (8, 10, 12, 14, 16)  # bits of whole-number images
CHUNK = 1000  # images converted at a time
LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601


class Values(NamedTuple):
    """What numbers in a user's images stand for.

    Attributes:
        black, white: The numbers of these.
        kind: The numpy type that they were stored as.
    """

    black: float
    white: float
    kind: str


def value_scale(arrays: list[np.ndarray], given: tuple[float, float] | Values | None) -> tuple[float, float, str]:
    """The values of black and white in images of one kind, and how that was found.

    Args:
        given: What the user says they are, or what they were in the training data.

    Raises:
        ValueError: If values lie outside of every range that images are stored in, or of the one given.
    """
    low, high = (float(pick([float(pick(array)) for array in arrays])) for pick in (np.min, np.max))
    kind = arrays[0].dtype.kind
    found = f"values {low:g}..{high:g}"
    if isinstance(given, Values):
        margin = ROUNDING * (given.white - given.black) if kind == "f" else 0
        if low < given.black - margin or high > given.white + margin:
            raise InputError(f"images have values {low:g}..{high:g}, those that the run was trained on were on the "
                             f"scale of {given.black:g}..{given.white:g}; save these on the same scale")
        return *given[:2], f"{found}, taken for {given.black:g}..{given.white:g} as in training"
    if given is not None:
        check_range(given)
        if low < given[0] or high > given[1]:
            raise InputError(f"--value_range {given[0]:g} {given[1]:g} leaves out values of the images, which lie in "
                             f"{low:g}..{high:g}; widen it")
        return *given, f"{found}, taken for {given[0]:g}..{given[1]:g} as --value_range says"
    if kind == "b":
        return 0, 1, f"{found}, black and white"
    if kind == "f":
        for black, white in ((0, 1), (-1, 1), (0, 255)):
            margin = ROUNDING * (white - black)
            fits = black - margin <= low and high <= white + margin
            if fits and (white < 255 or all((array % 1 == 0).all() for array in arrays)):
                break
        else:
            raise InputError("floating-point images must lie in [0, 1], [-1, 1] or, if whole, [0, 255], got "
                             f"[{low:.9g}, {high:.9g}]; scale them, or say with --value_range LOW HIGH what is black "
                             "and what is white")
    elif high == 1 and low >= 0:
        raise InputError("whole-number images must use 0..255, got only 0 and 1; save them as bool or as floats, or "
                         "give --value_range 0 1")
    else:
        white = next((2**bits - 1 for bits in DEPTHS if high <= 2**bits - 1), 0)
        if low < 0 or not white:
            raise InputError(f"whole-number images must lie in 0..65535, got {low:g}..{high:g}; say with --value_range "
                             "LOW HIGH what is black and what is white")
        black = 0
    note = f"{found}, taken for {black:g}..{white:g}"
    if black == -1 and low > -1 / 2:
        note += "; warning: nothing is near -1, where black would be; if it is at 0, clip them there"
    if high - low < (white - black) / 4:
        note += f"; warning: that is under a quarter of the range, --value_range {low:g} {high:g} uses all of it"
    return black, white, note


def check_range(given: tuple[float, float] | Values) -> None:
    """Raises InputError for what cannot be black and white."""
    black, white = given[:2] if len(given) >= 2 else (0, 0)
    if (len(given) != 2 and not isinstance(given, Values)) or not -np.inf < black < white < np.inf:
        raise InputError(f"--value_range takes two numbers, black and white, the smaller first, got {given}")


def scale_of_parts(
    parts: dict[str, np.ndarray], given: tuple[float, float] | Values | None
) -> tuple[float, float, str]:
    """As `value_scale`, of parts that must be stored alike: training and test images.

    Raises:
        ValueError: If they are of different types, or of floats on different scales.
    """
    kinds = {name: array.dtype.kind if array.dtype.kind == "f" else array.dtype.str[1:]
             for name, array in parts.items()}
    if len(set(kinds.values())) > 1:
        raise InputError(f"{' and '.join(f'{name} is {array.dtype}' for name, array in parts.items())}, so black and "
                         "white differ; save both alike")
    if given is None and set(kinds.values()) == {"f"}:
        found = {name: value_scale([array], None)[:2] for name, array in parts.items()}
        if len(set(found.values())) > 1:
            words = " and ".join(f"{name} is taken for {black:g}..{white:g}" for name, (black, white) in found.items())
            raise InputError(f"{words}; scale both alike, or say with --value_range LOW HIGH what is black and white")
    return value_scale(list(parts.values()), given)


def as_bytes(images: np.ndarray, black: float, white: float) -> np.ndarray:
    """The same images as uint8, black 0 and white 255."""
    if images.dtype == np.uint8 and (black, white) == (0, 255):
        return images
    found = np.empty(images.shape, np.uint8)
    for start in range(0, len(images), CHUNK):  # doubles of them all would be eight times as large, several times over
        part = images[start : start + CHUNK].astype(np.float64)
        found[start : start + CHUNK] = np.rint((part - black) * (255 / (white - black))).clip(0, 255)
    return found


def grey_channel(colours: np.ndarray) -> np.ndarray:
    """(..., 3) red, green and blue to (...) grey of the same type."""
    grey = colours.astype(np.float64) @ np.array(LUMINANCE)
    return (grey if colours.dtype.kind == "f" else np.rint(grey)).astype(colours.dtype)


def colour_channels(grey: np.ndarray) -> np.ndarray:
    """(...) grey to (..., 3) red, green and blue."""
    return np.repeat(grey[..., None], 3, axis=-1)
