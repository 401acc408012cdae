"""What a network is told, and the registry of pairs: name -> (generator class, discriminator class).

A generator class says with `images_only` whether it can make vectors, and may say with `least_batch` how many data it
makes at least at a time in training.
"""

from dataclasses import dataclass

from torch import nn

from bayesgan.basics.registry import Registry

__all__ = ["NETWORKS", "NetworkSizes"]


@dataclass(frozen=True)
class NetworkSizes:
    """Everything that sizes a pair.

    Attributes:
        data_shape: (C, H, W) with H = W for images, (D,) for vectors.
        latent: Z, length of the generator's input.
        generator_width: Of its layer next to the data.
        discriminator_width: Of its layer next to the data.
        layers: Convolutions, or hidden layers.
        outputs: Discriminator logits: 1, or the number of classes.
        noise: Standard deviation of Gaussian noise on what the discriminator sees while it trains.
        normalise: Of the discriminator, one of `NORMALISATIONS`, or auto for the pair's own default.
        dropout: Share of the discriminator's features dropped while it trains.
    """

    data_shape: tuple[int, ...]
    latent: int
    generator_width: int
    discriminator_width: int
    layers: int
    outputs: int = 1
    noise: float = 0.0
    dropout: float = 0.0
    normalise: str = "auto"


NETWORKS: Registry[tuple[type[nn.Module], type[nn.Module]]] = Registry("network")
