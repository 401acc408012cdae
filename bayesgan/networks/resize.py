"""A generator that enlarges its maps and convolves them, where dcgan's transposed convolutions draw checkerboards."""

from torch import Tensor, nn
from torch.nn.functional import interpolate

from bayesgan.networks import dcgan
from bayesgan.networks.dcgan import Discriminator
from bayesgan.networks.registry import NETWORKS

__all__ = ["Generator"]


class Generator(dcgan.Generator):
    """The maps and widths of dcgan's generator; nearest-neighbour enlargement, then 3x3 (Odena et al. 2016).

    A kernel that its stride does not divide covers some pixels more often than others. That pattern alone tells
    generated images from real ones, and hides from a discriminator what people see. Each layer takes four times the
    multiplications.

    z (B, Z) -> images (B, C, H, W) in [-1, 1].
    """

    def layer(self, inputs: int, outputs: int, side: int, next_side: int, last: bool) -> nn.Module:
        return Enlarged(inputs, outputs, next_side, bias=last)


class Enlarged(nn.Conv2d):
    """A 3x3 convolution of maps that are enlarged to a side first."""

    def __init__(self, inputs: int, outputs: int, side: int, bias: bool):
        super().__init__(inputs, outputs, 3, padding=1, bias=bias)
        self.side = side

    def forward(self, maps: Tensor) -> Tensor:
        return super().forward(interpolate(maps, (self.side, self.side)))


NETWORKS.register("resize")((Generator, Discriminator))
