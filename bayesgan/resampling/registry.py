"""Selection rules and density ratios by name.

One joins by a registration in a module of rules/ or ratios/; its fields are its settings.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from bayesgan.basics.registry import Registry

if TYPE_CHECKING:
    from bayesgan.resampling.ratios.task import Task

__all__ = ["RATIOS", "RULES", "Ratio", "Rule", "Selection"]


@dataclass(frozen=True)
class Selection:
    """Which proposals a rule outputs.

    Attributes:
        picked: (n,) int64, positions in the pool.
        moved: (n,) bool, of chains: whether anything was ever accepted over the start; None for other rules.
    """

    picked: Tensor
    moved: Tensor | None = None


class Rule(ABC):
    """A rule that picks from a pool; rules that move in latent space are in latent.py.

    Attributes:
        wants_real: The rule starts from scores of real data.
    """

    wants_real: ClassVar[bool] = False

    def pool(self, n: int, budget: int) -> int:
        """How many proposals n outputs take."""
        return n * budget

    @abstractmethod
    def select(self, log_w: Tensor, n: int, generator: torch.Generator, real: Tensor | None = None) -> Selection:
        """Picks n of a pool.

        Args:
            log_w: (pool,) float64 log density ratios of independent proposals.
            real: (n,) the same of real data, for rules with wants_real.
        """


class Ratio(ABC):
    """How a density ratio is fitted, up to its calibration.

    Attributes:
        learns: It is fitted to real data, so that a calibration needs others.
        smooth: It has a gradient, which latent moves need.
        given: It looks through a function of the user's, whose faults are no reason to go on with other ratios.
    """

    learns: ClassVar[bool] = True
    smooth: ClassVar[bool] = True
    given: ClassVar[bool] = False

    def lacks(self, task: "Task") -> str:
        """What it would need and the task has not, in words; empty where it can be fitted."""
        return ""

    @abstractmethod
    def fit(self, task: "Task") -> tuple[Callable[[Tensor], Tensor], str]:
        """score(data (n, ...)) -> (n,) or (n, K), and what kind of score that is; see `log_odds`."""


RULES: Registry[type] = Registry("method")
RATIOS: Registry[type] = Registry("ratio")
