"""The bluntest ratio that is more than a score: for few data, where a network would learn them by heart."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from bayesgan.basics.later import later
from bayesgan.resampling.calibration import log_odds, logistic
from bayesgan.resampling.ratios.task import Task
from bayesgan.resampling.registry import RATIOS, Ratio

__all__ = ["Components"]

PCA = later("sklearn.decomposition", "PCA")

MOST = 5000  # real data, and as many generated
RIDGE = 0.1  # scikit-learn's C on standardised columns


@RATIOS.register("components")
@dataclass(frozen=True)
class Components(Ratio):
    """Ridge logistic regression on the score, principal components of real data and their squares.

    Attributes:
        components: Principal components, at most.
    """

    components: int = 32

    def fit(self, task: Task) -> tuple[Callable[[Tensor], Tensor], str]:
        data = task.some(MOST)
        flat = task.views(task.as_stored, data, "data")
        count = max(1, min(self.components, flat.shape[1], len(flat) // 4))
        axes = PCA(count, svd_solver="randomized" if count < flat.shape[1] else "full",
                   random_state=task.seed % 2**32)
        spread = axes.fit_transform(flat.numpy(force=True)).std(0)
        spread = spread.clip(max(1e-12, 0.01 * spread.max()))
        centre, turn = (torch.from_numpy(np.asarray(part, dtype=np.float32)).to(flat)
                        for part in (axes.mean_, axes.components_.T / spread))

        view = partial(columns, task, centre, turn)
        with torch.no_grad():
            real = torch.cat([view(part) for part in data.split(1000)])
        fake = task.fakes(view, len(real), "fitted against")
        labels = torch.cat([torch.ones(len(real)), torch.zeros(len(fake))])
        weights, intercept = logistic(torch.cat([real, fake]), labels, RIDGE)
        return partial(linear, view, weights, intercept), "logit"


def columns(task: Task, centre: Tensor, turn: Tensor, data: Tensor) -> Tensor:
    """Components, their squares and the score if there is one, (n, F)."""
    parts = (task.as_stored(data).flatten(1).float() - centre) @ turn
    found = [parts, parts**2]
    if task.score is not None:
        found.append(log_odds(task.score(data).reshape(len(data), -1), task.kind).mean(1, keepdim=True))
    return torch.cat(found, 1).double()


def linear(view: Callable[[Tensor], Tensor], weights: Tensor, intercept: float, data: Tensor) -> Tensor:
    return view(data) @ weights + intercept
