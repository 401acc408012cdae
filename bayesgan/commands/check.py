"""Whether a run's folder, or an exported one, is whole, and what to do: `python -m bayesgan check RUN`."""

import argparse
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from bayesgan.basics.errors import InputError, reason
from bayesgan.ensemble import TensorFile
from bayesgan.options import GROUPS
from bayesgan.store import Posterior, RunFolder, read_checkpoint, read_results
from bayesgan.store.checkpoints import refuse_nan
from bayesgan.store.sums import EDITABLE, SUMS, read_sums, require_sum

__all__ = ["add_arguments", "findings", "run"]

DRAW = re.compile(r"posterior/draw_[^/]*\.safetensors")
ANEW = "copy the folder again, or export the run again"  # what is damaged of an exported one


def findings(path: Path) -> tuple[list[str], list[str]]:
    """What is whole, and what is not with what to do; both in words.

    Every file is read, every checksum compared.

    Raises:
        ValueError: If it is no run at all.
    """
    folder = RunFolder.open(path)
    whole, broken = [], []

    def look(what: str, read: Callable[[], object], remedy: str = "") -> None:
        try:
            read()
            whole.append(what)
        except Exception as error:  # torch raises many kinds for a damaged file
            broken.append(f"{what}: {reason(error)}{f'; {remedy}' if remedy else ''}")

    look("config.json", lambda: folder.engines("cpu"))
    draws = 0
    try:
        for draw in folder.store.opened():
            look(f"draw {draw.entry['step']}",
                 lambda files=draw.files: [file.group(name) for file in files for name in file.names],
                 ANEW if folder.exported
                 else "delete the file and its entry in posterior/index.json to use the other draws")
            draws += 1
        if draws == 0 and folder.ended:
            broken.append("posterior: the run is complete and has no draws; restore the folder")
    except InputError as error:
        broken.append(f"posterior: {error}")
    if draws:
        present = [group for group in GROUPS if getattr(folder.options(), group)]
        look("weights of the newest draw",
             lambda: [next(Posterior(folder, "cpu").newest(1).each(group)) for group in present])
    if folder.exported:
        look(SUMS, lambda: read_sums(path), ANEW)
        sums = read_sums(path) if SUMS in whole else {}
        for name, expected in sums.items():
            look(f"SHA-256 of {name}", lambda name=name, expected=expected: require_sum(path / name, expected), ANEW)
        if sums and (added := files_beside(sums, path)):
            broken += [f"{name}: it is no draw of this folder, and its card takes it for one; remove it"
                       for name in added if DRAW.fullmatch(name)]
            whole.append(f"added to what was exported, remove it before you pass the folder on: {', '.join(added)}")
        whole.append("an exported folder: its draws can be used, there is no training to go on with")
        return whole, broken
    for file in path.glob("results_*.json"):
        look(file.name, lambda file=file: read_results(file))
    checkpoints = sorted(file for file in (path / "checkpoints").glob("*.pt") if not file.name.startswith("part_"))
    for file in checkpoints:
        other = [one.name for one in checkpoints if one != file]
        look(f"checkpoints/{file.name}", lambda file=file: refuse_nan(read_checkpoint(file)),
             f"--resume sets it aside and goes on from {other[0]}" if other
             else "the run cannot go on, its draws can be used")
    if not checkpoints and (draws or folder.ended):
        broken.append("checkpoints: there are none; the run cannot go on, its draws can be used")
    if folder.options().semi:
        look("labelled.json", folder.labelled_rows)
        if (path / "supervised.safetensors").exists():
            look("supervised.safetensors", lambda: TensorFile(path / "supervised.safetensors").group(""),
                 "delete it: `evaluate` trains it again")
    look_at_others(path, look)
    if left := [file.name for file in path.rglob(".*.partial")]:
        whole.append(f"{len(left)} unfinished files of a killed process, which --resume removes")
    whole.append(f"the run is complete: all {folder.options().train_iter} iterations and what follows them"
                 if folder.ended else f"the run is not complete; --resume {shlex.quote(str(path))} goes on")
    return whole, broken


def look_at_others(path: Path, look: Callable) -> None:
    """Figures, tables and pictures beside the run: those that a command makes anew, and those of one iteration."""
    for pattern, remedy in OTHERS.items():
        for file in sorted(path.glob(pattern)):
            if file.suffix in READERS:
                look(file.relative_to(path).as_posix(), lambda file=file: READERS[file.suffix](file), remedy)


def read_arrays(path: Path) -> None:
    with np.load(path) as arrays:
        for name in arrays.files:
            arrays[name]


def read_picture(path: Path) -> None:
    with Image.open(path) as picture:
        picture.load()


ANEW_BY = "delete it, and ask the command that wrote it again"
OF_ITS_TIME = "nothing makes it anew, and the run does not need it: delete it"
OTHERS = {"evaluation/*": ANEW_BY, "scores/*": ANEW_BY, "resampled/[!.]*/*": ANEW_BY, "posterior/mixing.json": ANEW_BY,
          "samples/*": OF_ITS_TIME, "weights_*": OF_ITS_TIME}
READERS = {".json": lambda path: json.loads(path.read_text()), ".npz": read_arrays, ".png": read_picture}


def files_beside(sums: dict[str, str], path: Path) -> list[str]:
    """Names of files that were not exported; the card is there to be edited, and hidden files are a hub's or a lock."""
    names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    return [name for name in names if name not in {*sums, SUMS, EDITABLE} and not re.search(r"(^|/)\.", name)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="for example runs/bgan_digits_1700000000")


def run(arguments: argparse.Namespace) -> int:
    """Prints what was found; 0 where all is whole, else 2."""
    whole, broken = findings(arguments.run)
    print(*whole, sep="\n")
    for line in broken:
        print(f"DAMAGED  {line}")
    return 2 if broken else 0
