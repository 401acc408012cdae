"""Random shifts of images: the one augmentation that is right for any kind of picture."""

import torch
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["shifted"]


def shifted(images: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
    """Each image moved by up to `pixels` right or left and up or down, whole pixels, uniformly; edges are repeated.

    Args:
        images: (..., C, H, W).

    Returns:
        The same shape.
    """
    flat = images.flatten(0, -4)  # (n, C, H, W)
    count, _, height, width = flat.shape
    padded = pad(flat, [pixels] * 4, mode="replicate")
    corners = torch.randint(2 * pixels + 1, (2, count, 1), generator=generator, device=images.device)
    rows = corners[0] + torch.arange(height, device=images.device)  # (n, H)
    columns = corners[1] + torch.arange(width, device=images.device)  # (n, W)
    every = torch.arange(count, device=images.device)[:, None, None]
    return padded[every, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).reshape(images.shape)
