"""The fully connected pair of Salimans et al. 2016 for permutation-invariant MNIST: noise in every layer."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from bayesgan.networks.normalised import Linear
from bayesgan.networks.registry import NETWORKS, NetworkSizes
from bayesgan.networks.stochastic import Dropout, Noise

__all__ = ["Generator", "Discriminator"]

HIDDEN_NOISE = 5 / 3  # theirs: 0.3 on the image, 0.5 on hidden layers


class Discriminator(nn.Module):
    """ReLU layers of w, w/2, w/4, w/4, ... units (theirs: 1000-500-250-250-250), noise before each.

    Weight norm by default, as theirs: noise must stay as large beside the features as these grow.

    (B, ...) -> logits (B, outputs), features (B, w/4).
    """

    def __init__(self, sizes: NetworkSizes):
        super().__init__()
        widths = [max(1, sizes.discriminator_width // 2 ** min(layer, 2)) for layer in range(sizes.layers)]
        wide = [math.prod(sizes.data_shape), *widths]
        normalise = "weight" if sizes.normalise == "auto" else sizes.normalise
        self.hidden = nn.ModuleList(Linear(a, b, normalise) for a, b in pairwise(wide))
        self.noises = nn.ModuleList(
            Noise(sizes.noise * (HIDDEN_NOISE if layer else 1)) for layer in range(len(self.hidden) + 1)
        )
        self.dropout = Dropout(sizes.dropout)
        self.logits = nn.Linear(wide[-1], sizes.outputs)

    def forward(self, data: Tensor) -> tuple[Tensor, Tensor]:
        features = data.flatten(1)
        for layer, noise in zip(self.hidden, self.noises):
            features = torch.relu(layer(noise(features)))
        return self.logits(self.dropout(self.noises[-1](features))), features


class Generator(nn.Module):
    """`layers` softplus layers with batch norm, at most theirs: 2. z (B, Z) -> (B, *data_shape), tanh for images."""

    images_only = False
    least_batch = 2  # of which batch norm takes the variance

    def __init__(self, sizes: NetworkSizes):
        super().__init__()
        wide = [sizes.latent, *[sizes.generator_width] * min(sizes.layers, 2)]
        self.hidden = nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in pairwise(wide))
        self.normalisations = nn.ModuleList(nn.BatchNorm1d(width, affine=False) for width in wide[1:])
        self.data = nn.Linear(wide[-1], math.prod(sizes.data_shape))
        self.data_shape = sizes.data_shape

    def forward(self, latent: Tensor) -> Tensor:
        units = latent
        for layer, normalise in zip(self.hidden, self.normalisations):
            units = softplus(normalise(layer(units).to(normalise.running_mean.dtype)))  # float32 under bfloat16 too
        data = self.data(units).unflatten(1, self.data_shape)
        return torch.tanh(data) if len(self.data_shape) == 3 else data


NETWORKS.register("noisy_mlp")((Generator, Discriminator))
