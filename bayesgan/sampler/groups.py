"""The settings of a parameter group of SGHMC: their names and ranges, and what those of other optimisers are here."""

import math
from collections.abc import Callable, Iterable

from bayesgan.basics.errors import InputError
from bayesgan.sampler.step import noise_variance

__all__ = ["LAW", "Group", "Scheduled", "check_keys", "group_values"]

Scheduled = float | Callable[[int], float]

LAW = ("eta", "alpha", "temperature", "beta_hat")  # what the injected noise follows from
SETTINGS = (*LAW, "gradient_scale")
ETA = "eta, which is lr / num_data; SGHMC.from_sgd takes an lr. It may be a function of the step"
ELSEWHERE = {
    "lr": ETA,
    "initial_lr": ETA,
    "momentum": "alpha, which is 1 - momentum",
    "dampening": "alpha, which is 1 - momentum",
    "betas": 'preconditioner="rmsprop" at construction, for all groups',
    "eps": 'preconditioner="rmsprop" at construction, for all groups',
    "weight_decay": "a prior, whose gradient you add: Normal(1.0).add_gradient, or a term of the loss",
    "maximize": "minus the loss",
}


class Group(dict):
    """A parameter group that says what to use in place of the settings that it does not have."""

    def __setitem__(self, key: str, value) -> None:
        check_keys([key])
        super().__setitem__(key, value)

    def __missing__(self, key: str):
        raise InputError(f"SGHMC has no {key!r}" + (f"; use {ELSEWHERE[key]}" if key in ELSEWHERE else ""))


def check_keys(group: Iterable[str]) -> None:
    """Raises InputError for a setting that SGHMC does not have, naming what to use instead."""
    for key in group:
        if key not in ("params", "param_names", *SETTINGS):
            use = ELSEWHERE.get(key, f"one of {', '.join(SETTINGS)}")
            raise InputError(f"SGHMC has no {key!r}; use {use}")


def group_values(group: dict, step: int, scheme: str) -> dict:
    """The numbers a parameter group runs with at a step, functions evaluated.

    Raises:
        ValueError: For values outside their ranges.
    """
    values = {key: group[key] for key in SETTINGS}
    for key in ("eta", "temperature"):
        if callable(values[key]):
            values[key] = float(values[key](step))
    eta, alpha, temperature, beta_hat = (values[key] for key in LAW)
    if not 0 < alpha <= 1:
        raise InputError(f"alpha must be in (0, 1], got {alpha}; alpha is 1 - momentum: momentum 0.9 is alpha 0.1")
    if not (eta > 0 and math.isfinite(eta)):
        raise InputError(f"eta must be positive and finite, got {eta}; for a mean loss eta is lr / num_data")
    if not (temperature >= 0 and math.isfinite(temperature)):
        raise InputError(f"temperature must be 0 or more and finite, got {temperature}; 1 samples the posterior")
    if not beta_hat >= 0:
        raise InputError(f"beta_hat must be 0 or more, got {beta_hat}; it is half eta times a variance")
    if alpha * temperature < beta_hat or noise_variance(eta, alpha, temperature, beta_hat, scheme) < 0:
        raise InputError(
            f"alpha * temperature must be at least beta_hat, got {alpha} * {temperature} < {beta_hat}: the "
            "gradient noise alone is hotter than the target; raise alpha or the batch size, or lower eta"
        )
    return values
