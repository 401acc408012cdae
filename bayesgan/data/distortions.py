"""Strong random distortions, which change what an image looks like and not what it shows: for a teacher's students."""

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

__all__ = ["distorted"]

ROTATION, SCALING, SHEAR, SHIFT = math.radians(20), 0.15, 0.2, 0.15  # at most, at strength 1; shifts of half a side
ERASED = 0.28  # of a side, the square that is erased
NOISE = 0.3  # standard deviations of a vector's columns


def distorted(data: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Each image rotated, scaled, sheared, shifted and with a square erased, at random; edges are repeated.

    At strength 1 up to 20 degrees, 15 % along each axis, .2 and 7.5 % of the side; the square is 28 % of a side and
    takes the image's median colour. Vectors get noise of .3 of a column's standard deviation instead.

    Args:
        data: Images (..., C, S, S) in [-1, 1], or standardised vectors (..., D).
        strength: Factor on all of these, 0 for none.

    Returns:
        The same shape.
    """
    if data.dim() < 4:
        return data + strength * NOISE * torch.empty_like(data).normal_(generator=generator)
    images = data.flatten(0, -4)
    count, _, side, _ = images.shape

    def uniform(*most: float) -> Tensor:
        values = torch.rand(len(most), count, generator=generator, device=data.device, dtype=data.dtype)
        return (2 * values - 1) * strength * values.new_tensor(most)[:, None]

    angle, shear, *other = uniform(ROTATION, SHEAR, SCALING, SCALING, SHIFT, SHIFT)
    (x_scale, y_scale), (x_shift, y_shift) = torch.stack(other[:2]).exp(), other[2:]
    cos, sin = angle.cos(), angle.sin()
    first = [cos * x_scale, (shear * cos - sin) * y_scale, x_shift]
    second = [sin * x_scale, (shear * sin + cos) * y_scale, y_shift]
    matrices = torch.stack([*first, *second], 1).view(count, 2, 3)
    grid = affine_grid(matrices, list(images.shape), align_corners=False)
    moved = grid_sample(images, grid, padding_mode="border", align_corners=False)
    erased = round(strength * ERASED * side)
    corners = torch.rand(2, count, 1, generator=generator, device=data.device) * (side - erased + 1)
    within = torch.arange(side, device=data.device) - corners.floor()  # (2, n, S)
    inside = (within >= 0) & (within < erased)
    square = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    middle = (side * side - 1) // 2  # a sort, as torch's median is not deterministic on a GPU
    colour = images.flatten(2).sort(-1).values[..., middle, None, None]
    return torch.where(square, colour, moved).view(data.shape)
