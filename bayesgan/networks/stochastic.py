"""Noise and dropout on what a discriminator sees and says while it trains."""

import torch
from torch import Tensor

from bayesgan.ensemble import Stochastic

__all__ = ["Dropout", "Noise"]


class Noise(Stochastic):
    """Adds N(0, strength²)."""

    def disturb(self, values: Tensor) -> Tensor:
        return values + self.strength * torch.empty_like(values).normal_(generator=self.generator)


class Dropout(Stochastic):
    """Sets a share `strength` of the values to 0 and scales the others up."""

    def disturb(self, values: Tensor) -> Tensor:
        kept = torch.empty_like(values).bernoulli_(1 - self.strength, generator=self.generator)
        return values * kept / (1 - self.strength)
