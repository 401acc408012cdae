"""How a run ends early: input that breaks a rule, or a chain that left the finite numbers; and what only warns."""

import operator
import os
import sys
import warnings
from pathlib import Path

__all__ = ["Diverged", "InputError", "reason", "refuse_count", "refuse_no_function", "warn"]

PACKAGE = str(Path(__file__).parents[1]) + os.sep


class InputError(ValueError):
    """Bad input: one line with the rule, the value and the remedy. The command line prints it and exits with 2."""


class Diverged(RuntimeError):
    """A loss or gradient became non-finite: names the member and the step. The command line exits with 3."""


def reason(error: BaseException) -> str:
    """What somebody else's error says, as the part of one line that it is to become."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def warn(text: str) -> None:
    """A warning at the line of the user's that called the package, whatever is between it and here."""
    frame, files = sys._getframe(1), []
    while frame is not None:
        files.append(frame.f_code.co_filename)
        frame = frame.f_back
    level = max(at for at, file in enumerate(files) if file.startswith(PACKAGE)) + 1
    torch = tuple(sys.modules["torch"].__path__)  # whose decorators are around what is the package's
    while level < len(files) - 1 and files[level].startswith(torch):
        level += 1
    warnings.warn(text, stacklevel=level + 2)


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
