"""Speed, by name: (add_arguments(parser), run(arguments)), registered in a module imported here."""

from bayesgan.benchmarks import resample, sampler, train
from bayesgan.benchmarks.registry import BENCHMARKS

__all__ = ["BENCHMARKS", "resample", "sampler", "train"]
