"""A generator that enlarges its maps and convolves them, where dcgan's transposed convolutions draw checkerboards."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from bayesgan.networks.dcgan import RELU_MEAN, Discriminator, map_sizes, widths
from bayesgan.networks.registry import NETWORKS, NetworkSizes

__all__ = ["Generator"]


class Generator(nn.Module):
    """The maps and widths of dcgan's generator; nearest-neighbour enlargement, then 3x3 (Odena et al. 2016).

    A kernel that its stride does not divide covers some pixels more often than others. That pattern alone tells
    generated images from real ones, and hides from a discriminator what people see. Each layer takes four times the
    multiplications.

    z (B, Z) -> images (B, C, H, W) in [-1, 1].
    """

    images_only = True

    def __init__(self, sizes: NetworkSizes):
        super().__init__()
        channels, side, _ = sizes.data_shape
        self.sides = map_sizes(side, sizes.layers)[::-1]
        wide = [*widths(sizes.generator_width, len(self.sides) - 1)[::-1], channels]
        self.first_map = (wide[0], self.sides[0], self.sides[0])
        self.project = nn.Linear(sizes.latent, math.prod(self.first_map), bias=False)
        self.normalisations = nn.ModuleList(nn.BatchNorm2d(width, affine=False) for width in wide[:-1])
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=layer == len(wide) - 2)
            for layer, (inputs, outputs) in enumerate(pairwise(wide))
        )

    def forward(self, latent: Tensor) -> Tensor:
        maps = self.project(latent).unflatten(1, self.first_map)  # (B, width, h, w)
        for normalise, convolution, side in zip(self.normalisations, self.convolutions, self.sides[1:]):
            maps = maps.to(normalise.running_mean.dtype)  # statistics stay float32 under bfloat16
            maps = torch.relu(normalise(maps)) - RELU_MEAN
            maps = convolution(interpolate(maps, (side, side)))
        return torch.tanh(maps)


NETWORKS.register("resize")((Generator, Discriminator))
