"""Prior densities over weights, summed over weights, with a scale for each weight tensor."""

import math
from collections.abc import Mapping

import torch
from torch import nn

from bayesgan.errors import InputError

__all__ = ["Normal", "fan_in_scales"]


def fan_in_scales(module: nn.Module) -> dict[str, float]:
    """sqrt(2 / fan-in) for each weight of `module`, 1 for each bias: He et al. 2015, eq. 10, as a prior's scale.

    fan-in is the number of inputs that one output adds up; a transposed convolution with stride s sees 1/s² of its
    kernel at a time. Why not one scale for all: under N(0, 1) or N(0, 10) a wide layer's flat directions diffuse to
    weights ten times the useful size, and the sampled networks compute nothing.

    Returns:
        Parameter name -> scale, in the order of module.named_parameters().
    """
    scales = {}
    for prefix, layer in module.named_modules():
        for name, parameter in layer.named_parameters(recurse=False):
            fan_in = 2.0  # biases: scale 1
            if parameter.dim() > 1:
                fan_in = parameter[0].numel()
            if isinstance(layer, (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)) and parameter.dim() > 1:
                fan_in = parameter.numel() / parameter.shape[1] / math.prod(layer.stride)
            scales[f"{prefix}.{name}" if prefix else name] = math.sqrt(2 / fan_in)
    return {name: scales[name] for name, _ in module.named_parameters()}


class Normal:
    """Independent N(0, (std · scale)²) on every weight; log-density SUMMED over weights.

    Args:
        std: One factor for all weights, > 0.
        scales: Parameter name -> scale, for example `fan_in_scales(module)`.
    """

    def __init__(self, std: float, scales: Mapping[str, float]):
        if not (std > 0 and math.isfinite(std)):
            raise InputError(f"prior_std must be positive and finite, got {std}; 1 is a He-initialised layer's size")
        self.standard_deviations = {name: std * scale for name, scale in scales.items()}

    def log_prob(self, weights: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """log p(weights), a scalar, normalisation included."""
        return sum(
            torch.distributions.Normal(0.0, self.standard_deviations[name]).log_prob(weight).sum()
            for name, weight in weights.items()
        )

    @torch.no_grad()
    def add_gradient(self, weights: Mapping[str, torch.Tensor], factor: float = 1.0) -> None:
        """Adds factor · ∇(-log p) to each weight's .grad, without building a graph: factor is 1/N for mean losses."""
        for name, weight in weights.items():
            weight.grad.add_(weight, alpha=factor / self.standard_deviations[name] ** 2)
