"""Test errors on MNIST from few labels: supervised, maximum-likelihood GAN, its ensemble, and the posterior.

The table of Saatchi & Wilson 2017, section 4.2, on all 10,000 test images, over label draws.
"""

import argparse

from bayesgan.basics.errors import InputError
from bayesgan.experiments.label_table import add_run_arguments, collect, save_table
from bayesgan.experiments.registry import EXPERIMENTS
from bayesgan.options.recipes import RECIPES

__all__ = ["METHODS", "run"]

METHODS = {  # of the same networks; "supervised" comes with the first of them
    "bayes": {},
    "ensemble": {"temperature": 0.0},
    "ml": {"ml": True},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--N", type=int, nargs="+", default=[20, 50, 100, 200, 1000], help="numbers of labels")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help=f"any of: {', '.join(METHODS)}")
    parser.add_argument("--recipe", default="mnist-best", help="settings of the networks (default: mnist-best)")
    add_run_arguments(parser, draws=10, train_iter=30000)


def run(arguments: argparse.Namespace) -> None:
    """Trains what is missing, prints the table, writes it as CSV, Markdown and a plot."""
    if unknown := [method for method in arguments.methods if method not in METHODS]:
        raise InputError(f"--methods must be among: {', '.join(METHODS)}; got {unknown[0]}")
    if arguments.recipe not in RECIPES:
        raise InputError(f"--recipe must be one of: {', '.join(RECIPES)}; got {arguments.recipe}")
    cells = {(method, labels): {"recipe": arguments.recipe, **METHODS[method]}
             for labels in arguments.N for method in arguments.methods}
    command = (f"python -m bayesgan.experiments mnist_labels --N {' '.join(map(str, arguments.N))} --draws {arguments.draws} "
               f"--methods {' '.join(arguments.methods)} --recipe {arguments.recipe} --train_iter {arguments.train_iter}")
    save_table(arguments, command, collect(arguments, cells))


EXPERIMENTS.register("mnist_labels")((add_arguments, run))
