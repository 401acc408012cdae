"""Selection rules by name. A rule joins by one registration in a module of rules/; its fields are its settings."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from bayesgan.basics.registry import Registry

__all__ = ["RULES", "Rule", "Selection"]


@dataclass(frozen=True)
class Selection:
    """Which proposals a rule outputs.

    Attributes:
        picked: (n,) int64, positions in the pool.
        moved: (n,) bool, of chains: whether anything was ever accepted over the start; None for other rules.
    """

    picked: Tensor
    moved: Tensor | None = None


class Rule(Protocol):
    """What a rule of the pool kind has; rules that move in latent space are in latent.py.

    Attributes:
        wants_real: The rule starts from scores of real data.
    """

    wants_real: bool

    def pool(self, n: int, budget: int) -> int:
        """How many proposals n outputs take."""

    def select(self, log_w: Tensor, n: int, generator: torch.Generator, real: Tensor | None = None) -> Selection:
        """Picks n of a pool.

        Args:
            log_w: (pool,) float64 log density ratios of independent proposals.
            real: (n,) the same of real data, for rules with wants_real.
        """


RULES: Registry[type] = Registry("method")
