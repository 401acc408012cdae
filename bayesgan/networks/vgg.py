"""A discriminator for classifiers: it sees a map as a whole before it halves it, where dcgan takes strides."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, leaky_relu, max_pool2d

from bayesgan.networks.dcgan import FEATURES, Generator, widths
from bayesgan.networks.normalised import Convolution, Linear, normalised
from bayesgan.networks.registry import NETWORKS, NetworkSizes
from bayesgan.networks.stochastic import Dropout, Noise

__all__ = ["Discriminator"]


class Discriminator(nn.Module):
    """Stages of stride-1 convolutions that end in 2x2 max-pooling (Simonyan & Zisserman 2015), 512 features, logits.

    A 5x5 convolution of half the width first, then stages of two 3x3, the second stage of the width asked for and each
    twice as wide as the one before. Group norm, unless another is asked for: an image's score depends on that image
    alone.

    (B, C, H, W) in [-1, 1] -> logits (B, outputs), features (B, 512).
    """

    channels_last = True

    def __init__(self, sizes: NetworkSizes):
        super().__init__()
        channels, side, _ = sizes.data_shape
        normalise = "group" if sizes.normalise == "auto" else sizes.normalise
        stages = 1
        while stages < sizes.layers and side >> stages + 1 >= 2:
            stages += 1
        wide = [max(1, sizes.discriminator_width // 2), *widths(sizes.discriminator_width, stages - 1)]
        self.convolutions = nn.ModuleList([Pooled(channels, wide[0], 5, 1, 2, normalise)])
        for inputs, outputs in pairwise(wide):
            self.convolutions.append(Convolution(inputs, outputs, 3, 1, 1, normalise))
            self.convolutions.append(Pooled(outputs, outputs, 3, 1, 1, normalise))
        self.features = Linear(wide[-1] * (side >> stages) ** 2, FEATURES,
                               "weight" if normalise == "weight" else "none")
        self.logits = nn.Linear(FEATURES, sizes.outputs)
        self.noise, self.dropout = Noise(sizes.noise), Dropout(sizes.dropout)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.noise(images)
        for convolution in self.convolutions:
            maps = leaky_relu(convolution(maps), 0.2)
        features = leaky_relu(self.features(maps.flatten(1)), 0.2)  # (B, 512)
        return self.logits(self.dropout(features)), features


class Pooled(Convolution):
    """A convolution whose maps are halved before they are normalised, which is four times less to normalise."""

    def forward(self, maps: Tensor) -> Tensor:
        return normalised(self, convolved_and_pooled, maps, self.stride, self.padding)


def convolved_and_pooled(maps: Tensor, weight: Tensor, bias: Tensor | None, *where) -> Tensor:
    maps = conv2d(maps, weight, bias, *where)
    if maps.is_cuda or maps.dtype != torch.bfloat16:
        return max_pool2d(maps, 2)
    # on a CPU torch pools channels-last maps five times faster, and all else in bfloat16 slower
    return max_pool2d(maps.movedim(1, -1).contiguous().movedim(-1, 1), 2).contiguous()


NETWORKS.register("vgg")((Generator, Discriminator))
