"""Experiments by name: (add_arguments(parser), run(arguments)). One joins by one registration in a module imported here."""

from bayesgan.experiments import synthetic
from bayesgan.experiments.registry import EXPERIMENTS

__all__ = ["EXPERIMENTS", "synthetic"]
