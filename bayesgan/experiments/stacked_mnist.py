"""How many of 1,000 modes does one GAN find, and how many a posterior of 5, 10, 20 generators? Stacked MNIST.

All train for as many iterations, so that 20 generators cost up to 20 times one. A classifier of MNIST tells images
apart, channel by channel, 26,000 of each model, as is usual (Metz et al. 2017). As it stands it is hours on a GPU; to
see it work: --train_iter 500 --df_dim 16 --seeds 1 --generators 5 --samples 5000, some minutes of a core.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from bayesgan.basics.tables import mean_sd
from bayesgan.commands.judge import judge_data, kept_judge
from bayesgan.data import DATA_SETS, DataOptions, to_bytes
from bayesgan.evaluation.extractors import Extractor, by_channel
from bayesgan.evaluation.fidelity import class_figures, looked_at
from bayesgan.experiments.cells import Cells
from bayesgan.experiments.image_table import side_by_side
from bayesgan.experiments.label_table import jobs_option
from bayesgan.experiments.registry import EXPERIMENTS, Experiment, Report
from bayesgan.experiments.runs import run_cells
from bayesgan.options import Options, option
from bayesgan.store.posterior import load_posterior
from bayesgan.store.run_folder import RunFolder

__all__ = ["Settings", "run"]

RUN = {"dataset": "stacked_mnist", "num_mcmc": 1, "z_dim": 64, "batch_size": 64}
COLUMNS = {"found": ("modes of 1,000", ".1f"), "class_kl": ("KL from even, nats", ".3f")}
SHOWN = 64


@dataclass(frozen=True)
class Settings:
    data_path: Path = option(Path("datasets"), "where MNIST is")
    generators: tuple[int, ...] = option((5, 10, 20), "generators of each posterior", least=1)
    seeds: int = option(3, "runs of each model", least=1)
    train_iter: int = option(20000, "iterations of each run", least=1)
    df_dim: int = option(32, "width of the discriminators, and of the generators", least=1)
    samples: int = option(26_000, "images that modes are counted in", least=100)
    judge_steps: int = option(3000, "training of the classifier", least=1)
    jobs: int = jobs_option()


class Cell(NamedTuple):
    """One run, or real images."""

    model: str
    seed: int


def run(settings: Settings, cells: Cells) -> Report:
    """Trains what is missing, and counts the modes that each model finds."""
    given = {**RUN, "data_path": settings.data_path, "train_iter": settings.train_iter, "df_dim": settings.df_dim,
             "n_save": settings.train_iter}
    models = {"one GAN": {"ml": True}, **{f"posterior of {count}": {"num_gen": count} for count in settings.generators}}
    wanted = {Cell(model, seed): {**given, **own, "random_seed": seed}
              for seed in range(settings.seeds) for model, own in models.items()}
    judge = partial(judge_of, settings, cells.folder / f"judge_{settings.judge_steps}")
    found = run_cells(cells, wanted, partial(measured, settings, judge), jobs=settings.jobs, samples=settings.samples,
                      judge_steps=settings.judge_steps)
    shared = {name: getattr(settings, name) for name in ("samples", "judge_steps", "data_path")}
    real = cells.cell(Cell("real images", 0), shared, partial(floor, settings, judge))
    results = {model: [found[Cell(model, seed)]["figures"] for seed in range(settings.seeds)] for model in models}
    results["real images"] = [real["figures"]]
    table = [{"model": model, **{f"{title}, {part}": mean_sd([row[part][name] for row in rows], form)
                                 for part in ("newest draw", "all draws") for name, (title, form) in COLUMNS.items()}}
             for model, rows in results.items()]
    shown = {model: torch.tensor(found[Cell(model, 0)]["shown"], dtype=torch.uint8) for model in models}
    note = (f"mean ± sd over {settings.seeds} seeds, {settings.samples} images; the classifier is right on "
            f"{real['accuracy']:.2%} of MNIST's test digits")
    return Report(results, table, {"side_by_side": side_by_side(shown)}, note)


def judge_of(settings: Settings, folder: Path) -> Extractor:
    """What tells the 1,000 modes apart, trained at the first call."""
    options = Options(dataset=RUN["dataset"], data_path=settings.data_path)
    command = f"python -m bayesgan.experiments stacked_mnist --judge_steps {settings.judge_steps}"
    judge = kept_judge(judge_data(options), folder, settings.judge_steps, command=command)
    return by_channel(judge, tuple(f"{number:03}" for number in range(1000)))


def modes(judge: Extractor, images: Tensor) -> dict[str, float]:
    """Of images (n, 3, 28, 28) uint8."""
    return class_figures(looked_at(judge, images).classes, judge.shares)


def measured(settings: Settings, judge: Callable[[], Extractor], key: Cell, folder: RunFolder) -> dict:
    """figures: of the newest draw, which has as many generators as the model's name says, and of all; shown: some."""
    posterior, sees = load_posterior(folder.path), judge()
    parts = {"newest draw": posterior.newest(1), "all draws": posterior}
    images = {name: to_bytes(part.sample(settings.samples, key.seed)) for name, part in parts.items()}
    shown = images["newest draw"][:SHOWN].tolist() if key.seed == 0 else []
    return {"figures": {name: modes(sees, part) for name, part in images.items()}, "shown": shown}


def floor(settings: Settings, judge: Callable[[], Extractor]) -> dict:
    """The same figures of as many real test images, which no model can beat for certain."""
    sees = judge()
    data = DATA_SETS[RUN["dataset"]].load(DataOptions(data_path=settings.data_path))
    figures = modes(sees, data.test[: settings.samples])
    return {"figures": {"newest draw": figures, "all draws": figures}, "accuracy": sees.about["accuracy"]}


EXPERIMENTS.register("stacked_mnist")(Experiment(Settings, run, __doc__))
