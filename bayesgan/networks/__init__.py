"""Generators and discriminators. A pair joins by one registration in a module imported here."""

from bayesgan.networks import dcgan, mlp, noisy_mlp
from bayesgan.networks.registry import NETWORKS, NetworkSizes

__all__ = ["NETWORKS", "NetworkSizes", "dcgan", "mlp", "noisy_mlp"]
