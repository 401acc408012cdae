"""`python -m bayesgan COMMAND`: what is done with the package besides training."""

import argparse
import sys
from pathlib import Path

from bayesgan.benchmarks import BENCHMARKS
from bayesgan.basics.devices import keep_freed_memory, pick_device
from bayesgan.commands.exit_codes import exit_code
from bayesgan.commands.resample import add_resample_arguments, resample_from
from bayesgan.commands.evaluate import evaluate


def parser() -> argparse.ArgumentParser:
    main = argparse.ArgumentParser(prog="python -m bayesgan")
    commands = main.add_subparsers(required=True)
    evaluation = commands.add_parser("evaluate", help="what a semi-supervised run's posterior knows about all test data")
    evaluation.add_argument("run", type=Path, metavar="RUN", help="for example runs/bgan_digits_1700000000")
    evaluation.add_argument("--data_path", "--data-path", type=Path, help="where its data is now, if it has moved")
    evaluation.add_argument("--device", default="cpu", help="where to compute (default: cpu)")
    evaluation.set_defaults(call=lambda given: print(evaluate(given.run, pick_device(given.device), given.data_path)))
    resampling = commands.add_parser("resample", help="better samples from a run: its generators corrected by its discriminators")
    add_resample_arguments(resampling)
    resampling.set_defaults(call=resample_from)
    benchmark = commands.add_parser("benchmark", help="measure speed, as ratios in one run")
    names = benchmark.add_subparsers(required=True)
    for name in BENCHMARKS:
        add_arguments, run = BENCHMARKS[name]
        one = names.add_parser(name)
        add_arguments(one)
        one.set_defaults(call=run)
    return main


if __name__ == "__main__":
    arguments = parser().parse_args()
    keep_freed_memory()
    sys.exit(exit_code(lambda: arguments.call(arguments)))
