"""Discriminator rejection sampling (Azadi et al. 2019), with its shift gamma and without."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bayesgan.basics.errors import InputError
from bayesgan.resampling.registry import RULES, Rule, Selection

__all__ = ["DiscriminatorRejection"]

PILOT = 10_000  # proposals from which the bound M and the shift are estimated
EPSILON = 1e-6


@RULES.register("drs")
@dataclass(frozen=True)
class DiscriminatorRejection(Rule):
    """Accepts a proposal with probability sigmoid(F), F = l - log(1 - exp(l - eps)) - gamma, l = log w - log M.

    M is the largest ratio of the first 10,000 proposals, raised whenever a later one exceeds it.

    Attributes:
        percentile: gamma is this percentile of F, which accepts 100 - percentile of a hundred or more and is not exact;
            0 for gamma = 0, the correct rejection sampler, which accepts 1 of M.
    """

    percentile: float = 80.0

    def __post_init__(self):
        if not 0 <= self.percentile < 100:
            raise InputError(f"percentile must be in [0, 100), got {self.percentile}; 0 is without shift")

    def select(self, log_w: Tensor, n: int, generator: torch.Generator, real: Tensor | None = None) -> Selection:
        pilot = log_w[:PILOT]
        bound = log_w.cummax(0).values.maximum(pilot.max())
        below = log_w - bound
        odds = below - (-torch.expm1(below - EPSILON)).log()
        possible = odds[:PILOT][odds[:PILOT] > -torch.inf]  # of the others none is ever accepted
        gamma = possible.quantile(self.percentile / 100) if self.percentile and len(possible) else 0.0
        uniform = torch.rand(len(log_w), generator=generator, device=log_w.device, dtype=torch.float64)
        accepted = (uniform < torch.sigmoid(odds - gamma)).nonzero()[:, 0]
        if len(accepted) < n:
            needed = len(log_w) // max(1, len(accepted)) + 1  # proposals for each accepted one
            raise InputError(f"rejection accepted {len(accepted)} of {len(log_w)} proposals where {n} are wanted; "
                             f"raise the budget to about {needed}, or use method obrs")
        return Selection(accepted[:n])
