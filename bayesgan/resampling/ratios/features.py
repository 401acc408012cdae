"""A ratio on features that a user has, such as the last layer of a classifier."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import Tensor

from bayesgan.resampling.ratios.network import fit_network
from bayesgan.resampling.ratios.task import Task, refuse_changing
from bayesgan.resampling.registry import RATIOS, Ratio

__all__ = ["Features"]


@RATIOS.register("features")
@dataclass(frozen=True)
class Features(Ratio):
    """Eight small networks on `features`: what a classifier sees is what people see, more than what a critic sees."""

    given: ClassVar[bool] = True

    def lacks(self, task: Task) -> str:
        return "" if task.features is not None else "ratio features needs features=, a function of data to (n, F)"

    def fit(self, task: Task) -> tuple[Callable[[Tensor], Tensor], str]:
        view = partial(of_stored, task)
        refuse_changing(view, task.check, "features are random", "features depend")
        return fit_network(view, task, "features"), "logit"


def of_stored(task: Task, data: Tensor) -> Tensor:
    """The features of data as they would be stored."""
    return task.features(task.as_stored(data))
