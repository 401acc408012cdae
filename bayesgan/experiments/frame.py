"""The frame around every experiment: flags become its settings, and what it found becomes files."""

import argparse
import dataclasses
import json
import os
import shlex
from datetime import date
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor

from bayesgan.basics.devices import device_name
from bayesgan.basics.files import save_figure, write_text
from bayesgan.basics.tables import markdown
from bayesgan.commands.parser import Parser
from bayesgan.evaluation.pictures import save_picture
from bayesgan.experiments.cells import Cells
from bayesgan.experiments.named import EXPERIMENTS
from bayesgan.experiments.registry import Report
from bayesgan.options import add_flags, check_values, given_flags

__all__ = ["conduct"]

PROGRAM = "python -m bayesgan.experiments"


def parsed(arguments: list[str]) -> argparse.Namespace:
    """The command line; without a flag that was not given, but for name and out_dir."""
    parser = Parser(prog=PROGRAM, description="Each published table or figure as one command.")
    names = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name in EXPERIMENTS:
        experiment = EXPERIMENTS[name]
        own = names.add_parser(name, help=experiment.about.splitlines()[0], description=experiment.about)
        own.add_argument("--out_dir", type=Path, default=Path("runs") / name,
                         help=f"folder for the results; what is there is gone on with (default: runs/{name})")
        add_flags(own, experiment.settings)
    return parser.parse_args(arguments)


def conduct(arguments: list[str]) -> None:
    """Runs the experiment that a command line names, prints its table and writes everything into --out_dir.

    Args:
        arguments: Of the command line; they are recorded as they are.

    Raises:
        ValueError: For a flag that breaks its rule.
    """
    given = parsed(arguments)
    experiment = EXPERIMENTS[given.name]
    settings = experiment.settings(**given_flags(given, experiment.settings))
    check_values(settings)
    given.out_dir.mkdir(parents=True, exist_ok=True)
    cells = Cells(given.out_dir)
    report = experiment.run(settings, cells)
    if not cells.devices:
        cells.note_device(device_name("cpu"))
    record = {
        "command": f"{PROGRAM} {shlex.join(arguments)}", "date": date.today().isoformat(), "torch": torch.__version__,
        **cells.version, "machine": "; ".join(cells.devices), "settings": dataclasses.asdict(settings),
        "results": report.results,
    }
    write(given.out_dir, record, report)


def write(folder: Path, record: dict, report: Report) -> None:
    """results.json, table.md, the pictures and the other files; says the table and the names."""
    table = "\n\n".join(filter(None, [markdown(report.table), report.note]))
    texts = {
        "results.json": json.dumps(record, indent=1, default=os.fspath),
        "table.md": f"`{record['command']}`, {record['machine']}\n\n{table}\n",
        **report.files,
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    for name, picture in report.pictures.items():
        write_picture(folder / f"{name}.png", picture)
    names = [*texts, *(f"{name}.png" for name in report.pictures)]
    print(f"\n{table}\n\nwritten to {folder}: {', '.join(names)}")


def write_picture(path: Path, picture: Figure | Tensor) -> None:
    if isinstance(picture, Tensor):
        save_picture(path, picture, picture)
    else:
        save_figure(path, picture)
