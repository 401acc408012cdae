"""Metropolis-adjusted Langevin moves in the latent space (Roberts & Tweedie 1996; Che et al. 2020 for GANs)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bayesgan.resampling.proposals import Codes
from bayesgan.resampling.registry import RULES
from bayesgan.resampling.rules.latent import AlternatingRule, LatentSpace, Walk, noise_like

__all__ = ["MALA"]


@RULES.register("mala")
@dataclass(frozen=True)
class MALA(AlternatingRule):
    """z' = z + step²/2 · gradient + step · N(0, I), accepted or not so that the target stays exact."""

    def local(self, space: LatentSpace, walk: Walk, generator: torch.Generator) -> Tensor:
        z, half = walk.codes.values, self.step**2 / 2
        moved = z + half * walk.gradient + self.step * noise_like(z, generator)
        proposal = Walk.at(space, Codes(moved, walk.codes.members))
        there = ((proposal.codes.values - z - half * walk.gradient).double() ** 2).sum(1)
        back = ((z - proposal.codes.values - half * proposal.gradient).double() ** 2).sum(1)
        return walk.accept(proposal, proposal.value - walk.value + (there - back) / (2 * self.step**2), generator)
