"""The user's own discriminators as they are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from bayesgan.resampling.ratios.task import Task
from bayesgan.resampling.registry import RATIOS, Ratio

__all__ = ["Score"]


@RATIOS.register("score")
@dataclass(frozen=True)
class Score(Ratio):
    """log p/q is the discriminators' score, calibrated (Turner et al. 2019)."""

    learns: ClassVar[bool] = False
    given: ClassVar[bool] = True

    def lacks(self, task: Task) -> str:
        return "" if task.score is not None else "ratio score needs a discriminator's score, and score is None"

    def fit(self, task: Task) -> tuple[Callable[[Tensor], Tensor], str]:
        return task.score, task.kind
