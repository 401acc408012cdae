"""How a run ends early: input that breaks a rule, or a chain that left the finite numbers; and what only warns."""

import operator
import sys
import warnings
from pathlib import Path

__all__ = ["Diverged", "InputError", "reason", "refuse_count", "refuse_no_function", "warn"]

PACKAGE = str(Path(__file__).parents[1])


class InputError(ValueError):
    """Bad input: one line with the rule, the value and the remedy. The command line prints it and exits with 2."""


class Diverged(RuntimeError):
    """A loss or gradient became non-finite: names the member and the step. The command line exits with 3."""


def reason(error: BaseException) -> str:
    """What somebody else's error says, as the part of one line that it is to become."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def warn(text: str) -> None:
    """A warning at the line of the user's that led here, however deep inside the package, and torch's decorators."""
    inside = (PACKAGE, *sys.modules["torch"].__path__)
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(inside):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, stacklevel=level)


def refuse_count(value, name: str = "n", of: str = "", least: int = 1, remedy: str = "") -> None:
    """Raises InputError for a count that is no whole number, or less than `least`; `of` says what is counted."""
    of, remedy = of and f" {of}", remedy and f"; {remedy}"
    try:
        few = operator.index(None if isinstance(value, bool) else value) < least
    except TypeError:
        raise InputError(f"{name} must be a whole number, got {value!r}{remedy}") from None
    if few:
        raise InputError(f"{name} must be at least {least}{of}, got {value}{remedy}")


def refuse_no_function(value, name: str, form: str) -> None:
    """Raises InputError for what cannot be called; `form` says how it is."""
    if not callable(value):
        raise InputError(f"{name} must be a function, {form}, got {value!r}")
