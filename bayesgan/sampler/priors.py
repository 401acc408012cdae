"""Prior densities over weights, summed over weights, with a scale for each weight tensor."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.distributions import Distribution

from bayesgan.basics.errors import InputError

__all__ = ["Laplace", "Normal", "Prior", "StudentT"]


class Prior:
    """Independent density on every weight; the log-density is SUMMED over weights, never averaged.

    A prior of your own overrides `log_prob`, which may couple the weights of one network, and is differentiated.

    Args:
        scale: One factor for all weights, > 0.
        scales: Parameter name -> the layer's own scale, for example `bayesgan.ensemble.fan_in_scales(module)`;
            the density's scale parameter is their product. None is 1 for every weight.
    """

    scale, scales = 1.0, None  # of one that does not call __init__

    def __init__(self, scale: float = 1.0, scales: Mapping[str, float] | None = None):
        # numpy's numbers could not be loaded from a saved file
        self.scale = positive(scale, "scale")
        if not isinstance(scales, Mapping | None):
            raise InputError(f"a prior's scales must be names of parameters with a number each, got {scales!r}; "
                             "bayesgan.ensemble.fan_in_scales(model) makes them")
        self.scales = scales and {name: positive(own, f"scale of {name}") for name, own in scales.items()}

    def log_prob(self, weights: Mapping[str, Tensor]) -> Tensor:
        """log p(weights) of name -> (...), a scalar, normalisation included; where it is overridden, up to a constant.
        """
        return sum(
            self._density(weight.new_tensor(self._scale(name))).log_prob(weight).sum()
            for name, weight in weights.items()
        )

    @torch.no_grad()
    def add_gradient(self, weights: Mapping[str, Tensor], factor: float = 1.0, networks: int | None = None) -> None:
        """Adds factor · ∇(-log p) to each weight's .grad, without building a graph: factor is 1/N for mean losses.

        Args:
            networks: Weights are (networks, ...), of so many independent ones; None is one network's (...).
        """
        for name, weight in weights.items():
            if weight.grad is None and weight.requires_grad:
                raise InputError(f"{name} has no gradient; call backward() first, or freeze it with "
                                 "requires_grad_(False)")
        moving = {name: weight for name, weight in weights.items() if weight.grad is not None}
        if type(self).log_prob is Prior.log_prob:
            for name, weight in moving.items():
                self._add_gradient(weight.grad, weight, self._scale(name), factor)
            return
        with torch.enable_grad():
            own = {name: weight.detach().requires_grad_(name in moving) for name, weight in weights.items()}
            each = [own] if networks is None else [{name: weight[one] for name, weight in own.items()}
                                                   for one in range(networks)]
            total = sum(self.log_prob(one) for one in each)
            if not torch.is_tensor(total) or total.dim():
                raise InputError(f"log_prob of {type(self).__name__} must return one number, a tensor, got {total!r}; "
                                 "sum over weights")
            if not total.requires_grad:  # a flat prior
                return
            found = torch.autograd.grad(total, [own[name] for name in moving], allow_unused=True)
        for weight, gradient in zip(moving.values(), found, strict=True):
            if gradient is not None:  # it is flat in what it does not name
                weight.grad.sub_(gradient, alpha=factor)

    def _scale(self, name: str) -> float:
        if self.scales is not None and name not in self.scales:
            raise InputError(f"the prior has no scale for parameter {name}; give one for each, for example "
                             "fan_in_scales(model) with some of them changed")
        return self.scale * (1.0 if self.scales is None else self.scales[name])

    def _density(self, scale: Tensor) -> Distribution:
        """The density of one weight."""
        raise TypeError("Prior is the base of Normal, Laplace and StudentT; use one of them")

    def _add_gradient(self, gradient: Tensor, weight: Tensor, scale: float, factor: float) -> None:
        """gradient += factor · d(-log p)/d weight, in place."""
        raise TypeError("Prior is the base of Normal, Laplace and StudentT; use one of them")


def positive(value, what: str) -> float:
    """A scale as a number; ValueError where it is none, or not positive and finite."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (number > 0 and math.isfinite(number)):
        raise InputError(f"a prior's {what} must be a positive, finite number, got {value!r}; with fan-in scales 1 is "
                         "usual")
    return number


class Normal(Prior):
    """N(0, scale²)."""

    def _density(self, scale):
        return torch.distributions.Normal(torch.zeros_like(scale), scale)

    def _add_gradient(self, gradient, weight, scale, factor):
        gradient.add_(weight, alpha=factor / scale**2)


class Laplace(Prior):
    """Density exp(-|θ|/scale) / (2 scale); variance 2 scale²."""

    def _density(self, scale):
        return torch.distributions.Laplace(torch.zeros_like(scale), scale)

    def _add_gradient(self, gradient, weight, scale, factor):
        gradient.add_(weight.sign(), alpha=factor / scale)


class StudentT(Prior):
    """Student's t with `degrees` degrees of freedom times scale: heavy tails, so that a few weights may be large."""

    def __init__(self, scale: float = 1.0, scales: Mapping[str, float] | None = None, degrees: float = 4.0):
        super().__init__(scale, scales)
        if not 0 < degrees < math.inf:
            raise InputError(f"degrees must be positive and finite, got {degrees}; 4 has a finite variance and heavy "
                             "tails, and infinitely many are Normal")
        self.degrees = float(degrees)

    def _density(self, scale):
        return torch.distributions.StudentT(torch.full_like(scale, self.degrees), torch.zeros_like(scale), scale)

    def _add_gradient(self, gradient, weight, scale, factor):
        gradient.addcdiv_(weight, self.degrees * scale**2 + weight**2, value=factor * (self.degrees + 1))
