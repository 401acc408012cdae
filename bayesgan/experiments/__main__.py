"""`python -m bayesgan.experiments NAME`: each published figure or table as one command."""

import sys

from bayesgan.basics.stopping import start
from bayesgan.commands.parser import call
from bayesgan.experiments.frame import conduct


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    return call(lambda: conduct(arguments))


if __name__ == "__main__":
    sys.exit(start("bayesgan.experiments.__main__"))
