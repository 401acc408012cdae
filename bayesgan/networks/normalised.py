"""Discriminator layers with a normalisation that never mixes images: of the layer, of the weights, or none."""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, group_norm, linear

__all__ = ["Convolution", "Linear", "NORMALISATIONS"]

NORMALISATIONS = {
    "layer": "each image's own mean and variance over a layer",
    "weight": "each unit's weights have norm sqrt(2) (Salimans & Kingma 2016, without a learned scale)",
    "none": "nothing",
}


def fixed_norm(weight: Tensor) -> Tensor:
    """Rows (out, ...) scaled to norm sqrt(2), that of He et al.'s initial weights."""
    return weight * (2**0.5 / weight.flatten(1).norm(dim=1).clamp_min(1e-12)).view(-1, *[1] * (weight.dim() - 1))


class Convolution(nn.Conv2d):
    """A convolution with one of `NORMALISATIONS`."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, padding: int, normalise: str):
        super().__init__(inputs, outputs, kernel, stride, padding)
        self.normalise = normalise

    def forward(self, maps: Tensor) -> Tensor:
        weight = fixed_norm(self.weight) if self.normalise == "weight" else self.weight
        maps = conv2d(maps, weight, self.bias, self.stride, self.padding)
        return group_norm(maps, 1) if self.normalise == "layer" else maps


class Linear(nn.Linear):
    """A fully connected layer with one of `NORMALISATIONS`."""

    def __init__(self, inputs: int, outputs: int, normalise: str):
        super().__init__(inputs, outputs)
        self.normalise = normalise

    def forward(self, units: Tensor) -> Tensor:
        units = linear(units, fixed_norm(self.weight) if self.normalise == "weight" else self.weight, self.bias)
        return torch.nn.functional.layer_norm(units, units.shape[1:]) if self.normalise == "layer" else units
