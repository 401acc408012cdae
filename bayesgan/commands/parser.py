"""The one parser of every command line: both spellings of a flag, and one line for every mistake."""

import argparse
import re
import sys
import warnings
from collections.abc import Callable

from bayesgan.basics.devices import keep_freed_memory
from bayesgan.basics.errors import InputError
from bayesgan.commands.exit_codes import exit_code

__all__ = ["Parser", "call"]

NEGATIVE = re.compile(r"-\.?\d")


class Parser(argparse.ArgumentParser):
    """Takes --a_flag and --a-flag alike and shows one of them; raises InputError for what it cannot understand."""

    def __init__(self, **keywords):
        super().__init__(allow_abbrev=False, **keywords)
        self._negative_number_matcher = NEGATIVE  # argparse's own, before Python 3.14, takes -1e3 for a flag

    def parse_known_args(self, args=None, namespace=None):
        args = sys.argv[1:] if args is None else args
        spelling = {as_written(flag): flag for flag in self._option_string_actions}
        return super().parse_known_args([respelled(word, spelling) for word in args], namespace)

    def error(self, message: str):
        raise InputError(f"{message}; see {self.prog} --help")


def as_written(flag: str) -> str:
    """A flag with underscores for all dashes but those it begins with."""
    return "--" + flag[2:].replace("-", "_")


def respelled(word: str, spelling: dict[str, str]) -> str:
    """A word of the command line, if it is a flag in the other spelling in the parser's own."""
    if not word.startswith("--"):
        return word
    flag, equals, value = word.partition("=")
    return spelling.get(as_written(flag), flag) + equals + value


def plainly(message: Warning | str, *where) -> str:
    """A warning for people, who know nothing of lines in files."""
    return f"warning: {message}\n"


def call(command: Callable[[], int | None]) -> int:
    """Runs a command line in a process that is its own; returns the exit code."""
    keep_freed_memory()
    warnings.formatwarning = plainly
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show is no reason to fail
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    return exit_code(command)
