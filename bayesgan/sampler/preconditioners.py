"""Diagonal preconditioners: a positive step-size factor per weight, adapted in burn-in and frozen to sample."""

from dataclasses import dataclass

import torch

from bayesgan.basics.errors import InputError

__all__ = ["RMSprop", "Roots"]

ADAPTING = 1e-8  # Adam's epsilon


@dataclass(frozen=True)
class RMSprop:
    """C = 1 / (sqrt(V) + eps), V the bias-corrected running mean of the squared gradient (Tieleman & Hinton 2012).

    At temperature 0 this makes SGHMC RMSprop with momentum 1 - alpha: close to Adam with beta1 = 1 - alpha and step
    size eta / alpha, but each gradient is scaled by the C of its own step. While it adapts, eps is Adam's; from the
    freeze on it is `floor`.

    Args:
        decay: Weight of the past in V.
        floor: In units of the gradient handed to the optimiser. It bounds the frozen C by 1/floor, so that a weight
            whose gradient is almost always zero is not thrown about once noise is injected.
    """

    decay: float = 0.999
    floor: float = 1e-3

    def __post_init__(self):
        if not 0 <= self.decay < 1:
            raise InputError(f"decay must be in [0, 1), got {self.decay}; 0.999 is usual")
        if not self.floor > 0:
            raise InputError(f"floor must be positive, got {self.floor}; 1e-3 suits gradients of a mean loss")

    def update(self, state: dict, gradient: torch.Tensor) -> None:
        """Takes one gradient into `state` and renews state["preconditioner"], both of the gradient's shape."""
        if "square_average" not in state:
            state["square_average"] = torch.zeros_like(gradient)
            state["preconditioner"] = torch.empty_like(gradient)
            state["updates"] = 0
        state["updates"] += 1
        state["square_average"].mul_(self.decay).addcmul_(gradient, gradient, value=1 - self.decay)
        self._renew(state, ADAPTING)

    def freeze(self, state: dict) -> None:
        """Renews state["preconditioner"] a last time, with the floor, and drops what only adaptation needs."""
        self._renew(state, self.floor)
        del state["square_average"], state["updates"]

    def _renew(self, state: dict, eps: float) -> None:
        correction = 1 - self.decay ** state["updates"]
        torch.div(state["square_average"], correction, out=state["preconditioner"]).sqrt_().add_(eps).reciprocal_()


class Roots:
    """Square roots of preconditioners, taken once as long as each stays what it is."""

    def __init__(self):
        self.kept: dict[torch.Tensor, tuple] = {}  # parameter -> version of its preconditioner, root

    def of(self, parameter: torch.Tensor, diagonal: torch.Tensor | None) -> torch.Tensor | None:
        """The root of this parameter's preconditioner, None for None."""
        if diagonal is None:
            return None
        version = (id(diagonal), diagonal._version)
        if parameter not in self.kept or self.kept[parameter][0] != version:
            self.kept[parameter] = version, diagonal.sqrt()
        return self.kept[parameter][1]
