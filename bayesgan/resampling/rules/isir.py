"""Iterated sampling importance resampling (Andrieu, Doucet & Holenstein 2010).

A chain whose step is SIR (sir.py) with its own state among the candidates.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bayesgan.basics.errors import refuse_count
from bayesgan.resampling.registry import RULES, Rule, Selection
from bayesgan.resampling.rules.sir import categorical

__all__ = ["IteratedImportanceResampling"]


@RULES.register("isir")
@dataclass(frozen=True)
class IteratedImportanceResampling(Rule):
    """Chains started by the generator; each step chooses among its state and `candidates` fresh proposals.

    Attributes:
        candidates: Proposals a step; a chain takes its start and (budget - 1) / candidates steps, at least one.
    """

    candidates: int = 10

    def __post_init__(self):
        refuse_count(self.candidates, "candidates")

    def pool(self, n: int, budget: int) -> int:
        size = max(1, min(self.candidates, budget - 1))
        return n * (1 + (budget - 1) // size * size)

    def select(self, log_w: Tensor, n: int, generator: torch.Generator, real: Tensor | None = None) -> Selection:
        chains = log_w.view(n, -1)
        column = torch.zeros(n, dtype=torch.int64, device=log_w.device)
        size = min(self.candidates, chains.shape[1] - 1)
        for first in range(1, chains.shape[1], size or 1):
            fresh = torch.arange(first, first + size, device=log_w.device).expand(n, -1)
            options = torch.cat([column[:, None], fresh], 1)  # (n, 1 + size)
            column = options.gather(1, categorical(chains.gather(1, options), generator)[:, None])[:, 0]
        return Selection(torch.arange(n, device=log_w.device) * chains.shape[1] + column, column > 0)
