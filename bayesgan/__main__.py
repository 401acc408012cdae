"""`python -m bayesgan COMMAND`: what is done with the package besides training."""

import argparse
import sys

from bayesgan.benchmarks import BENCHMARKS
from bayesgan.errors import InputError

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bayesgan")
    commands = parser.add_subparsers(dest="command", required=True)
    benchmark = commands.add_parser("benchmark", help="measure speed, as ratios in one run")
    names = benchmark.add_subparsers(dest="name", required=True)
    for name in BENCHMARKS:
        add_arguments, _ = BENCHMARKS[name]
        add_arguments(names.add_parser(name))
    arguments = parser.parse_args()
    try:
        BENCHMARKS[arguments.name][1](arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
