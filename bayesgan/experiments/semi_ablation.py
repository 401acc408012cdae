"""What does the posterior buy a classifier? Temperature, number of discriminators, coupling, feature matching and averaging
over time, one against the other on the digits with 100 labels."""

import argparse

from bayesgan.experiments.label_table import add_run_arguments, collect, save_table
from bayesgan.experiments.registry import EXPERIMENTS

__all__ = ["CELLS", "run"]

BASE = {"num_gen": 2, "num_mcmc": 1, "num_disc": 2, "temperature": 0.1, "feature_matching": False, "lr": 0.0005,
        "gen_batch_size": 64}
CELLS = {
    "base": {},
    "T=0": {"temperature": 0.0}, "T=0.01": {"temperature": 0.01}, "T=1": {"temperature": 1.0},
    "1 discriminator": {"num_disc": 1}, "5 discriminators": {"num_disc": 5},
    "full coupling": {"coupling": "full"},
    "feature matching": {"feature_matching": True}, "feature matching T=0": {"feature_matching": True, "temperature": 0.0},
    "labels count once": {"label_count": 100},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--N", type=int, default=100, help="labels")
    add_run_arguments(parser, draws=3, train_iter=1000)


def run(arguments: argparse.Namespace) -> None:
    """Trains what is missing, prints the table, writes it as CSV, Markdown and a plot."""
    cells = {(name, arguments.N): {**BASE, "label_batch_size": min(64, arguments.N), **changes} for name, changes in CELLS.items()}
    command = (f"python -m bayesgan.experiments semi_ablation --N {arguments.N} --draws {arguments.draws} "
               f"--train_iter {arguments.train_iter}")
    save_table(arguments, command, collect(arguments, cells))


EXPERIMENTS.register("semi_ablation")((add_arguments, run))
