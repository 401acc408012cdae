"""What does the posterior buy a classifier? One change at a time, on the digits with 100 labels.

Temperature, number of discriminators, coupling, feature matching, averaging over time, and how much the labels count.
"""

from dataclasses import dataclass

from bayesgan.experiments.cells import Cells
from bayesgan.experiments.label_table import collect, draws_option, jobs_option, report, train_iter_option
from bayesgan.experiments.registry import EXPERIMENTS, Experiment, Report
from bayesgan.options import option

__all__ = ["METHODS", "Settings", "run"]

# the posterior of the paper, without a teacher
BASE = {"consistency": 0.0, "spread_labels": 0, "normalise": "layer", "num_gen": 2, "num_mcmc": 1, "num_disc": 2,
        "temperature": 0.1, "feature_matching": False, "lr": 0.0005, "gen_batch_size": 64}
METHODS = {
    "base": {},
    "T=0": {"temperature": 0.0}, "T=0.01": {"temperature": 0.01}, "T=1": {"temperature": 1.0},
    "1 discriminator": {"num_disc": 1}, "5 discriminators": {"num_disc": 5},
    "full coupling": {"coupling": "full"},
    "feature matching": {"feature_matching": True},
    "feature matching T=0": {"feature_matching": True, "temperature": 0.0},
    "labels count once": {"label_count": 100},
}


@dataclass(frozen=True)
class Settings:
    N: int = option(100, "labels", least=1)
    methods: tuple[str, ...] = option(tuple(METHODS), "what is compared", choices=list(METHODS))
    draws: int = draws_option(3)
    train_iter: int = train_iter_option(1000)
    jobs: int = jobs_option()


def run(settings: Settings, cells: Cells) -> Report:
    """Trains what is missing, and compares the methods."""
    shared = {**BASE, "label_batch_size": min(64, settings.N)}
    wanted = {(method, settings.N): {**shared, **METHODS[method]} for method in settings.methods}
    return report(collect(cells, wanted, settings.draws, settings.train_iter, settings.jobs))


EXPERIMENTS.register("semi_ablation")(Experiment(Settings, run, __doc__))
