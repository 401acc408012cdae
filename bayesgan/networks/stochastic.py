"""Noise and dropout on what a discriminator sees and says while it trains."""

import torch
from torch import Tensor

from bayesgan.ensemble import Stochastic

__all__ = ["Dropout", "Noise"]


class Noise(Stochastic):
    """Adds N(0, strength²)."""

    def draw(self, numbers: Tensor, source: torch.Generator) -> None:
        numbers.normal_(0, self.strength, generator=source)

    def disturb(self, values: Tensor, noise: Tensor) -> Tensor:
        return values + noise.to(values.dtype)


class Dropout(Stochastic):
    """Sets a share `strength` of the values to 0 and scales the others up."""

    def draw(self, numbers: Tensor, source: torch.Generator) -> None:
        numbers.bernoulli_(1 - self.strength, generator=source).div_(1 - self.strength)

    def disturb(self, values: Tensor, scales: Tensor) -> Tensor:
        return values * scales.to(values.dtype)
