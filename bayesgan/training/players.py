"""The two sides of the game: each an ensemble of networks with the sampler that moves it."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from bayesgan.ensemble import Ensemble, make_engine
from bayesgan.sampler import SGHMC, kinetic_temperature
from bayesgan.sampler.priors import Prior

__all__ = ["GAUGE_EVERY", "Player"]

GAUGE_EVERY = 10  # iterations between readings of the kinetic temperature, which pass over all weights twice
TOLERANCE = 0.1  # of the nominal temperature, beyond which a user is told


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
    readings: int = 0
    kinetic: dict[str, Tensor] = field(default_factory=dict)  # parameter -> sum over readings, mean over members

    def move(self, loss: Tensor, gradient: Tensor | None = None, gauge: bool = False) -> None:
        """One SGHMC step of every member.

        Args:
            loss: A scalar, the sum over members of mean losses; or, with `gradient`, what the loss depends on.
            gradient: Of the summed losses with respect to `loss`, of its shape.
            gauge: Also read the kinetic temperature.
        """
        self.sampler.zero_grad()
        loss.backward(gradient)
        if self.prior is not None:
            self.prior.add_gradient(self.ensemble.parameters, 1 / self.num_data)
        if gauge:
            for name, value in kinetic_temperature(self.sampler, self.ensemble.parameters).items():
                self.kinetic[name] = self.kinetic.get(name, 0) + value.mean()
            self.readings += 1
        self.sampler.step()

    def kinetic_temperatures(self) -> dict[str, float]:
        """Mean over all readings: "all" weights together, then each tensor; empty before the first reading."""
        if not self.readings:
            return {}
        means = (torch.stack(list(self.kinetic.values())) / self.readings).tolist()
        sizes = [self.ensemble.parameters[name][0].numel() for name in self.kinetic]
        together = sum(mean * size for mean, size in zip(means, sizes)) / sum(sizes)
        return {"all": together, **dict(zip(self.kinetic, means))}

    def heat(self, nominal: float) -> str:
        """What is wrong with the kinetic temperatures in words; empty if nothing is, beyond chance."""
        measured = self.kinetic_temperatures()
        if not measured or nominal == 0:
            return ""
        independent = self.readings * min(1.0, GAUGE_EVERY * self.sampler.param_groups[0]["alpha"] / 2)

        def error(name: str) -> float:  # the standard error of a mean of squares of Gaussians
            count = self.ensemble.weight_count() if name == "all" else self.ensemble.parameters[name][0].numel()
            return math.sqrt(2 / (count * self.ensemble.members * independent))

        off = {name: abs(value / nominal - 1) for name, value in measured.items()}
        wrong = [name for name in off if off[name] > TOLERANCE + 4 * error(name)]
        if not wrong:
            return ""
        worst = max(wrong, key=off.get)
        return (f"the {self.group} have a kinetic temperature of {measured['all']:.3g} where {nominal:.3g} was asked "
                f"for ({len([name for name in wrong if name != 'all'])} of {len(self.kinetic)} tensors are off, most "
                f"{worst} with {measured[worst]:.3g}): the noise of minibatches heats them; raise the batch size or "
                "friction, or lower lr")

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
