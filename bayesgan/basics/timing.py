"""Taking time on a machine that others use too."""

import time
from collections.abc import Callable

import torch

__all__ = ["interleaved_seconds"]


def interleaved_seconds(
    functions: dict[str, Callable[[], object]], repeats: int, budget: float | None = None, warm: bool = False,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """Median seconds of each function, called in turn: what slows the machine for a while slows all of them.

    Args:
        repeats: Rounds, after a first one that warms up.
        budget: Seconds after which no further round begins, three excepted.
        warm: The functions have been called before; no round to warm up.
        device: That the functions compute on, and that is waited for.
    """
    device = torch.device(device)
    times = {name: [] for name in functions}
    start = time.perf_counter()
    for repeat in range(1 if warm else 0, repeats + 1):
        for name, function in functions.items():
            begun = time.perf_counter()
            function()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if repeat:
                times[name].append(time.perf_counter() - begun)
        if repeat >= 3 and budget is not None and time.perf_counter() - start > budget:
            break
    return {name: sorted(values)[len(values) // 2] for name, values in times.items()}
