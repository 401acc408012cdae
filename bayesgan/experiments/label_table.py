"""Semi-supervised runs over label draws, as rows; and those rows as a table, CSV and a plot."""

import csv
import io
import json
import shlex
from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayesgan.basics.tables import mean_sd, sd
from bayesgan.experiments.cells import Cells
from bayesgan.experiments.registry import Report
from bayesgan.experiments.runs import device_of, last_results, run_cells, seconds
from bayesgan.options import option
from bayesgan.store.results import CLASSIFIERS
from bayesgan.store.run_folder import RunFolder

__all__ = ["Cell", "collect", "draws_option", "jobs_option", "report", "train_iter_option"]

FIGURES = ("errors", "nll", "brier", "ece", "ece_floor")
TRAINED = tuple(CLASSIFIERS)  # predictors, as results_<iter>.json has them
WITH_GRAPH = ("label spreading", "posterior and spreading")  # as evaluation/figures.json has them
ENTROPY = "entropy on "
PANELS = {"errors": "test errors", "nll": "NLL (nats)", "ece": "ECE"}

draws_option = partial(option, help="label draws a cell", least=1)
train_iter_option = partial(option, help="iterations of each run", least=1)
jobs_option = partial(option, 1, "runs at the same time; several fill a GPU", least=1)


class Cell(NamedTuple):
    """One run: a method, its number of labels, and which images they are on."""

    method: str
    N: int
    draw: int


def collect(
    cells: Cells, wanted: dict[tuple[str, int], dict], draws: int, train_iter: int, jobs: int
) -> list[dict]:
    """Trains what is not there yet and reads the figures on all test data.

    Args:
        wanted: (method, N) -> options. The first method's runs also train the supervised network of "supervised" rows.

    Returns:
        One row a method, N, draw and predictor (current: the last ensemble; averaged: its averaged weights, where there
        is a teacher; posterior: averaged over draws; and with the graph, where labels are spread).
    """
    first, runs = next(iter(wanted))[0], {}
    for draw in range(draws):  # all methods of a draw before the next, so that a stopped table is balanced
        for (method, labels), given in wanted.items():
            shared = {"N": labels, "label_seed": draw, "random_seed": draw, "train_iter": train_iter,
                      "n_save": train_iter}
            if method != first:
                shared["no_supervised"] = True
            runs[Cell(method, labels, draw)] = {**given, **shared}
    found = run_cells(cells, runs, measured, semi=True, jobs=jobs, predictors=TRAINED + WITH_GRAPH)
    return [row for key in runs for row in found[key]]


def measured(key: Cell, run: RunFolder) -> list[dict]:
    """The rows of one run."""
    results = last_results(run.path)["classification"]
    evaluated = json.loads((run.path / "evaluation" / "figures.json").read_text())
    found = {name: results.get(name) for name in TRAINED} | {name: evaluated.get(name) for name in WITH_GRAPH}
    command = ["python", "run_bgan_semi.py", *run.config["commands"][0]["command"]]
    common = {
        "N": key.N, "draw": key.draw, "test_size": results["test_size"], "seconds": round(seconds(run), 1),
        "device": device_of(run), "command": shlex.join(command),
    }
    return [{"method": part if part == "supervised" else key.method, "predictor": part,
             **{name: figures[name] for name in FIGURES},
             **{ENTROPY + case: value for case, value in figures["entropy"].items()}, **common}
            for part, figures in found.items() if figures]


def report(rows: list[dict]) -> Report:
    """The rows as they are, their means over label draws as a table and a plot."""
    groups = grouped(rows)
    entropies = [name for name in rows[0] if name.startswith(ENTROPY)]  # of one's own test data, ..., foreign data
    table = [
        {"method": method, "predictor": predictor, "N": str(labels), "draws": str(len(group)),
         "errors": mean_sd(column(group, "errors"), ".1f"), "NLL": mean_sd(column(group, "nll")),
         "ECE": mean_sd(column(group, "ece")), "ECE floor": mean_sd(column(group, "ece_floor")),
         **{name: mean_sd(column(group, name)) for name in (entropies[0], entropies[-1])},
         "seconds": f"{np.mean(column(group, 'seconds')):.0f}"}
        for (method, predictor, labels), group in groups.items()
    ]
    note = f"errors of {rows[0]['test_size']}, mean ± sd over label draws"
    return Report(rows, table, {"errors": plot(groups)}, note, {"rows.csv": as_csv(rows)})


def grouped(rows: Iterable[dict]) -> dict[tuple[str, str, int], list[dict]]:
    """(method, predictor, N) -> its rows, one a label draw."""
    groups: dict[tuple[str, str, int], list[dict]] = {}
    for row in rows:
        groups.setdefault((row["method"], row["predictor"], row["N"]), []).append(row)
    return groups


def column(rows: list[dict], name: str) -> list[float]:
    return [row[name] for row in rows]


def as_csv(rows: list[dict]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def plot(groups: dict[tuple[str, str, int], list[dict]]) -> Figure:
    """Errors, NLL and ECE of every method, over N or side by side where there is one N."""
    sizes = sorted({labels for _, _, labels in groups})
    names = list(dict.fromkeys((method, predictor) for method, predictor, _ in groups))
    figure = Figure(figsize=(13, 4 if len(sizes) > 1 else 1.2 + 0.25 * len(names)), dpi=100)
    panels = figure.subplots(1, len(PANELS))
    for panel, (key, title) in zip(panels, PANELS.items(), strict=True):
        panel.set_title(title)
        if len(sizes) > 1:
            plot_over_sizes(panel, groups, names, sizes, key)
        else:
            plot_side_by_side(panel, groups, names, sizes[0], key)
    if len(sizes) > 1:
        panels[-1].legend(fontsize=8)
    else:
        panels[0].set_yticks(range(len(names)), [label(name) for name in names])
    figure.tight_layout()
    return figure


def plot_over_sizes(panel: Axes, groups: dict, names: list[tuple[str, str]], sizes: list[int], key: str) -> None:
    for name in names:
        own = {labels: column(groups[(*name, labels)], key) for labels in sizes if (*name, labels) in groups}
        means, spreads = [np.mean(values) for values in own.values()], [sd(values) for values in own.values()]
        panel.errorbar(list(own), means, spreads, marker="o", ms=3, capsize=2, label=label(name))
    panel.set(xscale="log", yscale="log", xlabel="labels", xticks=sizes, xticklabels=sizes)


def plot_side_by_side(panel: Axes, groups: dict, names: list[tuple[str, str]], labels: int, key: str) -> None:
    for position, name in enumerate(names):
        values = column(groups[(*name, labels)], key)
        panel.errorbar(np.mean(values), position, xerr=sd(values), marker="o", ms=4, capsize=2, c="C0")
    panel.set_yticks(range(len(names)), [""] * len(names))
    panel.invert_yaxis()


def label(name: tuple[str, str]) -> str:
    """A method and a predictor, one word where they are the same."""
    return ", ".join(dict.fromkeys(name))
