"""Generators and discriminators. A pair joins by one registration in a module imported here."""

from bayesgan.networks import dcgan, mlp, noisy_mlp, perceptron, resize, vgg
from bayesgan.networks.normalised import NORMALISATIONS
from bayesgan.networks.registry import NETWORKS, NetworkSizes

__all__ = ["NETWORKS", "NORMALISATIONS", "NetworkSizes", "dcgan", "mlp", "noisy_mlp", "perceptron", "resize", "vgg"]
