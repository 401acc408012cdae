"""Semi-supervised runs over label draws, as rows; and those rows as CSV, Markdown and a plot."""

import argparse
import csv
import io
import platform
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from bayesgan.basics.errors import InputError
from bayesgan.experiments.registry import save_results
from bayesgan.experiments.runs import command_line, last_results, seconds, trained_all
from bayesgan.basics.files import write_atomically
from bayesgan.store.run_folder import RunFolder

__all__ = ["add_run_arguments", "collect", "save_table", "summarise"]

FIGURES = ("errors", "nll", "brier", "ece")


def add_run_arguments(parser: argparse.ArgumentParser, draws: int, train_iter: int) -> None:
    """What both experiments with labels take."""
    parser.add_argument("--draws", type=int, default=draws, help=f"label draws a cell (default: {draws})")
    parser.add_argument("--train_iter", "--train-iter", type=int, default=train_iter, help="iterations of each run")
    parser.add_argument("--data_path", "--data-path", type=Path, default=Path("datasets"), help="where the data is")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time; several fill a GPU")


def collect(arguments: argparse.Namespace, cells: dict[tuple[str, int], dict]) -> list[dict]:
    """Trains what is not there yet and reads the figures on all test data.

    Args:
        cells: (method, N) -> options; the first method's runs also train the supervised network of the row "supervised".

    Returns:
        One row a method, N, draw and predictor (current: the last ensemble; posterior: averaged over draws too).
    """
    if arguments.draws < 1:
        raise InputError(f"--draws must be at least 1, got {arguments.draws}")
    first, places = next(iter(cells))[0], {}
    for draw in range(arguments.draws):  # all cells of a draw before the next, so that a stopped table is balanced
        for (method, labels), options in cells.items():
            place = arguments.out_dir / method.replace(" ", "_") / f"N{labels}" / f"draw{draw}"
            shared = {"N": labels, "label_seed": draw, "random_seed": draw, "train_iter": arguments.train_iter,
                      "n_save": arguments.train_iter}
            if arguments.data_path != Path("datasets"):
                shared["data_path"] = arguments.data_path
            if method != first:
                shared["no_supervised"] = True
            places[place] = {**options, **shared}
    runs = trained_all(places, semi=True, jobs=arguments.jobs)
    rows = []
    for place, given in places.items():
        run, method = runs[place], place.parent.parent.name.replace("_", " ")
        figures = last_results(run)["classification"]
        common = {"N": given["N"], "draw": given["label_seed"], "test_size": figures["test_size"],
                  "seconds": round(seconds(run), 1), "device": device_of(run),
                  "command": "python run_bgan_semi.py " + " ".join(command_line(given))}
        parts = [("supervised", "supervised")] if figures["supervised"] else []
        for name, part in [*parts, (method, "current"), (method, "posterior")]:
            rows.append({"method": name, "predictor": part, **{k: figures[part][k] for k in FIGURES}, **common})
    return rows


def device_of(run: Path) -> str:
    """What a run was computed on; runs do not move between machines here."""
    wanted = RunFolder.open(run).options().device
    if wanted != "cpu" and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def summarise(rows: Iterable[dict]) -> dict[tuple[str, str, int], dict]:
    """(method, predictor, N) -> figure -> (mean, standard deviation over draws), and the number of draws."""
    groups: dict[tuple[str, str, int], list[dict]] = {}
    for row in rows:
        groups.setdefault((row["method"], row["predictor"], row["N"]), []).append(row)
    return {key: {"draws": len(group), **{
        k: (float(np.mean([r[k] for r in group])), float(np.std([r[k] for r in group], ddof=1)) if len(group) > 1 else 0.0)
        for k in (*FIGURES, "seconds")}} for key, group in groups.items()}


def save_table(arguments: argparse.Namespace, command: str, rows: list[dict]) -> None:
    """results.json, rows.csv, table.md and errors.png in out_dir; prints the table."""
    arguments.out_dir.mkdir(parents=True, exist_ok=True)
    save_results(arguments.out_dir / "results.json", command, rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    summary = summarise(rows)
    lines = [f"`{command}`, {rows[0]['device']}; errors of {rows[0]['test_size']}, mean ± sd over label draws", "",
             "| method | predictor | N | draws | errors | NLL | ECE | seconds |", "|---|---|---|---|---|---|---|---|"]
    for (method, predictor, labels), row in summary.items():
        spread = lambda k, digits: f"{row[k][0]:.{digits}f} ± {row[k][1]:.{digits}f}"  # noqa: B023, E731
        lines.append(f"| {method} | {predictor} | {labels} | {row['draws']} | {spread('errors', 1)} | {spread('nll', 3)} | "
                     f"{spread('ece', 3)} | {row['seconds'][0]:.0f} |")
    table = "\n".join(lines) + "\n"
    figure = plot(summary)
    for name, write in (("rows.csv", lambda path: path.write_text(text.getvalue())),
                        ("table.md", lambda path: path.write_text(table)),
                        ("errors.png", lambda path: figure.savefig(path, format="png"))):
        write_atomically(arguments.out_dir / name, write)
    print(table + f"\nwritten to {arguments.out_dir}: results.json, rows.csv, table.md, errors.png")


def plot(summary: dict) -> Figure:
    """Errors, NLL and ECE of every method, over N or side by side where there is one N."""
    sizes = sorted({labels for _, _, labels in summary})
    names = list(dict.fromkeys((method, predictor) for method, predictor, _ in summary))
    figure = Figure(figsize=(13, 4 if len(sizes) > 1 else 1.2 + 0.25 * len(names)), dpi=100)
    for panel, (key, title) in zip(figure.subplots(1, 3), (("errors", "test errors"), ("nll", "NLL (nats)"), ("ece", "ECE"))):
        for position, name in enumerate(names):
            cells = [(labels, *summary[(*name, labels)][key]) for labels in sizes if (*name, labels) in summary]
            label = name[0] if name[1] == name[0] else f"{name[0]}, {name[1]}"
            if len(sizes) > 1:
                panel.errorbar(*zip(*cells), marker="o", ms=3, capsize=2, label=label)
            else:
                panel.errorbar(cells[0][1], position, xerr=cells[0][2], marker="o", ms=4, capsize=2, c="C0")
        if len(sizes) > 1:
            panel.set(xscale="log", yscale="log", xlabel="labels", title=title, xticks=sizes, xticklabels=sizes)
        else:
            panel.set(title=title, yticks=range(len(names)), yticklabels=[", ".join(dict.fromkeys(n)) for n in names])
            panel.invert_yaxis()
            if key != "errors":
                panel.set(yticklabels=[])
    if len(sizes) > 1:
        panel.legend(fontsize=8)
    figure.tight_layout()
    return figure
