"""Hamiltonian Monte Carlo moves in the latent space (Duane et al. 1987; Neal 2011)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bayesgan.basics.errors import refuse_count
from bayesgan.resampling.proposals import Codes
from bayesgan.resampling.registry import RULES
from bayesgan.resampling.rules.latent import AlternatingRule, LatentSpace, Walk, noise_like

__all__ = ["HMC"]


@RULES.register("hmc")
@dataclass(frozen=True)
class HMC(AlternatingRule):
    """`leapfrogs` leapfrog steps of size `step` from fresh momenta, then accept or not.

    Attributes:
        leapfrogs: Steps a move; each is one evaluation of the budget.
    """

    local_steps: int = 1
    leapfrogs: int = 5

    def __post_init__(self):
        super().__post_init__()
        refuse_count(self.leapfrogs, "leapfrogs")

    @property
    def cost(self) -> int:
        return self.leapfrogs

    def local(self, space: LatentSpace, walk: Walk, generator: torch.Generator) -> Tensor:
        start = noise_like(walk.codes.values, generator)
        end, momentum = walk, start + self.step / 2 * walk.gradient
        for leap in range(self.leapfrogs):
            end = Walk.at(space, Codes(end.codes.values + self.step * momentum, walk.codes.members))
            momentum = momentum + self.step * (1 if leap < self.leapfrogs - 1 else 0.5) * end.gradient
        kinetic = [(m.double() ** 2).sum(1) / 2 for m in (start, momentum)]
        return walk.accept(end, end.value - walk.value + kinetic[0] - kinetic[1], generator)
