"""`python -m bayesgan.experiments NAME`: each published figure or table as one command."""

import argparse
import sys
from pathlib import Path

from bayesgan.basics.devices import keep_freed_memory
from bayesgan.experiments import EXPERIMENTS
from bayesgan.commands.exit_codes import exit_code


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bayesgan.experiments")
    names = parser.add_subparsers(dest="name", required=True)
    for name in EXPERIMENTS:
        add_arguments, _ = EXPERIMENTS[name]
        own = names.add_parser(name)
        own.add_argument("--out_dir", "--out-dir", type=Path, default=Path("runs") / name, help="folder for the results")
        add_arguments(own)
    given = parser.parse_args(arguments)
    keep_freed_memory()
    return exit_code(lambda: EXPERIMENTS[given.name][1](given))


if __name__ == "__main__":
    sys.exit(main())
