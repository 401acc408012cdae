"""Optimal budgeted rejection sampling (Verine et al. 2024): the closest to the data that 1 of K proposals can come."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bayesgan.basics.errors import InputError
from bayesgan.resampling.registry import RULES, Rule, Selection

__all__ = ["BudgetedRejection", "acceptance_probabilities", "budgeted_rejection"]


def acceptance_probabilities(log_w: Tensor, n: int) -> Tensor:
    """min(s w_i, 1) with the s that makes them add up to n: (P,) float64.

    Exact: with the m largest at 1, s = (n - m) / sum of the others; the right m is the least for which no other exceeds
    1.
    """
    order = log_w.argsort(descending=True)
    ranked = log_w[order].double()
    rest = ranked.flip(0).logcumsumexp(0).flip(0)  # log sum of w from rank m on, m = 0..P-1
    ones = torch.arange(len(ranked), device=log_w.device, dtype=torch.float64)
    log_s = (n - ones).clamp_min(0).log() - rest  # (P,): for m = 0..P-1
    fits = (log_s + ranked <= 0) | (ones >= n)
    m = int(fits.to(torch.int8).argmax()) if fits.any() else len(ranked)
    probabilities = torch.ones_like(ranked)
    if m < len(ranked):
        probabilities[m:] = (log_s[m] + ranked[m:]).exp() if m < n else 0.0
    result = torch.empty_like(probabilities)
    result[order] = probabilities
    return result


def budgeted_rejection(log_w: Tensor, n: int, generator: torch.Generator | None = None) -> Tensor:
    """n distinct proposals, each i with probability min(s w_i, 1), by systematic sampling.

    Args:
        log_w: (P,) log density ratios of a pool of independent proposals, P >= n; the budget is K = P / n.
        n: How many to pick.
        generator: Of the one uniform draw; on the device of log_w.

    Returns:
        (n,) int64, ascending positions without repetition.

    Raises:
        ValueError: If P < n, log_w holds NaN, or fewer than n ratios are positive.
    """
    if log_w.dim() != 1 or not 1 <= n <= len(log_w):
        raise InputError(f"n must be in 1..{len(log_w)}, the size of the pool, got {n}; the pool is budget times n")
    if log_w.isnan().any():
        raise InputError("log_w holds NaN; see the discriminator")
    possible = int((log_w > -torch.inf).sum())
    if possible < n:
        raise InputError(f"only {possible} of {len(log_w)} proposals have a positive ratio where {n} are wanted; raise "
                         "the budget")
    total = acceptance_probabilities(log_w, n).cumsum(0)
    total = total * (n / total[-1])
    start = torch.rand(1, generator=generator, device=log_w.device, dtype=torch.float64)
    ranks = torch.arange(n, device=log_w.device)
    picked = torch.searchsorted(total, start + ranks, right=True)
    picked = (picked - ranks).cummax(0).values + ranks  # where rounding would pick one twice, take the next
    return picked.minimum(len(log_w) - n + ranks)


@RULES.register("obrs")
@dataclass(frozen=True)
class BudgetedRejection(Rule):
    """One pool of n · budget proposals, n of them accepted. No chain, no bound on w, no duplicates."""

    def select(self, log_w: Tensor, n: int, generator: torch.Generator, real: Tensor | None = None) -> Selection:
        return Selection(budgeted_rejection(log_w, n, generator))
