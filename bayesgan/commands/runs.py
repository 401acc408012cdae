"""Which runs there are: `python -m bayesgan runs [FOLDER]`."""

import argparse
from pathlib import Path

from bayesgan.basics.errors import InputError
from bayesgan.basics.schema import read_json
from bayesgan.basics.tables import aligned
from bayesgan.store import RunFolder
from bayesgan.store.results import best_errors

__all__ = ["add_arguments", "run", "table"]


def table(folder: Path) -> str:
    """A line for each run in a folder and the folders in it, the newest last.

    Raises:
        ValueError: If there is no such folder, or no run in it.
    """
    if not folder.is_dir():
        raise InputError(f"FOLDER must be a folder with runs, got {folder}; --out_dir of the scripts names it")
    found = sorted(filter(is_of_a_run, folder.rglob("config.json")), key=changed_at)
    if not found:
        raise InputError(f"there is no run in {folder}; python run_bgan.py makes one in runs/")
    rows = [("run", "data", "labels", "G x D", "iterations", "draws", "fewest errors", "MB"),
            *(row(path.parent, folder) for path in found)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(aligned(cells, widths) for cells in rows)


def is_of_a_run(file: Path) -> bool:
    """Whether a config.json is a run's or, damaged, may be one's; other programs have files of that name."""
    try:
        return "options" in read_json(file, "")
    except (InputError, TypeError):
        return True


def changed_at(file: Path) -> float:
    """When a file was last changed; 0 of what has gone meanwhile."""
    try:
        return file.stat().st_mtime
    except OSError:
        return 0


def row(path: Path, folder: Path) -> tuple[str, ...]:
    """The cells of one run; of one that cannot be read, why."""
    name = str(path.relative_to(folder))
    size = sum(size_of(file) for file in path.rglob("*")) / 1e6
    try:
        run = RunFolder.open(path)
        options, results, draws = run.options(), run.results(), run.store.draws
    except InputError:
        return name, "damaged", "", "", "", "", "", f"{size:.0f}"
    errors, done = best_errors(results), results[-1]["iteration"] if results else 0
    state = "" if run.ended else " so far"
    progress = "exported" if run.exported else f"{done} of {options.train_iter}{state}"
    return (name, options.dataset, str(options.N or ""), f"{options.generators} x {options.discriminators}",
            progress, str(len(draws)),
            "" if errors is None else f"{errors} of {run.config['data']['test']}", f"{size:.0f}")


def size_of(file: Path) -> int:
    """Bytes of a file; 0 of what is none, or has gone meanwhile."""
    try:
        return file.stat().st_size if file.is_file() else 0
    except OSError:
        return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, nargs="?", default=Path("runs"), metavar="FOLDER",
                        help="searched with all folders in it (default: runs)")


def run(arguments: argparse.Namespace) -> None:
    """Prints the table."""
    print(table(arguments.folder))
