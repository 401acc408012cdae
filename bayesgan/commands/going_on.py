"""A run that goes on: which folder, with which options, from which checkpoint."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bayesgan.basics.errors import InputError
from bayesgan.basics.ranks import Agreed
from bayesgan.options import Options, flag_words, resolve, script_name, usual_thin
from bayesgan.store import RunFolder
from bayesgan.store.config import FORMAT
from bayesgan.training.algorithm import Trainer

__all__ = ["continued", "opened", "resume", "told_when_stopped"]

SPREADING = ("train_iter", "keep")  # over what, and how many, draws are spread


def opened(path: Path, semi: bool) -> RunFolder:
    """The run to resume; raises InputError for one of the other script, and for an exported folder."""
    folder = RunFolder.open(path)
    if folder.exported:
        raise InputError(f"{path} is an exported folder, which holds no checkpoint; resume the run it was made from")
    if folder.options().semi != semi:
        own, other = script_name(semi), script_name(not semi)
        raise InputError(f"{path} is a run of {other}, got {own}; resume it with the former")
    return folder


def continued(folder: RunFolder, given: dict) -> Options:
    """The options of `folder` with what may change taken from `given`.

    Raises:
        ValueError: Listing every difference that would make it another run.
    """
    stored = folder.options()
    resumable = {field.name for field in dataclasses.fields(Options) if field.metadata["resumable"]}
    typed = folder.config["commands"][0]["command"]
    wrong = [f"--{name} {value} (the run has {getattr(stored, name)})" for name, value in given.items()
             if name not in resumable and value != getattr(stored, name) and not began_with(typed, name, value)]
    if wrong:
        raise InputError(f"a resumed run keeps its options, got {', '.join(wrong)}; leave them out or start a new run")
    changes = {name: value for name, value in given.items() if name in resumable}
    chosen = "thin" in given or any(word.split("=")[0] == "--thin" for word in typed)
    nobody = not chosen and stored.thin == usual_thin(stored)  # chose it
    if nobody and any(getattr(stored, name) != changes.get(name, getattr(stored, name)) for name in SPREADING):
        changes["thin"] = None
    if "device" in changes:
        changes.setdefault("gpu_id", None)
    elif "gpu_id" in changes:
        changes["device"] = "cuda"
    options = dataclasses.replace(stored, **changes)
    resolved = resolve(vars(options), options.semi)[0]
    return dataclasses.replace(resolved, ramp=options.ramp)  # of older runs also at temperature 0


def began_with(typed: list[str], name: str, value) -> bool:
    """Whether a command had this flag, for which the run then chose a value: --N all, or --num_gen beside --ml."""
    words = flag_words({name: value})
    ends = (at + len(words) for at in range(len(typed)) if typed[at : at + len(words)] == words)
    return "=".join(words) in typed or any(end == len(typed) or typed[end].startswith("--") for end in ends)


def resume(folder: RunFolder, trainer: Trainer, set_aside: bool = True) -> None:
    """Loads the newest checkpoint and says where the run stands.

    Args:
        set_aside: Damaged ones may be renamed.
    """
    draws = trainer.ranks.together(lambda: folder.store.draws)  # a damaged index is found before anything changes
    checkpoint = folder.load_checkpoint(trainer.load_state_dict, trainer.device, set_aside, trainer.ranks)
    if checkpoint is None and draws:
        raise Agreed(f"{folder.path} has draws and no checkpoint to go on from, and beginning anew would replace "
                         "them; use the draws, or start another run")
    if trainer.iteration > trainer.options.train_iter:
        raise Agreed(f"{folder.path} has done {trainer.iteration} iterations already, got --train_iter "
                         f"{trainer.options.train_iter}; give more")
    before, now = folder.options().settling, trainer.options.settling
    if before is not None and before <= trainer.iteration < (now or 0):
        print(f"note: the run had settled at iteration {before}; with --train_iter {trainer.options.train_iter} at "
              f"temperature 0 it does at {now}, and distorts at full strength until then")
    if (folder.config.get("format") or 1) < FORMAT:
        spreads = trainer.options.spread_moments
        taught = ", and its graph says all classes, at the end as probabilities" if spreads else ""
        print("note: this run began with an older version; from here on it draws other random numbers of the same law"
              f"{taught}, so the bits differ from those it would have had")
    if folder.config.get("device_type", trainer.device.type) != trainer.device.type:
        print("note: this run comes from another kind of device, which draws other numbers of the same law; so from "
              "here on the bits differ from those it would have had")
    print(f"resuming {folder.path} at iteration {trainer.iteration}, from {checkpoint or 'the start'}")


@contextmanager
def told_when_stopped(hint: str) -> Iterator[None]:
    """Within it a stop says how to go on before it does anything else."""
    try:
        yield
    except KeyboardInterrupt:
        print(hint)
        raise
