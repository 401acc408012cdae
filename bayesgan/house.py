"""`python -m bayesgan COMMAND`: what is done with the package besides training."""

import argparse
import shlex
import sys

from bayesgan.benchmarks import BENCHMARKS
from bayesgan.commands import check, classify, data, evaluate, export, judge, report, resample, runs, score
from bayesgan.commands.parser import Parser, call
from bayesgan.options import add_flags, check_values, given_flags

PROGRAM = "python -m bayesgan"
COMMANDS = {
    "check": (check, "whether a run's folder is whole, every checksum compared, and what to do where it is not"),
    "classify": (classify, "the classes of new pictures or arrays by a semi-supervised run, with its doubt about each"),
    "data": (data, "what a data set is understood as, with a picture; trains nothing"),
    "evaluate": (evaluate, "what a semi-supervised run's posterior knows about all test data"),
    "export": (export, "a folder that others can use: a model card, all weights, one generator as a program"),
    "judge": (judge, "train the classifier that scores a labelled grey image set, and keep it"),
    "report": (report, "one page about a run, or about several side by side"),
    "resample": (resample, "better samples from a run: its generators corrected by its discriminators"),
    "runs": (runs, "which runs there are in a folder, how far and how good"),
    "score": (score, "FID, KID, precision, recall, class score and coverage of a run's generators and their mixture"),
}


def parser() -> argparse.ArgumentParser:
    """Of all commands; what it parses has `command`, and `benchmark` where that is the command."""
    main = Parser(prog=PROGRAM)
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, help) in COMMANDS.items():
        module.add_arguments(commands.add_parser(name, help=help, description=help))
    about = "measure speed, as ratios in one run"
    names = commands.add_parser("benchmark", help=about, description=about).add_subparsers(
        dest="benchmark", required=True, metavar="NAME"
    )
    for name in BENCHMARKS:
        benchmark = BENCHMARKS[name]
        own = names.add_parser(name, help=benchmark.about.splitlines()[0], description=benchmark.about)
        add_flags(own, benchmark.settings)
    return main


def run(arguments: list[str]) -> int | None:
    """One command line; returns its exit code, None for 0."""
    given = parser().parse_args(arguments)
    if given.command in COMMANDS:
        module, _ = COMMANDS[given.command]
        return module.run(given)
    benchmark = BENCHMARKS[given.benchmark]
    settings = benchmark.settings(**given_flags(given, benchmark.settings))
    check_values(settings)
    benchmark.run(settings, f"{PROGRAM} {shlex.join(arguments)}")


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    return call(lambda: run(arguments))

