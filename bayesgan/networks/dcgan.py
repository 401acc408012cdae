"""The DCGAN pair (Radford, Metz, Chintala 2016) for images of any size from 8x8, in the Bayesian GAN paper's sizes."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from bayesgan.networks.normalised import Convolution, Linear
from bayesgan.networks.registry import NETWORKS, NetworkSizes
from bayesgan.networks.stochastic import Dropout, Noise

__all__ = ["Generator", "Discriminator", "widths", "map_sizes"]

WIDEST = 512  # the reference caps its layers here
FEATURES = 512
RELU_MEAN = 1 / math.sqrt(2 * math.pi)  # E max(0, x), x ~ N(0, 1)


def widths(first: int, layers: int) -> list[int]:
    """first, 2·first, 4·first, ... capped at 512, or at `first` where that is more."""
    return [min(first * 2**layer, max(WIDEST, first)) for layer in range(layers)]


def map_sizes(size: int, layers: int) -> list[int]:
    """Side of the image and of each layer's map: every layer halves, rounding up; stops before a map under 2x2."""
    sizes = [size]
    while len(sizes) <= layers and math.ceil(sizes[-1] / 2) >= 2:
        sizes.append(math.ceil(sizes[-1] / 2))
    return sizes


class Discriminator(nn.Module):
    """Strided convolutions (5x5, then 3x3), 512 features, then `outputs` logits.

    Layer norm, unless another is asked for, on all but the first layer, where the reference has batch norm: log D(x)
    is the likelihood of one image only if it depends on that image alone, and batches of real, fake and mixed images
    would otherwise be scored by different functions.

    (B, C, H, W) in [-1, 1] -> logits (B, outputs), features (B, 512).
    """

    channels_last = True

    def __init__(self, sizes: NetworkSizes):
        super().__init__()
        convolutions, flat = self.stages(sizes)
        self.convolutions = nn.ModuleList(convolutions)
        self.features = Linear(flat, FEATURES, "weight" if sizes.normalise == "weight" else "none")
        self.logits = nn.Linear(FEATURES, sizes.outputs)
        self.noise, self.dropout = Noise(sizes.noise), Dropout(sizes.dropout)

    def stages(self, sizes: NetworkSizes) -> tuple[list[nn.Module], int]:
        """The convolutions, and how many numbers their last maps are."""
        channels, side, _ = sizes.data_shape
        maps, convolutions = map_sizes(side, sizes.layers), []
        wide = [channels, *widths(sizes.discriminator_width, len(maps) - 1)]
        for layer, (inputs, outputs) in enumerate(pairwise(wide)):
            kernel = 5 if layer == 0 else 3
            normalise = "layer" if sizes.normalise == "auto" else sizes.normalise
            if layer == 0 and normalise == "layer":
                normalise = "none"
            convolutions.append(Convolution(inputs, outputs, kernel, 2, kernel // 2, normalise))
        return convolutions, wide[-1] * maps[-1] ** 2

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.noise(images)
        for convolution in self.convolutions:
            maps = nn.functional.leaky_relu(convolution(maps), 0.2)
        features = nn.functional.leaky_relu(self.features(maps.flatten(1)), 0.2)  # (B, 512)
        return self.logits(self.dropout(features)), features


class Generator(nn.Module):
    """The discriminator's mirror in transposed convolutions, batch norm and centred ReLU; tanh at the end.

    Centred: a ReLU's mean under batch norm's N(0, 1) is taken off. With plain ReLU that mean, times kernels that
    overlap unevenly, is a pattern that no z can change and that grows with every layer; four layers up from 2x2
    it drowns z, and each generator draws one image for ever.

    z (B, Z) -> images (B, C, H, W) in [-1, 1].
    """

    images_only = True

    def __init__(self, sizes: NetworkSizes):
        super().__init__()
        channels, side, _ = sizes.data_shape
        maps = map_sizes(side, sizes.layers)[::-1]
        wide = [*widths(sizes.generator_width, len(maps) - 1)[::-1], channels]
        self.first_map = (wide[0], maps[0], maps[0])
        self.project = nn.Linear(sizes.latent, math.prod(self.first_map), bias=False)
        self.normalisations = nn.ModuleList(nn.BatchNorm2d(width, affine=False) for width in wide[:-1])
        self.convolutions = nn.ModuleList(
            self.layer(*width, *sides, last=sides[1] == side) for width, sides in zip(pairwise(wide), pairwise(maps))
        )

    def layer(self, inputs: int, outputs: int, side: int, next_side: int, last: bool) -> nn.Module:
        """From maps of one side to the next."""
        kernel = 5 if last else 3
        padding = next_side - (2 * side - 1)
        return nn.ConvTranspose2d(inputs, outputs, kernel, 2, kernel // 2, output_padding=padding, bias=last)

    def forward(self, latent: Tensor) -> Tensor:
        maps = self.project(latent).unflatten(1, self.first_map)  # (B, width, h, w)
        for normalise, convolution in zip(self.normalisations, self.convolutions):
            maps = maps.to(normalise.running_mean.dtype)  # statistics stay float32 under bfloat16
            maps = convolution(torch.relu(normalise(maps)) - RELU_MEAN)
        return torch.tanh(maps)


NETWORKS.register("dcgan")((Generator, Discriminator))
