"""The small fully connected pair that first GAN tutorials train on MNIST: leaky ReLU, no normalisation."""

from functools import partial

from torch.nn.functional import leaky_relu

from bayesgan.networks import mlp
from bayesgan.networks.registry import NETWORKS, NetworkSizes

__all__ = ["Discriminator", "Generator"]

ACTIVATION = partial(leaky_relu, negative_slope=0.2)
NARROWER = 4  # times, each generator layer further from the data


class Discriminator(mlp.Discriminator):
    """One hidden layer fewer than the generator, at least one: (B, ...) -> logits (B, outputs), features (B, width)."""

    activation = staticmethod(ACTIVATION)

    @staticmethod
    def widths(sizes: NetworkSizes) -> list[int]:
        return [sizes.discriminator_width] * max(1, sizes.layers - 1)


class Generator(mlp.Generator):
    """`layers` hidden layers of ..., w/4, w units: z (B, Z) -> (B, *data_shape), tanh for images."""

    activation = staticmethod(ACTIVATION)

    @staticmethod
    def widths(sizes: NetworkSizes) -> list[int]:
        return [max(1, sizes.generator_width // NARROWER**layer) for layer in reversed(range(sizes.layers))]


NETWORKS.register("perceptron")((Generator, Discriminator))
