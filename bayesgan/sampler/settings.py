"""The settings of a PosteriorSampler: their rules, what they say of a step, and the fingerprint in its saved files."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import torch
from torch import Tensor

from bayesgan.basics.errors import InputError, refuse_count
from bayesgan.ensemble import checksum
from bayesgan.sampler.priors import Prior
from bayesgan.sampler.schedules import Cyclical

__all__ = ["Settings", "alike"]

LEAST = {"num_data": 1, "chains": 1, "burn_in": 0, "thin": 1, "seed": -math.inf}
REMEDIES = {"num_data": "it is the size of the training set, and scales the likelihood"}
QUANTITIES = {"friction": "a number", "beta_hat": "a number", "lr": "a number, or a function of the step",
              "temperature": "a number, or a function of the step"}
STARTS = ("prior", "model")
LEAST_ADAPTATION = 20
# steps at which two schedules are compared; older files have the first seven
FINGERPRINT = (0, 1, 3, 10, 30, 100, 1000, 300, 3000, 10_000, 30_000, 100_000, 1_000_000)


@dataclass
class Settings:
    """What `PosteriorSampler` documents, as plain numbers and functions of the step.

    Raises:
        ValueError: For values outside their ranges; those of the chain itself are checked by `SGHMC`.
    """

    num_data: int
    lr: float | Callable[[int], float]
    friction: float
    temperature: float | Callable[[int], float]
    beta_hat: float
    scheme: str
    preconditioner: str | None
    chains: int
    burn_in: int
    thin: int
    start: str
    seed: int

    def __post_init__(self):
        for name, least in LEAST.items():
            value = getattr(self, name)
            # numpy's numbers could not be loaded from a saved file
            whole = isinstance(value, Real) and not isinstance(value, bool) and value % 1 == 0
            refuse_count(int(value) if whole else value, name, least=least, remedy=REMEDIES.get(name, ""))
            setattr(self, name, int(value))
        for name, kind in QUANTITIES.items():
            value = getattr(self, name)
            try:
                setattr(self, name, value if callable(value) and "function" in kind else float(value))
            except (TypeError, ValueError):
                raise InputError(f"{name} must be {kind}, got {value!r}") from None
        if self.start not in STARTS:
            raise InputError(f"start must be one of: {', '.join(STARTS)}; got {self.start!r}")
        if self.preconditioner == "rmsprop" and self.burn_in < LEAST_ADAPTATION:
            raise InputError(
                f"burn_in must be at least {LEAST_ADAPTATION} with rmsprop, which adapts in its first half, got "
                f"{self.burn_in}; some hundred are usual"
            )

    @property
    def adaptation(self) -> int:
        """Steps in which the preconditioner adapts."""
        return self.burn_in // 2 if self.preconditioner == "rmsprop" else 0

    def temperature_at(self, step: int) -> float:
        """0 while the preconditioner adapts or a cycle explores, else the target's."""
        if step < self.adaptation or (isinstance(self.lr, Cyclical) and not self.lr.samples(step)):
            return 0.0
        return self.temperature(step) if callable(self.temperature) else self.temperature

    def collects(self, taken: int) -> bool:
        """Whether the weights after this many steps are a draw."""
        if taken <= self.burn_in or taken % self.thin:
            return False
        return not isinstance(self.lr, Cyclical) or self.lr.collects(taken - 1)

    def fingerprint(self, likelihood: str, prior: Prior) -> dict:
        """Plain values that two samplers of one chain share; functions of the step are compared at some steps."""
        values = {
            name: [asked(value, step) for step in FINGERPRINT] if callable(value) else value
            for name, value in vars(self).items()
        }
        values["lr's rule"] = plain(vars(self.lr)) if isinstance(self.lr, Cyclical) else None
        of_prior = {f"prior's {name}": plain(value) for name, value in vars(prior).items()}
        return {**values, "likelihood": likelihood, "prior": type(prior).__name__, **of_prior}


def plain(value):
    """What `torch.load` reads again and two objects of one content share, of an attribute of a prior."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Real):
        return int(value) if isinstance(value, Integral) else float(value)
    if isinstance(value, Mapping):
        return {str(name): plain(own) for name, own in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(own) for own in value]
    if isinstance(value, (Tensor, np.ndarray)):
        return checksum({"": torch.as_tensor(value).detach().cpu().contiguous()})
    content = vars(value).items() if isinstance(value, Prior) else ()
    return [type(value).__name__, *([name, plain(own)] for name, own in content)]


def alike(stored, own) -> bool:
    """Whether two values of a fingerprint say the same; a schedule was compared at fewer steps before."""
    if isinstance(stored, list) and isinstance(own, list) and len(stored) == 7 and len(own) == len(FINGERPRINT):
        return stored == own[:7]
    return stored == own


def asked(schedule: Callable[[int], float], step: int) -> float | None:
    """What a function of the step says; None for a step that it knows nothing of, to which the chain may never come."""
    try:
        with np.errstate(all="ignore"):
            value = float(schedule(step))
    except Exception:  # a user's function may raise anything
        return None
    return value if math.isfinite(value) else None
