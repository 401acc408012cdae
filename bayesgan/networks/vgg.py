"""A discriminator for classifiers: it sees a map as a whole before it halves it, where dcgan takes strides."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, max_pool2d

from bayesgan.networks import dcgan
from bayesgan.networks.dcgan import Generator, widths
from bayesgan.networks.normalised import Convolution, normalised
from bayesgan.networks.registry import NETWORKS, NetworkSizes

__all__ = ["Discriminator"]


class Discriminator(dcgan.Discriminator):
    """Stages of stride-1 convolutions that end in 2x2 max-pooling (Simonyan & Zisserman 2015), 512 features, logits.

    A 5x5 convolution of half the width first, then stages of two 3x3, the second stage of the width asked for and each
    twice as wide as the one before. Group norm, unless another is asked for: an image's score depends on that image
    alone.

    (B, C, H, W) in [-1, 1] -> logits (B, outputs), features (B, 512).
    """

    def stages(self, sizes: NetworkSizes) -> tuple[list[nn.Module], int]:
        channels, side, _ = sizes.data_shape
        normalise = "group" if sizes.normalise == "auto" else sizes.normalise
        stages = 1
        while stages < sizes.layers and side >> stages + 1 >= 2:
            stages += 1
        wide = [max(1, sizes.discriminator_width // 2), *widths(sizes.discriminator_width, stages - 1)]
        convolutions = [Pooled(channels, wide[0], 5, 1, 2, normalise)]
        for inputs, outputs in pairwise(wide):
            convolutions += [Convolution(inputs, outputs, 3, 1, 1, normalise),
                             Pooled(outputs, outputs, 3, 1, 1, normalise)]
        return convolutions, wide[-1] * (side >> stages) ** 2


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
