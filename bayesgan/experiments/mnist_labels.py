"""How many test errors on MNIST from few labels? A supervised network, a GAN, an ensemble, the posterior.

The table of Saatchi & Wilson 2017, section 4.2, on all 10,000 test images, over label draws.
"""

from dataclasses import dataclass
from pathlib import Path

from bayesgan.experiments.cells import Cells
from bayesgan.experiments.label_table import collect, draws_option, jobs_option, report, train_iter_option
from bayesgan.experiments.registry import EXPERIMENTS, Experiment, Report
from bayesgan.options import RECIPES, option

__all__ = ["METHODS", "Settings", "run"]

NO_TEACHER = {"consistency": 0.0, "spread_labels": 0}
METHODS = {  # of the same networks; "supervised" comes with the first of them
    "teacher": {},
    "bayes": NO_TEACHER,  # the paper's method
    "ensemble": {"temperature": 0.0, **NO_TEACHER},
    "ml": {"ml": True},
    "no game": {"num_gen": 0},
}


@dataclass(frozen=True)
class Settings:
    N: tuple[int, ...] = option((20, 50, 100, 200, 1000), "numbers of labels", least=1)
    methods: tuple[str, ...] = option(tuple(METHODS), "what is compared", choices=list(METHODS))
    recipe: str = option("mnist-fast", "settings of the networks", choices=RECIPES)
    data_path: Path = option(Path("datasets"), "where MNIST is")
    draws: int = draws_option(3)
    train_iter: int = train_iter_option(8000)
    jobs: int = jobs_option()


def run(settings: Settings, cells: Cells) -> Report:
    """Trains what is missing, and compares the methods at every number of labels."""
    shared = {"recipe": settings.recipe, "data_path": settings.data_path}
    wanted = {(method, labels): {**shared, **METHODS[method]}
              for labels in settings.N for method in settings.methods}
    return report(collect(cells, wanted, settings.draws, settings.train_iter, settings.jobs))


EXPERIMENTS.register("mnist_labels")(Experiment(Settings, run, __doc__))
