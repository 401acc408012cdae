"""The registry of benchmarks."""

from collections.abc import Callable

from bayesgan.basics.registry import Registry

__all__ = ["BENCHMARKS"]

BENCHMARKS: Registry[tuple[Callable, Callable]] = Registry("benchmark")
