"""The small fully connected pair that first GAN tutorials train on MNIST: leaky ReLU, no normalisation."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from bayesgan.networks.normalised import Linear
from bayesgan.networks.registry import NETWORKS, NetworkSizes
from bayesgan.networks.stochastic import Dropout, Noise

__all__ = ["Discriminator", "Generator"]

SLOPE = 0.2
NARROWER = 4  # times, each generator layer further from the data


class Discriminator(nn.Module):
    """One hidden layer fewer than the generator, at least one: (B, ...) -> logits (B, outputs), features (B, width)."""

    def __init__(self, sizes: NetworkSizes):
        super().__init__()
        wide = [math.prod(sizes.data_shape), *[sizes.discriminator_width] * max(1, sizes.layers - 1)]
        normalise = "none" if sizes.normalise == "auto" else sizes.normalise
        self.hidden = nn.ModuleList(Linear(a, b, normalise) for a, b in pairwise(wide))
        self.logits = nn.Linear(sizes.discriminator_width, sizes.outputs)
        self.noise, self.dropout = Noise(sizes.noise), Dropout(sizes.dropout)

    def forward(self, data: Tensor) -> tuple[Tensor, Tensor]:
        features = self.noise(data.flatten(1))
        for layer in self.hidden:
            features = leaky_relu(layer(features), SLOPE)
        return self.logits(self.dropout(features)), features


class Generator(nn.Module):
    """`layers` hidden layers of ..., w/4, w units: z (B, Z) -> (B, *data_shape), tanh for images."""

    images_only = False

    def __init__(self, sizes: NetworkSizes):
        super().__init__()
        widths = [max(1, sizes.generator_width // NARROWER**layer) for layer in reversed(range(sizes.layers))]
        wide = [sizes.latent, *widths]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(wide))
        self.data = nn.Linear(wide[-1], math.prod(sizes.data_shape))
        self.data_shape = sizes.data_shape

    def forward(self, latent: Tensor) -> Tensor:
        units = latent
        for layer in self.hidden:
            units = leaky_relu(layer(units), SLOPE)
        data = self.data(units).unflatten(1, self.data_shape)
        return torch.tanh(data) if len(self.data_shape) == 3 else data


NETWORKS.register("perceptron")((Generator, Discriminator))
