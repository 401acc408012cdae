"""Does the cheap estimate of the sums over opponents cost quality? Mixture minibatches against all pairs.

Both do the same iterations, in turn in one process. Quality is the JSD on the synthetic data, and errors on the digits
with 100 labels. All pairs are Algorithm 1's.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure

from bayesgan.basics.tables import mean_sd, sd
from bayesgan.data import to_float
from bayesgan.evaluation.classification import Predictive
from bayesgan.evaluation.clusters import plane_divergence
from bayesgan.experiments.cells import Cells
from bayesgan.experiments.registry import EXPERIMENTS, Experiment, Report
from bayesgan.options import Options, load_data, option, resolve
from bayesgan.store.config import as_json
from bayesgan.training.algorithm import Trainer
from bayesgan.training.engine_choice import choose_engines
from bayesgan.training.minibatches import latent_draw

__all__ = ["Settings", "run"]

COUPLINGS = {
    "full": {"coupling": "full"},
    "mixture": {"coupling": "mixture"},
    "mixture, 16 each": {"coupling": "mixture", "gen_batch_size": 16},  # images a generator makes an iteration
}
SAMPLES = 4000  # behind a JSD


@dataclass(frozen=True)
class Settings:
    tasks: tuple[str, ...] = option(("synthetic", "labels"), "what is learnt", choices=("synthetic", "labels"))
    seeds: int = option(5, "runs of each task and coupling", least=1)
    discriminators: int = option(2, "against ten generators; the paper's runs have two", least=1)
    points: int = option(20, "times that quality is measured in a run", least=2)
    scale: float = option(1.0, "of the number of iterations", above=0)


@torch.no_grad()
def divergence(trainer: Trainer) -> float:
    """JSD (nats) of samples of the present generators."""
    options = trainer.options
    sources = trainer.sources("judged", trainer.generators)
    latent = latent_draw(SAMPLES // options.generators, options.z_dim, sources)
    samples = trainer.generators.ensemble.forward(latent, train=False)
    return plane_divergence(samples.transpose(0, 1).flatten(0, 1), trainer.data.train[:SAMPLES])


def errors(trainer: Trainer) -> float:
    """Errors of the present discriminators, averaged, on the test data."""
    predicted = Predictive.of(trainer.discriminators.ensemble, to_float(trainer.data.test)).probabilities.argmax(1)
    return float((predicted != trainer.data.test_labels).sum())


class Task(NamedTuple):
    """What is learnt: flags, whether with labels, iterations, and the quality (low is good) with its name."""

    flags: dict
    semi: bool
    iterations: int
    quality: Callable[[Trainer], float]
    unit: str


TASKS = {
    "synthetic": Task({"dataset": "synthetic"}, False, 2000, divergence, "JSD (nats)"),
    "labels": Task({"dataset": "digits"}, True, 1000, errors, "errors of 359"),
}


class Cell(NamedTuple):
    """All couplings of one task, from one start."""

    task: str
    seed: int


def run(settings: Settings, cells: Cells) -> Report:
    """Trains what is not there yet, and compares the couplings."""
    results = {}
    for task in settings.tasks:
        courses = [course(Cell(task, seed), settings, cells) for seed in range(settings.seeds)]
        results[task] = {
            name: {figure: np.array([one[name][figure] for one in courses]) for figure in ("seconds", "quality")}
            for name in COUPLINGS
        }  # arrays (seeds, points)
    summary = {task: summarise(own) for task, own in results.items()}
    note = f"{settings.seeds} seeds, mean ± sd; times are shares of full coupling's"
    return Report(summary, table(results, summary), {"coupling": plot(results)}, note)


def course(key: Cell, settings: Settings, cells: Cells) -> dict[str, dict[str, list[float]]]:
    """Of one cell: coupling -> training seconds and quality at every point, read or made."""
    task, points = TASKS[key.task], settings.points
    every = max(1, int(task.iterations * settings.scale) // points)
    given = {**task.flags, "num_gen": 10, "num_disc": settings.discriminators, "num_mcmc": 1,
             "train_iter": every * points, "random_seed": key.seed}
    if task.semi:
        given["label_seed"] = key.seed
    options, _ = resolve(given, task.semi)
    made_of = {**as_json(options), "points": points, "couplings": COUPLINGS, "samples": SAMPLES}
    found = cells.cell(key, made_of, partial(side_by_side, options, task.quality, every))
    ends = [f"{name} {own['quality'][-1]:.4g} in {own['seconds'][-1]:.0f} s" for name, own in found.items()]
    print(f"{key.task}, seed {key.seed}: {', '.join(ends)}", flush=True)
    return found


def side_by_side(
    options: Options, quality: Callable[[Trainer], float], every: int
) -> dict[str, dict[str, list[float]]]:
    """All couplings from the same start, `every` iterations of each in turn; what `course` gives."""
    data, runs = load_data(options), {}
    for name, changes in COUPLINGS.items():
        own = replace(options, **changes)
        runs[name] = Trainer(own, data, engines=choose_engines(own, data, torch.device("cpu"))[0])
    found = {name: {"seconds": [], "quality": []} for name in COUPLINGS}
    spent = dict.fromkeys(COUPLINGS, 0.0)
    while runs["full"].iteration < options.train_iter:
        for name, trainer in runs.items():
            begun = time.perf_counter()
            history = [trainer.step() for _ in range(every)]
            spent[name] += time.perf_counter() - begun
            trainer.check(history, trainer.iteration - every)
            found[name]["seconds"].append(spent[name])
            found[name]["quality"].append(quality(trainer))
    return found


def summarise(results: dict[str, dict[str, np.ndarray]]) -> dict[str, dict]:
    """Of each coupling: quality at the end (mean, sd), times for an iteration and to full's quality over full's.

    The quality that full coupling reaches is its mean over seeds and the last quarter of the run. The time to it is
    that of the first point at which the mean over seeds is as good; None if there is none.
    """
    full = results["full"]["quality"]  # (seeds, points)
    reached = full[:, -max(1, full.shape[1] // 4):].mean()
    whole = {name: own["seconds"].mean(0)[-1] for name, own in results.items()}
    when = {name: first_time(own, reached) for name, own in results.items()}
    return {
        name: {
            "end": (float(own["quality"][:, -1].mean()), sd(own["quality"][:, -1])),
            "iteration": float(whole[name] / whole["full"]),
            "to_quality": None if None in (when[name], when["full"]) else when[name] / when["full"],
            "quality_of_full": float(reached),
        }
        for name, own in results.items()
    }


def first_time(course: dict[str, np.ndarray], quality: float) -> float | None:
    """Mean seconds of the first point at which the mean over seeds is at most `quality`."""
    good = course["quality"].mean(0) <= quality
    return float(course["seconds"].mean(0)[good.argmax()]) if good.any() else None


def table(results: dict, summary: dict) -> list[dict[str, str]]:
    """A row for each task and coupling."""
    rows = []
    for task, couplings in summary.items():
        for name, row in couplings.items():
            reached = row["to_quality"]
            rows.append({
                "task": task, "coupling": name, "figure": TASKS[task].unit,
                "at the end": mean_sd(results[task][name]["quality"][:, -1], ".3g"),
                "time of an iteration": f"{row['iteration']:.2f}",
                "time to full's quality": "not reached" if reached is None else f"{reached:.2f}",
            })
    return rows


def plot(results: dict) -> Figure:
    """Quality over training time, every seed thin and the mean thick."""
    figure = Figure(figsize=(11, 4), dpi=100)
    for panel, (task, couplings) in zip(figure.subplots(1, len(results), squeeze=False)[0], results.items()):
        for number, (name, own) in enumerate(couplings.items()):
            panel.plot(own["seconds"].T, own["quality"].T, c=f"C{number}", lw=0.5, alpha=0.5)
            panel.plot(own["seconds"].mean(0), own["quality"].mean(0), c=f"C{number}", lw=2, label=name)
        panel.set(title=task, xlabel="seconds of training", ylabel=TASKS[task].unit, yscale="log")
        panel.legend()
    figure.tight_layout()
    return figure


EXPERIMENTS.register("coupling")(Experiment(Settings, run, __doc__))
