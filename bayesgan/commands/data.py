"""What a data set is, before anything is trained on it: `python -m bayesgan data NAME`."""

import argparse
import dataclasses
from pathlib import Path

from bayesgan.data import DATA_SETS, DataOptions, Dataset, some, to_float
from bayesgan.data.class_labels import parts_in_words
from bayesgan.evaluation.pictures import save_picture
from bayesgan.options import Options, add_flags, check_given, given_flags, idle
from bayesgan.options.loading import check_images

__all__ = ["add_arguments", "describe", "run"]

SHOWN = 100  # data in the picture


def describe(data: Dataset) -> str:
    """Parts, shape, classes with their counts, and how the user's files were understood; a line each."""
    lines = [f"{data.name}: {len(data.train)} data to train on, {len(data.test)} to test on, of shape "
             f"{'x'.join(map(str, data.shape))}", *data.notes]
    if data.is_images:
        lines.append(f"as bytes: {int(data.train.min())}..{int(data.train.max())}, {len(data.train.unique())} levels")
    return "\n".join([*lines, *parts_in_words(data)])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help=f"one of: {', '.join(DATA_SETS)}")
    add_flags(parser, Options, only=[field.name for field in dataclasses.fields(DataOptions)])
    parser.add_argument("--out", type=Path, help="the picture (default: runs/data_NAME.png)")


def usual_place(name: str, data_path: Path | None) -> Path:
    """runs/data_NAME.png; beside the data where that would be among them."""
    out = Path("runs") / f"data_{name}.png"
    if data_path is None or not out.resolve().is_relative_to(data_path.resolve()):
        return out
    return data_path.resolve().parent / out.name


def run(arguments: argparse.Namespace) -> None:
    """Prints what was read, and draws 100 of it; raises ValueError where no network is made for it."""
    given = given_flags(arguments, Options)
    check_given(given)
    data = DATA_SETS[arguments.name].load(DataOptions(**given))
    print(*idle(given, Options(dataset=arguments.name, **given)), describe(data), sep="\n")
    out = arguments.out or usual_place(arguments.name, given.get("data_path"))
    save_picture(out, to_float(some(data.train, SHOWN)), to_float(some(data.train, 2000)))
    print(f"look at {out}")
    if data.is_images:
        check_images(data)
