"""What `benchmark train` compares: the trainer's settings, and the code people write."""

import torch

from bayesgan.benchmarks.obvious import ObviousTrainer
from bayesgan.data import Dataset
from bayesgan.options import Engines, Options
from bayesgan.training.algorithm import Trainer

__all__ = ["VARIANTS", "is_obvious", "variant"]

# name -> flags; the obvious loop is not the Trainer but obvious.py. "one GAN" is compared with, at every size
VARIANTS: dict[str, dict] = {
    "obvious loop": {"coupling": "full", "precision": "fp32", "engine": "loop", "compile": False},
    "full": {"coupling": "full"},
    "mixture": {"coupling": "mixture"},
    "mixture, 16 each": {"coupling": "mixture", "gen_batch_size": 16},
    "obvious GAN": {"ml": True, "precision": "fp32", "engine": "loop", "compile": False},
    "one GAN": {"ml": True},
}


def is_obvious(name: str) -> bool:
    return name.startswith("obvious")


def variant(
    name: str, options: Options, data: Dataset, device: torch.device, engines: Engines | None, sampling: bool = False
) -> Trainer | ObviousTrainer:
    """What does the iterations of a variant with its `step()`, draws included.

    Args:
        engines: Of the trainer; None for the obvious code.
        sampling: Beyond burn-in and ramp, with injected noise; the obvious code has no such phase.
    """
    trainer = Trainer(options, data, device, engines)
    if is_obvious(name):
        return ObviousTrainer(trainer)
    if sampling and options.temperature > 0:
        trainer.step()  # adapts the preconditioner, which the next one freezes
        trainer.iteration = options.burn_in
        trainer.step()
        trainer.iteration = options.burn_in + options.ramp
    return trainer
