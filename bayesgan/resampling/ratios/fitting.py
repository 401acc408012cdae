"""Which ratios can be fitted to what there is, fitted and calibrated."""

from dataclasses import replace

import torch
from torch import Tensor

from bayesgan.basics.errors import InputError
from bayesgan.resampling.calibration import LEAST
from bayesgan.resampling.guard import LEAST_JUDGED
from bayesgan.resampling.ratio import DensityRatio
from bayesgan.resampling.ratios.task import Task
from bayesgan.resampling.registry import RATIOS, Ratio

__all__ = ["AUTO", "fit_ratios"]

AUTO = "auto"


def is_given(ratio: Ratio | type[Ratio]) -> bool:
    """Also of one of the user's own that is no `Ratio` by name."""
    return getattr(ratio, "given", False)


def fit_ratios(
    ratio: str | Ratio, task: Task, held_out: Tensor, calibration: str, chunk: int, smooth: bool, strict: bool
) -> tuple[dict[str, DensityRatio], list[str]]:
    """Name -> ratio: the one that was asked for, or with "auto" all that are possible; and why others could not be.

    Args:
        task: Its real data are training data; empty where there are none, and two thirds of `held_out` take their place
            for ratios that learn.
        held_out: (m, ...) real data that no ratio has been fitted to; they calibrate.
        smooth: The selection rule needs a gradient.
        strict: A fault of the user's score or features is raised with "auto" too.

    Raises:
        ValueError: If none is possible, or a function that the user gave is at fault.
    """
    automatic = ratio == AUTO
    if automatic:
        # the user's own functions first: their faults are heard before other fits take time
        wanted = {name: RATIOS[name]() for name in sorted(RATIOS, key=lambda name: not is_given(RATIOS[name]))}
    elif isinstance(ratio, str):
        wanted = {ratio: RATIOS[ratio]()}
    else:
        wanted = {next((name for name in RATIOS if RATIOS[name] is type(ratio)), type(ratio).__name__): ratio}
    learnt = len(held_out) * 2 // 3 if len(task.real) == 0 else 0
    learning = replace(task, real=held_out[:learnt] if learnt else task.real, check=held_out[learnt:])
    fitted, lacking, failed = {}, "", []
    for name, one in wanted.items():
        rest = learning.check if one.learns else held_out
        reason = one.lacks(learning)
        if smooth and not one.smooth:
            reason = f"ratio {name} has no gradient, which latent moves need; use another ratio, or method obrs or mh"
        if not reason and len(rest) < 2 * LEAST:
            other = remedy = ""
            if one.learns and learnt:
                other, remedy = " other", f", or give {LEAST_JUDGED} or more training data"
            failed.append(f"ratio {name} needs at least {2 * LEAST}{other} held-out data to calibrate and to check, "
                          f"got {len(rest)}; hold out more{remedy}")
            continue
        if reason:
            lacking = lacking or reason
            continue
        try:
            with torch.enable_grad():
                score, kind = one.fit(learning)
            fitted[name] = DensityRatio.fit(score, rest, task.generate, kind=kind, calibration=calibration,
                                            seed=task.seed, chunk=chunk)
        except InputError as error:  # for example trees that found nothing to split on
            if not automatic or (strict and is_given(one)):
                raise
            failed.append(f"ratio {name} could not be fitted: {error}")
    if not fitted:
        raise InputError(failed[-1] if failed else lacking)
    return fitted, failed
