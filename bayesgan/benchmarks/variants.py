"""What `benchmark train` compares: the trainer's settings, and the code people write."""

import argparse

import torch

from bayesgan.benchmarks.obvious import ObviousTrainer
from bayesgan.data import Dataset
from bayesgan.training.algorithm import Engines, Trainer
from bayesgan.options.options import Options, load_data, resolve

__all__ = ["VARIANTS", "is_obvious", "settings", "variant"]

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


def settings(arguments: argparse.Namespace, members: int, batch: int, changes: dict) -> tuple[Options, Dataset]:
    """A run of the reference's shape on the bundled digits, scaled; the images' content costs nothing."""
    given = {"dataset": "digits", "z_dim": 100, "num_layers": 4, "num_gen": members, "num_mcmc": 1,
             "num_disc": min(members, arguments.discriminators), "batch_size": batch, "gen_batch_size": batch, "train_iter": 10**6,
             **{name: getattr(arguments, name) for name in ("image_size", "df_dim", "gf_dim", "engine", "precision", "compile")},
             **({"N": 100, "label_batch_size": min(batch, 100), "feature_matching": False} if arguments.semi else {}), **changes}
    options, _ = resolve(given, arguments.semi)
    return options, load_data(options)


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
        trainer.step()
        trainer.iteration = options.burn_in
        for sampler in trainer.samplers.values():
            sampler.steps = options.burn_in + options.ramp
    return trainer
