"""The mark of layers that are random while training, from a generator of the run's own, never the global one."""

import torch
from torch import Tensor, nn

from bayesgan.basics.errors import InputError

__all__ = ["Stochastic"]


class Stochastic(nn.Module):
    """Active while training with a positive `strength`; scoring passes values through. A layer gives `disturb`.

    Attributes:
        generator: What it draws from; `Ensemble.forward` sets it before each pass.
    """

    def __init__(self, strength: float):
        super().__init__()
        self.strength = strength
        self.generator: torch.Generator | None = None

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or self.strength == 0:
            return values
        if self.generator is None:
            raise InputError(
                "a network with noise needs a torch.Generator to train; set `generator` on its noise layers"
            )
        return self.disturb(values)
