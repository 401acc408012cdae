"""Which generator for images: dcgan's transposed convolutions or enlarge-and-convolve, trained for the same time?

Maximum-likelihood GANs; and whether resampling with the ratio that `auto` finds makes them better.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from bayesgan.basics.timing import interleaved_seconds
from bayesgan.commands.resample import posterior_resampler
from bayesgan.data import to_bytes, to_float
from bayesgan.experiments.cells import Cells
from bayesgan.experiments.image_table import compare, report
from bayesgan.experiments.registry import EXPERIMENTS, Experiment, Report
from bayesgan.experiments.runs import run_cells
from bayesgan.networks import NETWORKS
from bayesgan.options import load_data, option, resolve
from bayesgan.store.run_folder import RunFolder
from bayesgan.training.algorithm import Trainer

__all__ = ["Settings", "run"]

RUN = {"ml": True, "z_dim": 64, "batch_size": 64, "n_save": 1_000_000}
SETS = {"mnist": "labelled digits", "fashion_mnist": "labelled clothes"}
IMAGES = [name for name in NETWORKS if getattr(NETWORKS[name][0], "images_only", False)]


@dataclass(frozen=True)
class Settings:
    data_path: Path = option(Path("datasets"), "where the data are")
    datasets: tuple[str, ...] = option(tuple(SETS), "data sets", choices=SETS)
    networks: tuple[str, ...] = option(tuple(IMAGES), "pairs of networks", choices=IMAGES)
    df_dim: int = option(32, "width of the discriminators, and of the generators", least=1)
    seconds: int = option(240, "training of each GAN, by the time of an iteration before any", least=1)
    seeds: int = option(2, "GANs of each kind", least=1)
    samples: int = option(2000, "images behind each score", least=100)
    judge_steps: int = option(1500, "training of the judging classifier", least=1)


class Speed(NamedTuple):
    """How long an iteration takes with each network."""

    part: str
    dataset: str


class Cell(NamedTuple):
    """One GAN."""

    dataset: str
    network: str
    seed: int


def run(settings: Settings, cells: Cells) -> Report:
    """Times what is to be trained, trains and resamples it, and has all judged."""
    wanted = {}
    for dataset in settings.datasets:
        given = {network: {**RUN, "dataset": dataset, "network": network, "df_dim": settings.df_dim,
                           "data_path": settings.data_path} for network in settings.networks}
        speeds = cells.cell(Speed("speed", dataset), given, partial(iteration_seconds, given))
        for network in settings.networks:
            for seed in range(settings.seeds):
                wanted[Cell(dataset, network, seed)] = {
                    **given[network], "train_iter": max(1, round(settings.seconds / speeds[network])),
                    "random_seed": seed}
    found = run_cells(cells, wanted, partial(measured, settings), samples=settings.samples,
                      judge_steps=settings.judge_steps)
    seeds = [{name: row for key, one in found.items() if key.seed == seed for name, row in one["rows"].items()}
             for seed in range(settings.seeds)]
    pictures = {f"{key.dataset}_{key.network}": as_images(one["shown"]) for key, one in found.items() if key.seed == 0}
    return report(seeds, pictures)


def iteration_seconds(given: dict[str, dict]) -> dict[str, float]:
    """Network -> seconds of an iteration, taken in turn."""
    steps = {}
    for network, flags in given.items():
        options = resolve(flags)[0]
        steps[network] = Trainer(options, load_data(options)).step
    return interleaved_seconds(steps, 20)


def measured(settings: Settings, key: Cell, folder: RunFolder) -> dict:
    """rows: the figures of each set of images; shown: some images."""
    resampler = posterior_resampler(folder.path)
    print(resampler.expected.words, flush=True)
    name, iterations = f"{key.dataset}, {key.network}", folder.options().train_iter
    before = (resampler if resampler.plain else resampler.with_method("obrs", 1)).sample(settings.samples, seed=1)
    sets = {f"{name}, {iterations} iterations": before,
            f"{name}, resampled": before if resampler.plain else resampler.sample(settings.samples, seed=1)}
    rows = compare(sets, folder.load_data(), settings.judge_steps)
    rows[f"{key.dataset}, real"] = rows.pop("real")
    return {"rows": rows, "ratio": resampler.expected.as_dict(), "shown": to_bytes(before[:100]).tolist()}


def as_images(shown: list) -> Tensor:
    return to_float(torch.tensor(shown, dtype=torch.uint8))


EXPERIMENTS.register("networks")(Experiment(Settings, run, __doc__))
