"""What does each part of a run with a teacher buy? One change at a time, with 100 labels: digits, or a recipe's data.

The teacher, label spreading, distortions, confidence, the game, the temperature, the number of discriminators.
"""

from dataclasses import dataclass
from pathlib import Path

from bayesgan.experiments.cells import Cells
from bayesgan.experiments.label_table import collect, draws_option, jobs_option, report
from bayesgan.experiments.registry import EXPERIMENTS, Experiment, Report
from bayesgan.options import RECIPES, option
from bayesgan.options.recipes import WITHOUT_LABELS

__all__ = ["METHODS", "Settings", "run"]

METHODS = {  # changes to what run_bgan_semi.py does by itself, or to the recipe
    "base": {},
    "no teacher": {"consistency": 0.0, "spread_labels": 0},
    "no label spreading": {"spread_labels": 0},
    "no settling": {"settle": 0.0},
    "gentle distortions": {"distort": 0.3},
    "confidence 0.8": {"confidence": 0.8},
    "scores, not features": {"feature_matching": False},
    "T=0": {"temperature": 0.0}, "T=0.1": {"temperature": 0.1}, "T=1": {"temperature": 1.0},
    "1 discriminator": {"num_disc": 1}, "2 discriminators": {"num_disc": 2}, "4 discriminators": {"num_disc": 4},
    # where the width is 32, as costly as one
    "2 narrower": {"num_disc": 2, "df_dim": 24}, "4 narrower": {"num_disc": 4, "df_dim": 16},
    "no game": {"num_gen": 0},
}
TAUGHT = [name for name in RECIPES if name not in WITHOUT_LABELS]


@dataclass(frozen=True)
class Settings:
    N: int = option(100, "labels", least=1)
    recipe: str | None = option(None, "settings that are changed (default: those of the digits)", choices=TAUGHT)
    data_path: Path = option(Path("datasets"), "where the recipe's data is")
    methods: tuple[str, ...] = option(tuple(METHODS), "what is compared", choices=list(METHODS))
    num_gen: int | None = option(None, "generators of all of them, 0 for none (default: as the settings have it)",
                                 least=0)
    draws: int = draws_option(5)
    train_iter: int | None = option(None, "iterations of each run (default: 600, or the recipe's)", least=1)
    jobs: int = jobs_option()


def run(settings: Settings, cells: Cells) -> Report:
    """Trains what is missing, and compares the methods."""
    shared = {"label_batch_size": min(32, settings.N)}
    if settings.recipe:
        shared = {"recipe": settings.recipe, "data_path": settings.data_path}
    if settings.num_gen is not None:
        shared["num_gen"] = settings.num_gen
    wanted = {(method, settings.N): {**shared, **METHODS[method]} for method in settings.methods}
    train_iter = settings.train_iter or (RECIPES[settings.recipe]["train_iter"] if settings.recipe else 600)
    return report(collect(cells, wanted, settings.draws, train_iter, settings.jobs))


EXPERIMENTS.register("teacher_ablation")(Experiment(Settings, run, __doc__))
