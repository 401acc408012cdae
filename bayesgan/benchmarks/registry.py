"""The registry of benchmarks, and what every one of them is."""

from collections.abc import Callable
from typing import NamedTuple

from bayesgan.basics.registry import Registry

__all__ = ["BENCHMARKS", "Benchmark"]


class Benchmark(NamedTuple):
    """Something whose speed is measured.

    Attributes:
        settings: A frozen dataclass, a flag each field (bayesgan.options.option).
        run: (its instance, the command as it was typed) -> None; prints the figures.
        about: The module's docstring; its first line is a sentence.
    """

    settings: type
    run: Callable[[object, str], None]
    about: str


BENCHMARKS: Registry[Benchmark] = Registry("benchmark")
