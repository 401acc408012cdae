"""The two sides of the game: each an ensemble of networks with the sampler that moves it."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from bayesgan.basics.errors import InputError
from bayesgan.basics.ranks import Ranks
from bayesgan.ensemble import Ensemble
from bayesgan.sampler import SGHMC, kinetic_temperature
from bayesgan.sampler.priors import Prior

__all__ = ["GAUGE_EVERY", "Player", "shares"]

GAUGE_EVERY = 10  # iterations between readings of the kinetic temperature, which pass over all weights twice
LEAST_READINGS = 10  # of the gradient noise, before it is subtracted
SLOWEST_RATE = 0.1  # of the running mean of that noise, which drifts as the networks do
SHARE = 0.8  # of what friction takes out, at most to be put in by gradient noise; the rest is injected
MOST_FRICTION = 0.9  # beyond which the step size falls instead
TOLERANCE = 0.1  # of the nominal temperature, beyond which a user is told


def shares(ranks: Ranks, role: str, members: int) -> list[range]:
    """Which of the generators, or discriminators, each process has: who has fewer of one has more of the other."""
    return ranks.shares(members, ascending=role == "discriminator")


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
        ranks: The processes among which the members are shared out.
        members: How many there are in all of them; default those of the ensemble.
    """

    role: str
    ensemble: Ensemble
    sampler: SGHMC
    prior: Prior | None
    num_data: int
    engine: tuple[str, bool] = ("loop", False)
    ranks: Ranks = field(default_factory=Ranks)
    members: int | None = None
    readings: int = 0
    kinetic: dict[str, Tensor] = field(default_factory=dict)  # parameter -> sum over readings, mean over members
    noise_readings: int = 0
    noise: dict[str, Tensor] = field(default_factory=dict)  # parameter -> running mean of its strength, as beta_hat

    def move(
        self, loss: Tensor | None, gradient: Tensor | None = None, read: bool = False, gauge: bool = False
    ) -> None:
        """One SGHMC step of every member here.

        Args:
            loss: A scalar, the sum over members of mean losses; or, with `gradient`, what the loss depends on.
            gradient: Of the summed losses with respect to `loss`, of its shape.
            read: Also read the gradient noise.
            gauge: And let the kinetic temperature count for the report.
        """
        if self.numbers:
            self.sampler.zero_grad()
            loss.backward(gradient)
            if self.prior is not None:
                self.prior.add_gradient(self.ensemble.parameters, 1 / self.num_data, self.ensemble.members)
        if read or gauge:
            self._read(gauge)
        if self.numbers:
            self.sampler.step()
        else:
            self.sampler.steps += 1

    @torch.no_grad()
    def _read(self, gauge: bool) -> None:
        """Kinetic temperatures, and what they tell of the gradient noise.

        Noise of strength beta (eta C V / 2) heats a tensor by (beta - beta_hat) / alpha: so beta is what is subtracted
        already and alpha times the heat that is left. Ding et al. 2014 ("Bayesian sampling using stochastic gradient
        thermostats") steer friction by the same heat; unlike a variance of minibatches, it also has what consecutive
        steps have in common.
        """
        group, step = self.sampler.param_groups[0], self.sampler.steps
        if gauge:
            self.readings += 1
        self.noise_readings += 1
        rate, eta = max(1 / self.noise_readings, SLOWEST_RATE), self.sampler.values(group, step - 1)["eta"]
        means = torch.zeros(len(self.ensemble.parameters), device=self.ensemble.device, dtype=self.ensemble.dtype)
        if self.numbers:
            measured = kinetic_temperature(self.sampler, self.ensemble.parameters)
            means = torch.stack([value.sum() for value in measured.values()]) / self.members
        for name, measured in zip(self.ensemble.parameters, self.ranks.sum(means)):
            if gauge:
                self.kinetic[name] = self.kinetic.get(name, 0) + measured
            values = self.sampler.values_of(group, self.ensemble.parameters[name], step - 1)
            strength = values["beta_hat"] + values["alpha"] * (measured - values["temperature"])
            strength = strength * (eta / values["eta"])  # at the full step size
            self.noise[name] = torch.lerp(self.noise.get(name, strength), strength, rate)

    def correct(self, temperature: float) -> None:
        """Subtracts the gradient noise measured so far from what is injected, tensor by tensor (`SGHMC.correct`).

        Where it is more than a share of what friction takes out, friction rises, and where that is not enough the step
        size falls, both for this tensor alone.
        """
        if self.noise_readings < LEAST_READINGS:
            return
        friction = self.sampler.param_groups[0]["alpha"]
        for name, beta in zip(self.noise, torch.stack(list(self.noise.values())).clamp_min(0).tolist()):
            wanted = beta / (SHARE * temperature)  # friction, if that were all
            alpha = max(friction, min(wanted, MOST_FRICTION))
            eta_scale = min(1.0, alpha / wanted) if wanted > 0 else 1.0
            self.sampler.correct(self.ensemble.parameters[name], eta_scale * beta, alpha, eta_scale)

    def corrections(self) -> dict[str, dict[str, float]]:
        """Tensor -> beta_hat, friction alpha and factor on the step size that it has of its own."""
        states = {name: self.sampler.state.get(parameter, {}) for name, parameter in self.ensemble.parameters.items()}
        return {name: state["own"] for name, state in states.items() if "own" in state}

    def kinetic_temperatures(self) -> dict[str, float]:
        """Mean over all readings: "all" weights together, then each tensor; empty before the first reading."""
        if not self.readings:
            return {}
        means = (torch.stack(list(self.kinetic.values())) / self.readings).tolist()
        sizes = [self.ensemble.size(name) for name in self.kinetic]
        together = sum(mean * size for mean, size in zip(means, sizes)) / sum(sizes)
        return {"all": together, **dict(zip(self.kinetic, means))}

    def heat(self, nominal: float) -> str:
        """What is wrong with the kinetic temperatures in words; empty if nothing is, beyond chance."""
        measured = self.kinetic_temperatures()
        if not measured or nominal == 0:
            return ""
        independent = self.readings * min(1.0, GAUGE_EVERY * self.sampler.param_groups[0]["alpha"] / 2)

        def error(name: str) -> float:  # the standard error of a mean of squares of Gaussians
            count = self.ensemble.weight_count() if name == "all" else self.ensemble.size(name)
            return math.sqrt(2 / (count * self.members * independent))

        off = {name: abs(value / nominal - 1) for name, value in measured.items()}
        wrong = [name for name in off if off[name] > TOLERANCE + 4 * error(name)]
        if not wrong:
            return ""
        worst = max(wrong, key=off.get)
        cause = (
            "gradient noise heats them; raise the batch size or friction, or lower lr"
            if measured[worst] > nominal
            else "gradient noise fell faster than its running mean; sample longer"
        )
        count = len([name for name in wrong if name != "all"])
        return (
            f"the {self.group} have a kinetic temperature of {measured['all']:.3g} where {nominal:.3g} was asked for "
            f"({count} of {len(self.kinetic)} tensors are off, most {worst} with {measured[worst]:.3g}): {cause}"
        )

    def __post_init__(self):
        self.members = self.ensemble.members if self.members is None else self.members
        self.shares = shares(self.ranks, self.role, self.members)  # which members each process has
        self.numbers = self.shares[self.ranks.rank]  # which are here, perhaps none

    def freeze_preconditioner(self) -> None:
        """See `SGHMC`."""
        if self.numbers:
            self.sampler.freeze_preconditioner()

    def load_state(self, state: dict[str, Tensor], sampler: dict) -> None:
        """Weights and statistics of all members, and the sampler's state; those here are taken from it."""
        rows = slice(self.numbers.start, self.numbers.stop)
        if len(next(iter(state.values()))) != self.members:
            raise InputError(f"a checkpoint has {len(next(iter(state.values())))} {self.group}, not {self.members}")
        self.ensemble.load_state({name: tensor[rows] for name, tensor in state.items()})
        own = {number: {name: value[rows] if torch.is_tensor(value) else value for name, value in values.items()}
               for number, values in sampler["state"].items()}
        self.sampler.load_state_dict({**sampler, "state": own})

    @property
    def group(self) -> str:
        """How its networks are called together, in draws, checkpoints and figures."""
        return f"{self.role}s"

    def use(self, engine: tuple[str, bool]) -> None:
        """Computes the ensemble with this engine from now on."""
        if engine == self.engine:  # a compiled one stays compiled
            return
        self.ensemble.use(*engine)
        self.engine = engine

    def non_finite_members(self) -> Tensor:
        """Whether any weight of each member is not finite: (members,) bool."""
        finite = [weight.detach().flatten(1).isfinite().all(1) for weight in self.ensemble.parameters.values()]
        return ~torch.stack(finite).all(0)
