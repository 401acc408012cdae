"""Chains on (member, z) with local moves, some alternating with fresh proposals (Samsonov et al. 2022, Ex2MCMC).

The target on the latent space is w(G_m(z)) N(z; 0, I): its image under the generators is q·w = p where q covers p. A
rule gives the local move; see mala.py, hmc.py, langevin.py and flow.py.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bayesgan.basics.errors import InputError, refuse_count
from bayesgan.resampling.proposals import Codes, LatentProposal

__all__ = ["AlternatingRule", "LatentRule", "LatentSpace", "Walk"]


@dataclass
class LatentSpace:
    """A proposal with its log ratio; log_ratio must be differentiable."""

    proposal: LatentProposal
    log_ratio: Callable[[Tensor], Tensor]

    def log_prob(self, codes: Codes) -> tuple[Tensor, Tensor, Tensor]:
        """log w + log N(z), its gradient in z, and log w: (n,), (n, Z), (n,), the scalars in float64."""
        z = codes.values.detach().requires_grad_()
        with torch.enable_grad():
            log_w = self.log_ratio(self.proposal.decode(Codes(z, codes.members))).double()
            value = log_w - (z.double() ** 2).sum(1) / 2
            total = value.sum()
        if not log_w.requires_grad:
            raise InputError("the log ratio has no gradient, as isotonic calibration and boosting have none; latent "
                             "moves need another ratio, and calibration platt, beta or vector")
        (gradient,) = torch.autograd.grad(total, z)
        return value.detach(), gradient, log_w.detach()


@dataclass
class Walk:
    """The state of n chains: codes, log target (n,), its gradient (n, Z), log w (n,)."""

    codes: Codes
    value: Tensor
    gradient: Tensor
    log_w: Tensor

    @classmethod
    def at(cls, space: LatentSpace, codes: Codes) -> "Walk":
        return cls(codes, *space.log_prob(codes))

    def accept(self, other: "Walk", log_odds: Tensor, generator: torch.Generator) -> Tensor:
        """Goes over to `other` with probability min(1, exp(log_odds)), chain by chain; returns which did."""
        uniform = torch.rand(len(log_odds), generator=generator, device=generator.device, dtype=torch.float64)
        taken = uniform.to(log_odds.device).log() < log_odds
        for mine, theirs in ((self.codes.values, other.codes.values), (self.codes.members, other.codes.members),
                             (self.value, other.value), (self.gradient, other.gradient), (self.log_w, other.log_w)):
            mine[taken] = theirs[taken]
        return taken


@dataclass(frozen=True)
class LatentRule(ABC):
    """Local moves until the budget ends.

    Attributes:
        step: Size of a local step in z, whose prior has unit variance.
    """

    step: float = 0.1
    cost = 1  # evaluations of a local move
    period = 0  # moves from one global move to the next; 0 for none of them

    def __post_init__(self):
        if not (self.step > 0 and math.isfinite(self.step)):
            raise InputError(f"step must be positive and finite, got {self.step}")

    @abstractmethod
    def local(self, space: LatentSpace, walk: Walk, generator: torch.Generator) -> Tensor:
        """One local move of all chains, in place; returns which moved."""

    def run(self, space: LatentSpace, n: int, budget: int, generator: torch.Generator) -> tuple[Walk, Tensor, dict]:
        """n chains of `budget` evaluations besides that of their starts.

        Returns:
            Their ends, which ever moved (n,), and the acceptance of both kinds of moves.
        """
        walk = Walk.at(space, space.proposal.draw(n, generator))
        moved = torch.zeros(n, dtype=torch.bool, device=walk.value.device)
        accepted = {"global": [], "local": []}
        spent, turn = 0, 0
        while spent < budget:
            affordable = spent + self.cost <= budget
            if not affordable and not self.period:
                break
            if not affordable or (self.period and turn % self.period == 0):
                fresh = Walk.at(space, space.proposal.draw(n, generator))
                taken = walk.accept(fresh, fresh.log_w - walk.log_w, generator)  # the prior is the proposal's own
                accepted["global"].append(taken.double().mean().item())
                spent += 1
            else:
                taken = self.local(space, walk, generator)
                accepted["local"].append(taken.double().mean().item())
                spent += self.cost
            moved |= taken
            turn += 1
        return walk, moved, {f"{kind}_acceptance": sum(v) / len(v) for kind, v in accepted.items() if v}


@dataclass(frozen=True)
class AlternatingRule(LatentRule):
    """One global move (independence Metropolis-Hastings), `local_steps` local ones, and again.

    Attributes:
        local_steps: Local moves after each global one.
    """

    local_steps: int = 4

    def __post_init__(self):
        super().__post_init__()
        refuse_count(self.local_steps, "local_steps")

    @property
    def period(self) -> int:
        return 1 + self.local_steps


def noise_like(z: Tensor, generator: torch.Generator) -> Tensor:
    """N(0, I) of the shape of z, drawn where `generator` lives."""
    return torch.randn(z.shape, generator=generator, device=generator.device).to(z)
