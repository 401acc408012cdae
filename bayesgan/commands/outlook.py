"""What a run is going to be, in words, and what it needs: memory above all."""

from contextlib import contextmanager

import torch

from bayesgan.basics.errors import Diverged, InputError
from bayesgan.basics.memory import available_bytes, data_limit, room
from bayesgan.basics.out_of_memory import is_out_of_memory
from bayesgan.basics.ranks import RankLost, Ranks
from bayesgan.basics.tables import several
from bayesgan.data import Dataset
from bayesgan.data.class_labels import parts_in_words
from bayesgan.options import Engines, Options, flag_words
from bayesgan.training.algorithm import Trainer
from bayesgan.training.label_spreading import MOST_POINTS
from bayesgan.training.memory import nearest_fit, peak_bytes
from bayesgan.training.teacher import LEARNT

__all__ = ["describe", "memory_explained"]

GIB = 2**30
START, LARGE = 64, 128  # sides of images: a quick start on a CPU, and from where on that is worth a line


def describe(trainer: Trainer) -> str:
    """One paragraph: what will be sampled."""
    options, data = trainer.options, trainer.data
    members = [f"{several(player.members, player.role)} of {player.ensemble.weight_count():,} weights"
               if player.members else f"no {player.group}" for player in trainer.players]
    labels = f", {options.N} of them labelled, {len(data.classes)} classes" if options.semi else ""
    needed = peak_bytes(options, data, trainer.engines, trainer.ranks)
    left = room(trainer.device)
    sampling = (f"{options.burn_in} burn-in, then temperature {options.temperature:g}, a draw every {options.thin}"
                if options.temperature > 0 else "temperature 0 throughout")
    lines = [
        f"{data.name}: {len(data.train)} training data of shape {'x'.join(map(str, data.shape))}{labels}; "
        f"{len(data.calibration)} more held out, {len(data.test)} for testing",
        *data.notes,
        *parts_in_words(data),
        f"{', '.join(members)} (network {options.network_name(data.shape)}), on {trainer.device}, at most "
        f"{needed / GIB:.1f} GiB of memory",
        f"{options.train_iter} iterations: {sampling}",
    ]
    side = data.shape[-1]
    if options.image_size is None and data.is_images and side >= LARGE and trainer.device.type == "cpu":
        lines.append(f"note: images of {side}x{side} cost about {(side / START) ** 2:.0f} times those of "
                     f"{START}x{START} on a CPU; --image_size {START} is a quicker start")
    if trainer.ranks.size > 1:
        here = [" + ".join(str(len(numbers)) for numbers in player.shares) + f" {player.group}"
                for player in trainer.players]
        lines.append(f"{trainer.ranks.size} ranks: {', '.join(here)}")
    if trainer.teacher is not None:
        lines.append(taught(options, data))
    if left is not None and needed > left:
        fits = fitting(options, data, left, trainer.engines, trainer.ranks)
        lines.append(f"warning: {memory(options, needed)} of memory, the device has {max(0, left) / GIB:.1f} for them; "
                     f"{fits} fits")
    return "\n".join(lines)


def taught(options: Options, data: Dataset) -> str:
    """What the teacher does in this run."""
    if options.N == len(data.train):
        what = "all training data are labelled: it only asks for the same class on distorted data"
    else:
        what = f"classes it is sure of at {options.confidence:g} teach all discriminators on distorted data"
    times = len(options.spread_moments)
    points = min(len(data.train), MOST_POINTS)
    graph = f"; labels are spread {times} times on a graph of {points} of {len(data.train)} data" if times else ""
    decides = next((moment for moment in options.spread_moments if moment >= LEARNT), None)
    if decides is not None and points == len(data.train):
        graph += f", which from iteration {decides} on says all classes if it finds half of the labels again"
    if options.settling is not None:
        graph += f"; from iteration {options.settling} on distortions are gentle and classes are probabilities"
    return f"the teacher (--consistency {options.consistency:g}): {what}{graph}"


@contextmanager
def memory_explained(options: Options, data: Dataset, device: torch.device, engines: Engines, ranks: Ranks):
    """Turns running out of memory into an InputError that says what was needed and what fits."""
    left = room(device)
    try:
        with data_limit(available_bytes(device), device):
            yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, (Diverged, RankLost)) or not is_out_of_memory(error):
            raise
        needed = peak_bytes(options, data, engines, ranks)
        # it did not fit, whatever the formula says
        limit = int(0.8 * needed) if left is None else min(left, int(0.8 * needed))
        had = "" if left is None else f", and {max(0, left) / GIB:.1f} GiB could be had"
        fits = fitting(options, data, limit, engines, ranks)
        raise InputError(f"out of memory: {memory(options, needed)}{had}; {fits} fits; what was saved before is "
                         "intact") from None


def memory(options: Options, needed: int) -> str:
    return (f"{several(options.generators, 'generator')} on minibatches of {options.gen_batch} and "
            f"{several(options.discriminators, 'discriminator')} on {options.batch_size} need at most "
            f"{needed / GIB:.1f} GiB")


def fitting(options: Options, data: Dataset, limit: int, engines: Engines, ranks: Ranks) -> str:
    changes = nearest_fit(options, data, limit, engines, ranks)
    if changes is None:
        return "only a lower --df_dim"
    return " ".join(flag_words(changes))
