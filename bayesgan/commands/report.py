"""One page about one run or several: `python -m bayesgan report RUN [RUN ...]`."""

import argparse
from pathlib import Path

from bayesgan.basics.devices import pick_device
from bayesgan.basics.errors import InputError
from bayesgan.basics.files import write_text
from bayesgan.report.page import page

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="several are compared")
    parser.add_argument("--out", type=Path, help="the page (default: report.html in the first run's folder)")
    parser.add_argument("--data_path", type=Path, help="where the data is now, if it has moved")
    parser.add_argument("--device", default="cpu", help="where to compute (default: cpu)")


def run(arguments: argparse.Namespace) -> None:
    """Writes the page, whole or not at all, and says where."""
    if arguments.out is not None and arguments.out.is_dir():
        raise InputError(f"--out must be a file, got the folder {arguments.out}; name {arguments.out / 'report.html'}")
    text = page(arguments.runs, pick_device(arguments.device), arguments.data_path)
    out = arguments.out or arguments.runs[0] / "report.html"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, text)
    except OSError as error:
        raise InputError(f"cannot write {out} ({error.strerror or error}); name another place with --out") from None
    print(f"look at {out}")
