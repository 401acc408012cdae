"""Unadjusted Langevin dynamics in the latent space: discriminator-driven latent sampling (DDLS, Che et al. 2020)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bayesgan.resampling.proposals import Codes
from bayesgan.resampling.registry import RULES
from bayesgan.resampling.rules.latent import LatentRule, LatentSpace, Walk, noise_like

__all__ = ["Langevin"]


@RULES.register("langevin")
@dataclass(frozen=True)
class Langevin(LatentRule):
    """z' = z + step²/2 · gradient + step · N(0, I), always taken.

    Biased by the step size, and never to another member.
    """


    def local(self, space: LatentSpace, walk: Walk, generator: torch.Generator) -> Tensor:
        z = walk.codes.values
        moved = Walk.at(space, Codes(z + self.step**2 / 2 * walk.gradient + self.step * noise_like(z, generator),
                                     walk.codes.members))
        return walk.accept(moved, torch.zeros_like(walk.value) + torch.inf, generator)
