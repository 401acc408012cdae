"""Step sizes and temperatures as functions of the step number, for `SGHMC(eta=..., temperature=...)`."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bayesgan.basics.errors import InputError

__all__ = ["Cyclical", "Divided", "exponential_then_constant", "polynomial", "ramp"]


def exponential_then_constant(start: float, decay: float, steps: int) -> Callable[[int], float]:
    """start · exp(-decay · min(1, step/steps)): falls during `steps` steps of burn-in, then stays, as a chain needs."""
    return partial(_exponential_then_constant, start, decay, steps)  # not a lambda: a sampler that has one is pickled


def _exponential_then_constant(start: float, decay: float, steps: int, step: int) -> float:
    return start * math.exp(-decay * min(1.0, step / max(1, steps)))


def polynomial(start: float, offset: float = 1.0, power: float = 0.55) -> Callable[[int], float]:
    """start · (1 + step/offset)^-power (Welling & Teh 2011, section 3): with power in (0.5, 1] the bias vanishes.

    Raises:
        ValueError: If offset <= 0 or power is outside (0.5, 1].
    """
    if not offset > 0:
        raise InputError(f"offset must be positive, got {offset}; it is the number of steps before the step size falls")
    if not 0.5 < power <= 1:
        raise InputError(
            f"power must be in (0.5, 1], got {power}: outside, the sum of steps or of their squares is wrong"
        )
    return partial(_polynomial, start, offset, power)


def _polynomial(start: float, offset: float, power: float, step: int) -> float:
    return start * (1 + step / offset) ** -power


def ramp(value: float, begin: int, length: int) -> Callable[[int], float]:
    """0 before step `begin`, then linear up to `value` over `length` steps, then `value`."""
    return partial(_ramp, value, begin, length)


def _ramp(value: float, begin: int, length: int, step: int) -> float:
    return 0.0 if step < begin else value * min(1.0, (step - begin + 1) / max(1, length))


@dataclass(frozen=True)
class Divided:
    """A function of the step over a number."""

    schedule: Callable[[int], float]
    by: float

    def __call__(self, step: int) -> float:
        return self.schedule(step) / self.by


class Cyclical:
    """Cosine step sizes with warm restarts (Zhang et al. 2020, eq. 1): explore while they are large, sample after.

    start/2 · (cos(pi · (step mod length)/length) + 1). In the first `exploration` of every cycle the temperature should
    be 0; the rest samples, and of that the first `discard`, in which the chain warms up, is not collected.

    Args:
        start: Step size at each restart, > 0.
        length: Steps in a cycle, >= 2.
        exploration: Share of a cycle before sampling, in [0, 1).
        discard: Share of the sampling part before collecting, in [0, 1).
    """

    def __init__(self, start: float, length: int, exploration: float = 0.8, discard: float = 0.5):
        if length < 2:
            raise InputError(f"length must be at least 2 steps, got {length}")
        if not 0 <= exploration < 1:
            raise InputError(f"exploration must be in [0, 1), got {exploration}; 0.8 is usual")
        if not 0 <= discard < 1:
            raise InputError(f"discard must be in [0, 1), got {discard}; 0.5 is usual")
        if exploration * length > length - 1:
            raise InputError(
                f"a cycle of {length} steps that explores {exploration:g} of them never samples; lengthen it"
            )
        self.start, self.length, self.exploration, self.discard = start, length, exploration, discard

    def __call__(self, step: int) -> float:
        """The step size."""
        return self.start / 2 * (math.cos(math.pi * (step % self.length) / self.length) + 1)

    def samples(self, step: int) -> bool:
        """Whether this step belongs to the sampling part of its cycle."""
        return step % self.length >= self.exploration * self.length

    def collects(self, step: int) -> bool:
        """Whether the weights after this step are warm enough for a draw; the last of a cycle always are."""
        begin = (self.exploration + self.discard * (1 - self.exploration)) * self.length
        return step % self.length >= min(begin, self.length - 1)
