"""Fully connected pair for vectors, and for images flattened to vectors."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from bayesgan.networks.normalised import Linear
from bayesgan.networks.registry import NETWORKS, NetworkSizes
from bayesgan.networks.stochastic import Dropout, Noise

__all__ = ["Generator", "Discriminator"]


class Discriminator(nn.Module):
    """`layers` hidden ReLU layers. (B, ...) -> logits (B, outputs), features (B, width)."""

    activation = staticmethod(torch.relu)

    @staticmethod
    def widths(sizes: NetworkSizes) -> list[int]:
        """Units of each hidden layer, away from the data."""
        return [sizes.discriminator_width] * sizes.layers

    def __init__(self, sizes: NetworkSizes):
        super().__init__()
        wide = [math.prod(sizes.data_shape), *self.widths(sizes)]
        normalise = "none" if sizes.normalise == "auto" else sizes.normalise
        self.hidden = nn.ModuleList(Linear(a, b, normalise) for a, b in pairwise(wide))
        self.logits = nn.Linear(sizes.discriminator_width, sizes.outputs)
        self.noise, self.dropout = Noise(sizes.noise), Dropout(sizes.dropout)

    def forward(self, data: Tensor) -> tuple[Tensor, Tensor]:
        features = self.noise(data.flatten(1))
        for layer in self.hidden:
            features = self.activation(layer(features))
        return self.logits(self.dropout(features)), features


class Generator(nn.Module):
    """`layers` hidden ReLU layers. z (B, Z) -> (B, *data_shape): tanh for images, unbounded for vectors."""

    images_only = False
    activation = staticmethod(torch.relu)

    @staticmethod
    def widths(sizes: NetworkSizes) -> list[int]:
        """Units of each hidden layer, towards the data."""
        return [sizes.generator_width] * sizes.layers

    def __init__(self, sizes: NetworkSizes):
        super().__init__()
        wide = [sizes.latent, *self.widths(sizes)]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(wide))
        self.data = nn.Linear(wide[-1], math.prod(sizes.data_shape))
        self.data_shape = sizes.data_shape

    def forward(self, latent: Tensor) -> Tensor:
        units = latent
        for layer in self.hidden:
            units = self.activation(layer(units))
        data = self.data(units).unflatten(1, self.data_shape)
        return torch.tanh(data) if len(self.data_shape) == 3 else data


NETWORKS.register("mlp")((Generator, Discriminator))
