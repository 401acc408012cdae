"""The two sides of the game: each an ensemble of networks with the sampler that moves it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bayesgan.ensemble import Ensemble, make_engine
from bayesgan.sampler import SGHMC
from bayesgan.sampler.priors import Prior

__all__ = ["Player"]


@dataclass
class Player:
    """All generators, or all discriminators.

    Attributes:
        role: "generator" or "discriminator"; keys random streams, checkpoints and config.json.
        ensemble: The networks.
        sampler: Moves them; made with `SGHMC.from_sgd(..., num_data)`.
        prior: Over their weights, None for maximum likelihood.
        num_data: Data that the likelihood counts for: it scales a mean loss to the potential.
        engine: Name of what computes the ensemble, and whether it is compiled.
    """

    role: str
    ensemble: Ensemble
    sampler: SGHMC
    prior: Prior | None
    num_data: int
    engine: tuple[str, bool] = ("loop", False)

    def move(self, loss: Tensor, gradient: Tensor | None = None) -> None:
        """One SGHMC step of every member.

        Args:
            loss: A scalar, the sum over members of mean losses; or, with `gradient`, what the loss depends on.
            gradient: Of the summed losses with respect to `loss`, of its shape.
        """
        self.sampler.zero_grad()
        loss.backward(gradient)
        if self.prior is not None:
            self.prior.add_gradient(self.ensemble.parameters, 1 / self.num_data)
        self.sampler.step()

    @property
    def group(self) -> str:
        """How its networks are called together, in draws, checkpoints and figures."""
        return f"{self.role}s"

    def use(self, engine: tuple[str, bool]) -> None:
        """Computes the ensemble with this engine from now on."""
        if engine == self.engine:  # a compiled one stays compiled
            return
        name, compiled = engine
        self.ensemble.engine = make_engine(name, compiled, device=self.ensemble.device)
        self.engine = engine

    def non_finite_members(self) -> Tensor:
        """Whether any weight of each member is not finite: (members,) bool."""
        finite = [weight.detach().flatten(1).isfinite().all(1) for weight in self.ensemble.parameters.values()]
        return ~torch.stack(finite).all(0)
