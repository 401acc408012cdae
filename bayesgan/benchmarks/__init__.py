"""Speed, always as ratios in one process. One joins by one registration in a module imported here."""

from bayesgan.benchmarks import sampler, selection, train
from bayesgan.benchmarks.registry import BENCHMARKS

__all__ = ["BENCHMARKS", "sampler", "selection", "train"]
