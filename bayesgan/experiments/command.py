"""The command line of the experiments."""

import sys

from bayesgan.commands.parser import call
from bayesgan.experiments.frame import conduct

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    return call(lambda: conduct(arguments))
