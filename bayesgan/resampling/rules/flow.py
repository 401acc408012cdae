"""Discriminator gradient flow in the latent space (DGflow, Ansari et al. 2021), of the KL divergence."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bayesgan.basics.errors import InputError
from bayesgan.resampling.proposals import Codes
from bayesgan.resampling.registry import RULES
from bayesgan.resampling.rules.latent import LatentRule, LatentSpace, Walk, noise_like

__all__ = ["GradientFlow"]


@RULES.register("flow")
@dataclass(frozen=True)
class GradientFlow(LatentRule):
    """z' = z + step²/2 · gradient of log w(G(z)) + noise · step · N(0, I), always taken.

    Langevin's move without the prior's pull, which leaves the generator's own law behind. Never to another member.

    Attributes:
        noise: Share of Langevin's noise.
    """

    noise: float = 0.1

    def __post_init__(self):
        super().__post_init__()
        if not self.noise >= 0:
            raise InputError(f"noise must be at least 0, got {self.noise}")

    def local(self, space: LatentSpace, walk: Walk, generator: torch.Generator) -> Tensor:
        z = walk.codes.values
        drift = self.step**2 / 2 * (walk.gradient + z)  # the gradient is that of log w + log N(z)
        moved = Walk.at(space, Codes(z + drift + self.noise * self.step * noise_like(z, generator),
                                     walk.codes.members))
        return walk.accept(moved, torch.full_like(walk.value, torch.inf), generator)
