"""Files that a program wrote and anybody may have changed: read once, checked to be what they should be."""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

from bayesgan.basics.errors import InputError, reason

__all__ = ["Number", "Optional", "checked", "read_json"]

MOST_BYTES = 2**28


@dataclass(frozen=True)
class Number:
    """A finite number of a kind, int (of 64 bits) or float, and its least value; a truth value is none."""

    kind: type
    least: float = -math.inf

    def __str__(self) -> str:
        low = f", at least {self.least:g}" if self.least > -math.inf else ""
        return f"a {'whole ' if self.kind is int else ''}number{low}"

    def admits(self, value) -> bool:
        kinds = int if self.kind is int else (int, float)
        most = 2**63 if self.kind is int else 1e300
        return isinstance(value, kinds) and not isinstance(value, bool) and abs(value) < most and value >= self.least


@dataclass(frozen=True)
class Optional:
    """A value that may be None, or absent where it is a field."""

    of: object


def read_json(path: Path, remedy: str):
    """What a JSON file holds.

    Raises:
        ValueError: If it is absent, unreadable, huge or no JSON.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError("it is too large")
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else reason(error)
        raise InputError(f"{path} is missing or damaged ({why}); {remedy}") from None


def checked(value, shape, name: str, remedy: str):
    """`value`, if it has the shape that is wanted.

    Args:
        shape: A type; a `Number`; a compiled pattern that the whole of a text must match; an `Optional`; a list of one
            shape, of all entries, and with `...` behind it there must be one; a dict of the fields that must be there,
            others being allowed.
        name: What is checked, for the message.

    Raises:
        ValueError: Naming the entry that is wrong, what it should be and what to do.
    """
    if isinstance(shape, Optional):
        return value if value is None else checked(value, shape.of, name, remedy)
    if isinstance(shape, list):
        require(isinstance(value, list), name, "a list", value, remedy)
        require(len(value) > 0 or ... not in shape, name, "a list with entries", value, remedy)
        for number, entry in enumerate(value):
            checked(entry, shape[0], f"{name}, entry {number}", remedy)
    elif isinstance(shape, dict):
        require(isinstance(value, dict), name, "an object", value, remedy)
        for field, inner in shape.items():
            if field not in value and not isinstance(inner, Optional):
                raise InputError(f"{name} is damaged: it has no {field!r}; {remedy}")
            checked(value.get(field), inner, f"{name}, {field}", remedy)
    elif isinstance(shape, Number):
        require(shape.admits(value), name, str(shape), value, remedy)
    elif isinstance(shape, re.Pattern):
        fits = isinstance(value, str) and shape.fullmatch(value) is not None
        require(fits, name, f"text like {shape.pattern}", value, remedy)
    else:
        require(isinstance(value, shape), name, shape.__name__, value, remedy)
    return value


def require(fits: bool, name: str, wanted: str, value, remedy: str) -> None:
    if not fits:
        got = repr(value)
        raise InputError(f"{name} is damaged: it must be {wanted}, got {got[:60]}{'...' * (len(got) > 60)}; {remedy}")
