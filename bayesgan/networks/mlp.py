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

    def __init__(self, sizes: NetworkSizes):
        super().__init__()
        wide = [math.prod(sizes.data_shape), *[sizes.discriminator_width] * sizes.layers]
        normalise = "none" if sizes.normalise == "auto" else sizes.normalise
        self.hidden = nn.ModuleList(Linear(a, b, normalise) for a, b in pairwise(wide))
        self.logits = nn.Linear(sizes.discriminator_width, sizes.outputs)
        self.noise, self.dropout = Noise(sizes.noise), Dropout(sizes.dropout)

    def forward(self, data: Tensor) -> tuple[Tensor, Tensor]:
        features = self.noise(data.flatten(1))
        for layer in self.hidden:
            features = torch.relu(layer(features))
        return self.logits(self.dropout(features)), features


class Generator(nn.Module):
    """`layers` hidden ReLU layers. z (B, Z) -> (B, *data_shape): tanh for images, unbounded for vectors."""

    images_only = False

    def __init__(self, sizes: NetworkSizes):
        super().__init__()
        wide = [sizes.latent, *[sizes.generator_width] * sizes.layers]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(wide))
        self.data = nn.Linear(sizes.generator_width, math.prod(sizes.data_shape))
        self.data_shape = sizes.data_shape

    def forward(self, latent: Tensor) -> Tensor:
        units = latent
        for layer in self.hidden:
            units = torch.relu(layer(units))
        data = self.data(units).unflatten(1, self.data_shape)
        return torch.tanh(data) if len(self.data_shape) == 3 else data


NETWORKS.register("mlp")((Generator, Discriminator))
