"""All experiments. One joins by one registration in a module imported here."""

from bayesgan.experiments import (
    coupling,
    digits_uncertainty,
    fashion_lsgan,
    four_shapes,
    gaussians25,
    linear_regression,
    mixture1d,
    mnist_labels,
    mnist_resampling,
    networks,
    semi_ablation,
    stability,
    stacked_mnist,
    synthetic,
    teacher_ablation,
)
from bayesgan.experiments.registry import EXPERIMENTS

__all__ = ["EXPERIMENTS", "coupling", "digits_uncertainty", "fashion_lsgan", "four_shapes", "gaussians25",
           "linear_regression", "mixture1d", "mnist_labels", "mnist_resampling", "networks", "semi_ablation",
           "stability", "stacked_mnist", "synthetic", "teacher_ablation"]
