"""What an image looks like before any network has learnt to look: which way its edges run, and about where."""

import math

import torch
from torch import Tensor

from bayesgan.basics.later import later

__all__ = ["ORIENTATIONS", "gradient_histograms", "histogram_count"]

gaussian_blur = later("torchvision.transforms.functional", "gaussian_blur")

ORIENTATIONS = 8
BEFORE, WITHIN = 1 / 40, 1 / 14  # sd of a blur, of the image's height: of the image, and of what a histogram counts
EVERY = 3 / 28  # of the height, from one histogram to the next


def gradient_histograms(images: Tensor) -> Tensor:
    """Histograms of oriented gradients (Dalal & Triggs 2005).

    A pixel's gradient, of the channel where it is steepest, counts for the directions near its own. All histograms
    together have norm 1, and roots are taken (Arandjelović & Zisserman 2012), so that brightness, contrast and small
    shifts change little.

    Args:
        images: Floats (n, C, H, W) on any scale, H and W at least 8 and H at most 4 W.

    Returns:
        (n, 8 · `histogram_count`(H, W)) of the same type.
    """
    smooth = blurred(images, BEFORE)
    across = torch.nn.functional.pad(smooth[..., 2:] - smooth[..., :-2], (1, 1))
    down = torch.nn.functional.pad(smooth[..., 2:, :] - smooth[..., :-2, :], (0, 0, 1, 1))
    steepness, channel = torch.hypot(across, down).max(1, keepdim=True)
    direction = torch.atan2(down.gather(1, channel), across.gather(1, channel))
    centres = torch.arange(ORIENTATIONS, device=images.device).view(1, -1, 1, 1) * (2 * math.pi / ORIENTATIONS)
    counted = steepness * (direction - centres).cos().clamp_min(0) ** 3  # (n, 8, H, W)
    every = spacing(images.shape[-2])
    histograms = blurred(counted, WITHIN)[..., ::every, ::every].flatten(1)
    return (histograms / histograms.norm(dim=1, keepdim=True).clamp_min(1e-6)).sqrt()


def histogram_count(height: int, width: int) -> int:
    """Of an image so large."""
    return -(-height // spacing(height)) * -(-width // spacing(height))


def spacing(height: int) -> int:
    return max(1, int(EVERY * height))


def blurred(images: Tensor, share: float) -> Tensor:
    sd = share * images.shape[-2]
    return gaussian_blur(images, 2 * math.ceil(3 * sd) + 1, sd)
