"""Sampling importance resampling (Rubin 1987): each output is one of its own K proposals, drawn in proportion to w."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bayesgan.resampling.registry import RULES, Rule, Selection

__all__ = ["ImportanceResampling", "categorical"]


def categorical(log_w: Tensor, generator: torch.Generator) -> Tensor:
    """One column of each row (n, K) with probability proportional to exp(log_w): (n,). The Gumbel-max trick."""
    return (log_w - torch.empty_like(log_w).exponential_(generator=generator).log()).argmax(1)


@RULES.register("sir")
@dataclass(frozen=True)
class ImportanceResampling(Rule):
    """Independent groups of `budget` proposals, one output each."""

    def select(self, log_w: Tensor, n: int, generator: torch.Generator, real: Tensor | None = None) -> Selection:
        groups = log_w.view(n, -1)
        picked = torch.arange(n, device=log_w.device) * groups.shape[1] + categorical(groups, generator)
        possible = (groups > -torch.inf).any(1)  # in the other groups one that is not is given all the same
        return Selection(picked, None if possible.all() else possible)
