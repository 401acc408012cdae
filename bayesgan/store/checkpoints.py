"""The checkpoints of a run: the newest and the one before it, and what becomes of damaged ones.

Of several processes the first writes last.pt, which names the parts of the others.
"""

import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from bayesgan.basics.errors import InputError, reason
from bayesgan.basics.files import write_atomically
from bayesgan.basics.out_of_memory import is_out_of_memory
from bayesgan.basics.ranks import Ranks
from bayesgan.options import GROUPS

__all__ = ["load_checkpoint", "read_checkpoint", "refuse_nan", "rotate", "save_checkpoint"]

PART = re.compile(r"part_\d+\.\d+of\d+\.pt")
NAMES = ("new.pt", "last.pt", "previous.pt")  # the newest first; new.pt where a process was killed between renames


def save_checkpoint(folder: Path, state: dict, ranks: Ranks | None = None) -> None:
    """Writes folder/last.pt, the one before it kept as previous.pt.

    Args:
        state: Of the members of this process.
        ranks: The processes, each of which calls this at the same time.
    """
    ranks = ranks or Ranks()
    folder.mkdir(exist_ok=True)
    own = None
    if not ranks.first:
        own = f"part_{state['iteration']:08d}.{ranks.rank}of{ranks.size}.pt"
        write_atomically(folder / own, lambda path: torch.save(state, path))
    parts = ranks.gathered(own)[1:]
    if not ranks.first:
        return
    if parts:
        state = {**state, "parts": parts}
    write_atomically(folder / "new.pt", lambda path: torch.save(state, path))
    rotate(folder)
    if stored := set(folder.glob("part_*.pt")):
        for path in stored - {folder / name for kept in NAMES for name in parts_of(folder / kept)}:
            path.unlink(missing_ok=True)


def parts_of(path: Path) -> list[str]:
    """The files that a checkpoint names; none where it is absent or damaged."""
    try:
        return torch.load(path, mmap=True, weights_only=True).get("parts", [])
    except Exception:  # torch raises many kinds
        return []


def rotate(folder: Path) -> None:
    """Makes new.pt last.pt and that previous.pt; also where a process was killed in the middle of it."""
    new, last, previous = (folder / name for name in NAMES)
    if not new.exists():
        return
    if last.exists():
        last.replace(previous)
    new.replace(last)


def read_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict:
    """The state of all members, every bit compared with the checksums that torch stores with it.

    Raises:
        Exception: Of many kinds, where it is damaged.
    """
    state = read_file(path, device)
    names = state.pop("parts", [])
    if bad := [name for name in names if not PART.fullmatch(name)]:
        raise InputError(f"it names {bad[0]!r} as a part")
    if absent := [name for name in names if not (path.parent / name).exists()]:
        raise InputError(f"its part {absent[0]} is missing")
    return joined([state, *(read_file(path.parent / name, device) for name in names)]) if names else state


def read_file(path: Path, device: torch.device | str) -> dict:
    with zipfile.ZipFile(path) as archive:
        if bad := archive.testzip():
            raise InputError(f"the checksum of {bad} is wrong")
    return torch.load(path, map_location=device, weights_only=True)


def joined(parts: list[dict]) -> dict:
    """The state of all members, from what `Trainer.state_dict` gave in each process."""
    whole = {**parts[0], **{group: together([part[group] for part in parts]) for group in GROUPS}}
    if "average" in whole["teacher"]:
        average = together([part["teacher"]["average"] for part in parts])
        whole["teacher"] = {**whole["teacher"], "average": average}
    whole["samplers"] = {}
    for role in parts[0]["samplers"]:
        several = [part["samplers"][role] for part in parts if has_members(part["samplers"][role])]
        first = several[0] if several else parts[0]["samplers"][role]
        states = {number: {**state, **together([other["state"][number] for other in several])}
                  for number, state in first["state"].items()}
        whole["samplers"][role] = {**first, "state": states}
    return whole


def has_members(sampler: dict) -> bool:
    return any(len(value) for state in sampler["state"].values() for value in state.values() if torch.is_tensor(value))


def together(states: list[dict]) -> dict[str, torch.Tensor]:
    """The tensors of several states, leading axes one after the other."""
    return {name: torch.cat([state[name] for state in states])
            for name, tensor in (states[0] if states else {}).items() if torch.is_tensor(tensor)}


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


def refuse_nan(state: dict) -> None:
    """Raises InputError where a checkpoint holds what is not finite."""
    if bad := [name for name, tensor in tensors_in(state) if not tensor.isfinite().all()]:
        raise InputError(f"the checkpoint holds NaN in {bad[0]}")


def tensors_in(state: dict, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Every floating-point tensor of nested dicts and lists, with where it is."""
    for key, value in state.items() if isinstance(state, dict) else enumerate(state):
        place = f"{name}/{key}" if name else str(key)
        if isinstance(value, (dict, list)):
            yield from tensors_in(value, place)
        elif torch.is_tensor(value) and value.is_floating_point():
            yield place, value
