"""Speed, always as ratios in one process. One joins by one registration in a module imported here."""

from bayesgan.benchmarks import gpu, results, sampler, scaling, selection, smoke, teacher, train
from bayesgan.benchmarks.registry import BENCHMARKS

__all__ = ["BENCHMARKS", "gpu", "results", "sampler", "scaling", "selection", "smoke", "teacher", "train"]
