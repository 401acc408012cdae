"""How large a weight of each layer is expected to be."""

import math

from torch import nn

__all__ = ["fan_in_scales"]


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
            fan_in = 2.0  # biases and rows of embeddings, which nothing is added to: scale 1
            if parameter.dim() > 1 and not isinstance(layer, (nn.Embedding, nn.EmbeddingBag)):
                fan_in = parameter[0].numel()
            if isinstance(layer, (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)) and parameter.dim() > 1:
                fan_in = parameter.numel() / parameter.shape[1] / math.prod(layer.stride)
            scales[f"{prefix}.{name}" if prefix else name] = math.sqrt(2 / fan_in)
    return {name: scales[name] for name, _ in module.named_parameters()}
