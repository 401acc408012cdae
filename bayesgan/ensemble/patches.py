"""Convolutions as one matrix product of image patches: under vmap a batched product, not a grouped convolution."""

import torch
from torch import Tensor
from torch.nn.functional import fold, linear, unfold
from torch.nn.modules.utils import _pair
from torch.overrides import TorchFunctionMode

__all__ = ["PatchProducts"]


def convolution(
    images: Tensor, weight: Tensor, bias: Tensor | None = None, stride=1, padding=0, dilation=1, groups: int = 1
) -> Tensor:
    """torch.conv2d: (B, C, H, W) * (O, C, k, k) -> (B, O, H', W'); torch's own for grouped ones and the like."""
    if groups > 1 or images.dim() == 3 or isinstance(padding, str):
        return torch.conv2d(images, weight, bias, stride, padding, dilation, groups)
    kernel, stride, padding, dilation = weight.shape[2:], _pair(stride), _pair(padding), _pair(dilation)
    sides = [(size + 2 * p - d * (k - 1) - 1) // s + 1
             for size, p, d, k, s in zip(images.shape[2:], padding, dilation, kernel, stride)]
    patches = unfold(as_computed(images), kernel, dilation, padding, stride).transpose(1, 2)  # (B, H' W', C k k)
    # the members' products are of two dimensions, so that vmap makes one batched product of them
    maps = linear(patches.flatten(0, 1), weight.flatten(1), bias)  # (B H' W', O)
    return maps.unflatten(0, patches.shape[:2]).transpose(1, 2).unflatten(2, sides)


def transposed_convolution(
    maps: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride=1,
    padding=0,
    output_padding=0,
    groups: int = 1,
    dilation=1,
) -> Tensor:
    """torch.conv_transpose2d: (B, C, h, w) * (C, O, k, k) -> (B, O, H, W); torch's own for grouped ones."""
    if groups > 1 or maps.dim() == 3:
        return torch.conv_transpose2d(maps, weight, bias, stride, padding, output_padding, groups, dilation)
    kernel, stride, padding, dilation = weight.shape[2:], _pair(stride), _pair(padding), _pair(dilation)
    sides = [
        (size - 1) * s - 2 * p + d * (k - 1) + more + 1
        for size, s, p, d, k, more in zip(maps.shape[2:], stride, padding, dilation, kernel, _pair(output_padding))
    ]
    pixels = as_computed(maps).flatten(2).transpose(1, 2)  # (B, h w, C)
    patches = (pixels.flatten(0, 1) @ as_computed(weight.flatten(1))).unflatten(0, pixels.shape[:2])  # (B, h w, O k k)
    images = fold(patches.transpose(1, 2), sides, kernel, dilation, padding, stride)
    return images if bias is None else images + bias.view(-1, 1, 1)


def as_computed(values: Tensor) -> Tensor:
    """In autocast's type where autocast is on: patches are copies, and half as large in half the bits."""
    kind = values.device.type
    if not torch.amp.is_autocast_available(kind) or not torch.is_autocast_enabled(kind):  # not on the meta device
        return values
    return values.to(torch.get_autocast_dtype(kind))


class PatchProducts(TorchFunctionMode):
    """Within it, torch's plain and transposed convolutions of images are computed here."""

    OWN = {torch.conv2d: convolution, torch.conv_transpose2d: transposed_convolution}

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        return self.OWN.get(function, function)(*arguments, **(keywords or {}))
