"""How long until a result is there? Wall time until a stated quality, this project and the usual ways side by side.

The competitors of a task train in turn, a few seconds each, until the last goal or the time limit. Quality is measured
in between, off the clock. What is finished is kept in results.json: the same command goes on after an interruption.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from matplotlib.figure import Figure

from bayesgan.basics.devices import device_name
from bayesgan.basics.errors import InputError
from bayesgan.basics.files import save_figure, write_json
from bayesgan.basics.tables import markdown, mean_sd
from bayesgan.benchmarks import qualities
from bayesgan.benchmarks.competitors import Competitor, obvious_loop, plain_gan, this_project
from bayesgan.benchmarks.registry import BENCHMARKS, Benchmark
from bayesgan.data import Dataset
from bayesgan.options import Options, load_data, option, resolve
from bayesgan.store.config import as_json, git_commit

__all__ = ["TASKS", "Settings", "run"]

OURS = "this project"
TUTORIAL = 0.0002  # Adam's step in Radford et al. 2016 and in most code since


class Way(NamedTuple):
    """How a competitor gets to a result: flags beside the task's, what trains, and how its samples are drawn."""

    flags: dict
    build: Callable[[Options, Dataset], Competitor]
    sampling: qualities.Sampling = qualities.plain


class Task(NamedTuple):
    """A result.

    Attributes:
        flags: Of the run, besides the data set's defaults.
        semi: With labels.
        unit: Of its quality.
        goals: One after the other.
        rising: Whether more is better.
        quality: Makes the measure; what it needs is not on the clock.
        ways: Name -> way; this project's first.
    """

    flags: dict
    semi: bool
    unit: str
    goals: tuple[float, ...]
    rising: bool
    quality: Callable[[Dataset], qualities.Quality]
    ways: dict[str, Way]


LOOP = {"coupling": "full", "engine": "loop"}
ONE = {"ml": True}
# Turner et al. 2019 have Adam's step of .001 on these points, and Salimans et al. 2016 .003 on MNIST
TASKS = {
    "synthetic": Task(
        {"dataset": "synthetic"}, False, "clusters of 10", (10,), True, qualities.clusters,
        {OURS: Way({}, this_project), "Bayesian GAN, loop over pairs": Way(LOOP, obvious_loop),
         "one GAN, Adam": Way(ONE, partial(plain_gan, lr=TUTORIAL))},
    ),
    "gaussians25": Task(
        {"dataset": "gaussians25"}, False, "high quality x modes", (0.9, 0.99), True, qualities.high_quality,
        {OURS: Way({}, this_project, qualities.boosted),
         "Bayesian GAN, loop over pairs": Way(LOOP, obvious_loop, qualities.by_discriminators),
         "one GAN, Adam, then MH": Way(ONE, partial(plain_gan, lr=0.001), qualities.by_discriminators),
         "one GAN, Adam, then our ratio": Way(ONE, partial(plain_gan, lr=0.001), qualities.boosted)},
    ),
    "digits": Task(
        {"dataset": "digits"}, False, "class score", (6, 7.5), True, partial(qualities.class_score, steps=1000),
        {OURS: Way({}, this_project), "Bayesian GAN, loop over pairs": Way(LOOP, obvious_loop),
         "one GAN, Adam": Way(ONE, partial(plain_gan, lr=TUTORIAL))},
    ),
    "mnist": Task(
        {"dataset": "mnist", "N": 100, "no_supervised": True}, True, "errors, %", (2, 1.5, 1), False, qualities.errors,
        {OURS: Way({"recipe": "mnist-fast"}, this_project),
         "one GAN, features matched, Adam": Way(
             {"network": "noisy_mlp", "df_dim": 1000, "gf_dim": 500, "num_layers": 5, "num_gen": 1, "num_disc": 1,
              "noise": 0.3, "dropout": 0.0, "shift": 0, "normalise": "auto", "feature_matching": True,
              "consistency": 0.0, "spread_labels": 0, "batch_size": 100, "label_batch_size": 100},
             partial(plain_gan, lr=0.003))},
    ),
}
USUAL = ("synthetic", "gaussians25", "digits")


@dataclass(frozen=True)
class Settings:
    tasks: tuple[str, ...] = option(USUAL, "what is to be reached; mnist takes longer: --limit 1200", choices=[*TASKS])
    limit: float = option(60.0, "seconds of training after which a competitor is stopped", above=0)
    points: int = option(20, "times that quality is measured until then", least=2)
    seeds: int = option(1, "runs of each competitor", least=1)
    data_path: Path = option(Path("datasets"), "file or folder of MNIST")
    out_dir: Path = option(Path("runs/benchmark_results"), "for results.json and results.png")


def run(settings: Settings, command: str) -> None:
    """Prints a line a competitor, and the table; writes results.json after every task and seed, and results.png."""
    settings.out_dir.mkdir(parents=True, exist_ok=True)
    place = settings.out_dir / "results.json"
    cells, kept = [], finished(place)
    for name in settings.tasks:
        runs = [prepared(TASKS[name], settings, seed) for seed in range(settings.seeds)]  # refuses before it trains
        measure = None
        for seed, options in enumerate(runs):
            made_of = as_stored({"task": name, "seed": seed, "limit": settings.limit, "points": settings.points,
                                 "goals": TASKS[name].goals, "commit": git_commit(),
                                 "options": {way: as_json(own) for way, own in options.items()}})
            cell = next((cell for cell in kept if cell["made_of"] == made_of), None)
            if cell is None:
                data = load_data(options[OURS])
                measure = measure or TASKS[name].quality(data)
                cell = {"made_of": made_of, "date": date.today().isoformat(), "rows": race(
                    TASKS[name], options, data, measure, settings)}
            cells.append(cell)
            for way, row in cell["rows"].items():
                print(f"{name}, seed {seed}, {way}: {told(TASKS[name], row)}", flush=True)
            others = [cell for cell in kept if cell not in cells]
            write_json(place, {"command": command, "machine": device_name("cpu"), "torch": torch.__version__,
                               "cells": cells + others})
    save_figure(settings.out_dir / "results.png", plot(cells))
    print(f"\n{markdown(table(cells, settings.limit))}\n\nwritten to {settings.out_dir}: results.json, results.png")


def finished(place: Path) -> list[dict]:
    """What an earlier call has kept; raises ValueError where that is damaged."""
    if not place.exists():
        return []
    try:
        return [cell for cell in json.loads(place.read_text())["cells"] if cell["made_of"] and cell["rows"]]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{place} is damaged ({error}); remove it, or name another --out_dir") from None


def as_stored(content: dict) -> dict:
    return json.loads(json.dumps(content))


def prepared(task: Task, settings: Settings, seed: int) -> dict[str, Options]:
    """Of every competitor."""
    given = {**task.flags, "random_seed": seed, **({"label_seed": seed} if task.semi else {})}
    if task.semi:
        given["data_path"] = settings.data_path
    return {name: resolve(given | way.flags, task.semi)[0] for name, way in task.ways.items()}


def race(
    task: Task, options: dict[str, Options], data: Dataset, measure: qualities.Quality, settings: Settings
) -> dict[str, dict]:
    """Competitor -> its course: seconds and quality at every point, seconds to each goal (None: not reached)."""
    training, rows = {}, {}
    for name, way in task.ways.items():
        begun = time.perf_counter()
        training[name] = way.build(options[name], data)
        rows[name] = {"seconds": [], "quality": [], "iterations": 0, "reached": [None] * len(task.goals),
                      "spent": time.perf_counter() - begun}
    while training:
        for name, competitor in list(training.items()):
            row = rows[name]
            turn(competitor, row, settings.limit / settings.points)
            begun = time.perf_counter()
            with torch.no_grad():
                samples = task.ways[name].sampling(competitor, data, options[name].random_seed)
                # to select samples takes time that a user waits for; plain ones are a moment's work
                now = row["spent"] + time.perf_counter() - begun
                quality = measure(competitor, samples)
            row["seconds"].append(now)
            row["quality"].append(quality)
            for place, goal in enumerate(task.goals):
                good = quality >= goal if task.rising else quality <= goal
                if good and row["reached"][place] is None:
                    row["reached"][place] = now
            if row["spent"] >= settings.limit or row["reached"][-1] is not None:
                del training[name]
    return rows


def turn(competitor: Competitor, row: dict, seconds: float) -> None:
    """Trains for so many seconds, one iteration at least; adds them and the iterations to the row."""
    begun = time.perf_counter()
    while True:
        competitor.step()
        row["iterations"] += 1
        if (spent := time.perf_counter() - begun) >= seconds:
            row["spent"] += spent
            return


def told(task: Task, row: dict) -> str:
    """A competitor's course for people."""
    parts = [f"{goal:g} {task.unit} {'not reached' if at is None else f'in {at:.0f} s'}"
             for goal, at in zip(task.goals, row["reached"])]
    return f"{'; '.join(parts)} ({row['iterations']} iterations, {row['quality'][-1]:.3g} at the end)"


def table(cells: list[dict], limit: float) -> list[dict[str, str]]:
    """A row for each task, goal and competitor: seconds, and how many times this project's."""
    rows = []
    for name in dict.fromkeys(cell["made_of"]["task"] for cell in cells):
        task, own = TASKS[name], [cell["rows"] for cell in cells if cell["made_of"]["task"] == name]
        for place, goal in enumerate(task.goals):
            times = {way: [one[way]["reached"][place] for one in own] for way in task.ways}
            for way, took in times.items():
                rows.append({"task": name, "until": f"{goal:g} {task.unit}", "competitor": way,
                             "seconds": in_words(took, limit), "times ours": against(took, times[OURS], limit)})
    return rows


def in_words(times: list[float | None], limit: float) -> str:
    there = [seconds for seconds in times if seconds is not None]
    if not there:
        return f"not reached in {limit:g} s"
    some = "" if len(there) == len(times) else f", {len(there)} of {len(times)} seeds"
    return mean_sd(there, ".0f") + some


def against(times: list[float | None], ours: list[float | None], limit: float) -> str:
    """Mean seconds over this project's; a lower bound, with the limit, where some were not reached."""
    if None in ours:
        return ""
    least = "" if None not in times else "> "
    total = sum(limit if seconds is None else seconds for seconds in times)
    return f"{least}{total / sum(ours):.1f}"


def plot(cells: list[dict]) -> Figure:
    """Quality over seconds, a panel a task and a line a run, with the goals."""
    names = list(dict.fromkeys(cell["made_of"]["task"] for cell in cells))
    figure = Figure(figsize=(5 * len(names), 4), dpi=100)
    for panel, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names):
        for cell in (cell for cell in cells if cell["made_of"]["task"] == name):
            for number, (way, row) in enumerate(cell["rows"].items()):
                label = way if cell["made_of"]["seed"] == 0 else None
                panel.plot(row["seconds"], row["quality"], ".-", c=f"C{number}", lw=1, label=label)
        for goal in TASKS[name].goals:
            panel.axhline(goal, c="0.6", lw=1, ls=":")
        panel.set(title=name, xlabel="seconds", ylabel=TASKS[name].unit, xlim=(0, None),
                  yscale="linear" if TASKS[name].rising else "log")
        panel.legend(fontsize=8)
    figure.tight_layout()
    return figure


BENCHMARKS.register("results")(Benchmark(Settings, run, __doc__))
