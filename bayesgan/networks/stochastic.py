"""Layers that are random while training: noise and dropout from a generator of the run's own, never the global one."""

import torch
from torch import Tensor, nn

__all__ = ["Dropout", "Noise"]


class Stochastic(nn.Module):
    """Active while training with a positive `strength`; scoring passes values through.

    Attributes:
        generator: What it draws from; `Ensemble.forward` sets it before each pass.
    """

    def __init__(self, strength: float):
        super().__init__()
        self.strength, self.generator = strength, None

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or self.strength == 0:
            return values
        if self.generator is None:
            raise ValueError("a network with noise needs a torch.Generator to train; set `generator` on its noise layers")
        return self.disturb(values)


class Noise(Stochastic):
    """Adds N(0, strength²)."""

    def disturb(self, values: Tensor) -> Tensor:
        return values + self.strength * torch.empty_like(values).normal_(generator=self.generator)


class Dropout(Stochastic):
    """Sets a share `strength` of the values to 0 and scales the others up."""

    def disturb(self, values: Tensor) -> Tensor:
        kept = torch.empty_like(values).bernoulli_(1 - self.strength, generator=self.generator)
        return values * kept / (1 - self.strength)
