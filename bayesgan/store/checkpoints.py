"""The checkpoints of a run: the newest and the one before it, and what becomes of damaged ones."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import torch

from bayesgan.basics.errors import InputError, reason
from bayesgan.basics.files import write_atomically
from bayesgan.basics.out_of_memory import is_out_of_memory

__all__ = ["load_checkpoint", "read_checkpoint", "rotate", "save_checkpoint"]

NAMES = ("new.pt", "last.pt", "previous.pt")  # the newest first; new.pt where a process was killed between renames


def save_checkpoint(folder: Path, state: dict) -> None:
    """Writes folder/last.pt, the one before it kept as previous.pt."""
    folder.mkdir(exist_ok=True)
    write_atomically(folder / "new.pt", lambda path: torch.save(state, path))
    rotate(folder)


def rotate(folder: Path) -> None:
    """Makes new.pt last.pt and that previous.pt; also where a process was killed in the middle of it."""
    new, last, previous = (folder / name for name in NAMES)
    if not new.exists():
        return
    if last.exists():
        last.replace(previous)
    new.replace(last)


def read_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict:
    """The state in one file, every bit compared with the checksums that torch stores with it.

    Raises:
        Exception: Of many kinds, where it is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        if bad := archive.testzip():
            raise InputError(f"the checksum of {bad} is wrong")
    return torch.load(path, map_location=device, weights_only=True)


def load_checkpoint(
    folder: Path, load: Callable[[dict], None], device: torch.device | str = "cpu", set_aside: bool = True
) -> str | None:
    """Hands the newest checkpoint that can be read to `load`.

    A damaged file is renamed to <name>.damaged, so that it never takes the place of the good previous.pt. One that
    cannot be read for another reason (no memory, a failing disk) stays where it is, and the error goes on.

    Args:
        load: Takes the state; raises where it does not fit.
        set_aside: Rename damaged ones; without it nothing is touched.

    Returns:
        The checkpoint's name; None where the run has not written one yet.

    Raises:
        ValueError: If there are checkpoints and all are damaged.
        OSError, MemoryError, RuntimeError: If one could not be read now.
    """
    damaged = []
    for path in (folder / name for name in NAMES):
        if not path.exists():
            continue
        try:
            load(read_checkpoint(path, device))
        except Exception as error:  # torch raises many kinds for a damaged file
            if isinstance(error, OSError) or is_out_of_memory(error):
                raise
            damaged.append((path, reason(error)))
            continue
        for bad, _ in damaged if set_aside else []:
            bad.replace(bad.with_name(f"{bad.name}.damaged"))
        return path.name
    if damaged:
        found = "; ".join(f"{path} ({why})" for path, why in damaged)
        raise InputError(f"no checkpoint can be read: {found}; start the run anew, draws that it has collected can be "
                         "used")
    return None
