"""A ratio on features that a user has, such as the last layer of a classifier."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from bayesgan.basics.errors import InputError
from bayesgan.resampling.ratios.network import fit_network
from bayesgan.resampling.ratios.task import Task
from bayesgan.resampling.registry import RATIOS

__all__ = ["Features"]


@RATIOS.register("features")
@dataclass(frozen=True)
class Features:
    """Two small networks on `features`: what a classifier sees is what people see, more than what a critic sees."""

    learns: ClassVar[bool] = True
    smooth: ClassVar[bool] = True

    def lacks(self, task: Task) -> str:
        return "" if task.features is not None else "ratio features needs features=, a function of data to (n, F)"

    def fit(self, task: Task) -> tuple[Callable[[Tensor], Tensor], str]:
        def view(data: Tensor) -> Tensor:
            return task.features(task.as_stored(data))

        with torch.no_grad():
            once, again = view(task.check[:8]), view(task.check[:8])
        if once.shape != again.shape or not torch.equal(once, again):
            raise InputError("features are random: the same data gave two answers; put the network in eval mode")
        return fit_network(view, task, "features"), "logit"
