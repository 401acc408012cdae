"""The registry of benchmarks, and how they take time."""

import time
from collections.abc import Callable

import torch

from bayesgan.registry import Registry

__all__ = ["BENCHMARKS", "interleaved_seconds"]

BENCHMARKS: Registry[tuple[Callable, Callable]] = Registry("benchmark")


def interleaved_seconds(functions: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each function, called in turn: what slows the machine for a while slows all of them."""
    times = {name: [] for name in functions}
    for repeat in range(repeats + 1):  # the first round warms up
        for name, function in functions.items():
            begun = time.perf_counter()
            function()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if repeat:
                times[name].append(time.perf_counter() - begun)
    return {name: sorted(values)[len(values) // 2] for name, values in times.items()}
