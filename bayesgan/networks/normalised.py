"""Discriminator layers with a normalisation that never mixes images: see `NORMALISATIONS`."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, group_norm, linear

__all__ = ["Convolution", "Linear", "NORMALISATIONS"]

NORMALISATIONS = {
    "layer": "each image's own mean and variance over a layer",
    "group": "the same over each eighth of a layer's channels (Wu & He 2018), then a learned scale",
    "weight": "each unit's weights have norm sqrt(2) (Salimans & Kingma 2016, without a learned scale)",
    "none": "nothing",
}
GROUPS = 8


def fixed_norm(weight: Tensor) -> Tensor:
    """Rows (out, ...) scaled to norm sqrt(2), that of He et al.'s initial weights."""
    return weight * (2**0.5 / weight.flatten(1).norm(dim=1).clamp_min(1e-12)).view(-1, *[1] * (weight.dim() - 1))


def normalised(layer: nn.Module, apply, inputs: Tensor, *where) -> Tensor:
    """What `apply(inputs, weight, bias, *where)` gives with the layer's normalisation."""
    if layer.normalise == "group":
        values, channels = apply(inputs, layer.weight, None, *where), len(layer.bias)
        groups = math.gcd(GROUPS, channels)
        if values.dim() == 2:  # of fewer than eight units mean and variance leave little
            groups = math.gcd(groups, max(1, channels // 8))
        return group_norm(values, groups, 1 + layer.scale, layer.bias)
    weight = fixed_norm(layer.weight) if layer.normalise == "weight" else layer.weight
    values = apply(inputs, weight, layer.bias, *where)
    return group_norm(values, 1) if layer.normalise == "layer" else values


class Convolution(nn.Conv2d):
    """A convolution with one of `NORMALISATIONS`."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, padding: int, normalise: str):
        super().__init__(inputs, outputs, kernel, stride, padding)
        self.normalise = normalise
        if normalise == "group":
            self.scale = nn.Parameter(torch.zeros(outputs))  # 1 is added: its prior is centred there

    def forward(self, maps: Tensor) -> Tensor:
        return normalised(self, conv2d, maps, self.stride, self.padding)


class Linear(nn.Linear):
    """A fully connected layer with one of `NORMALISATIONS`."""

    def __init__(self, inputs: int, outputs: int, normalise: str):
        super().__init__(inputs, outputs)
        self.normalise = normalise
        if normalise == "group":
            self.scale = nn.Parameter(torch.zeros(outputs))

    def forward(self, units: Tensor) -> Tensor:
        return normalised(self, linear, units)
