"""How large a weight of each layer is expected to be."""

import math

from torch import nn

__all__ = ["fan_in_scales", "weights_of"]

NORMS = (nn.LayerNorm, nn.RMSNorm)  # whose gains and biases may have several axes


def weights_of(module: nn.Module) -> set[str]:
    """Names of the parameters that are weights: neither biases nor gains of normalisations."""
    layers = [(f"{prefix}." if prefix else "", layer) for prefix, layer in module.named_modules()]
    return {prefix + name for prefix, layer in layers if not isinstance(layer, NORMS)
            for name, values in layer.named_parameters(recurse=False) if values.dim() > 1 and "bias" not in name}


def fan_in_scales(module: nn.Module) -> dict[str, float]:
    """sqrt(2 / fan-in) for each weight of `module`, 1 for biases and gains: He et al. 2015, eq. 10, as a prior's scale.

    fan-in is the number of inputs that one output adds up; a transposed convolution with stride s sees 1/s² of its
    kernel at a time. Why not one scale for all: under N(0, 1) or N(0, 10) a wide layer's flat directions diffuse to
    weights ten times the useful size, and the sampled networks compute nothing.

    Returns:
        Parameter name -> scale, in the order of module.named_parameters().
    """
    scales, weights = {}, weights_of(module)
    for prefix, layer in module.named_modules():
        for name, parameter in layer.named_parameters(recurse=False):
            fan_in, whole = 2.0, f"{prefix}.{name}" if prefix else name
            if whole in weights and not isinstance(layer, (nn.Embedding, nn.EmbeddingBag)):  # rows are not added up
                fan_in = parameter[0].numel()
                if isinstance(layer, (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
                    fan_in = parameter.numel() / parameter.shape[1] / layer.groups / math.prod(layer.stride)
            scales[whole] = math.sqrt(2 / fan_in)
    return {name: scales[name] for name, _ in module.named_parameters()}
