"""Step sizes and temperatures as functions of the step number, for `SGHMC(eta=..., temperature=...)`."""

import math
from collections.abc import Callable

__all__ = ["exponential_then_constant", "ramp"]


def exponential_then_constant(start: float, decay: float, steps: int) -> Callable[[int], float]:
    """start · exp(-decay · min(1, step/steps)): falls during `steps` steps of burn-in, then stays, as a chain needs."""
    return lambda step: start * math.exp(-decay * min(1.0, step / max(1, steps)))


def ramp(value: float, begin: int, length: int) -> Callable[[int], float]:
    """0 before step `begin`, then linear up to `value` over `length` steps, then `value`."""
    return lambda step: 0.0 if step < begin else value * min(1.0, (step - begin + 1) / max(1, length))
