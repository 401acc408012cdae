"""A sharp density ratio for vectors: gradient boosting on the data and on distances to real and generated neighbours.

Trees follow edges that a small network smears, but cut along axes; the distances isolate what lies between clusters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from bayesgan.basics.errors import InputError
from bayesgan.basics.later import later
from bayesgan.resampling.guard import column_scales
from bayesgan.resampling.ratios.task import Task
from bayesgan.resampling.registry import RATIOS, Ratio

__all__ = ["Boosting"]

HistGradientBoostingClassifier = later("sklearn.ensemble", "HistGradientBoostingClassifier")
NearestNeighbors = later("sklearn.neighbors", "NearestNeighbors")

MOST = 60_000  # real data, a tenth of it where neighbours must be looked for one by one
FEW_DIMENSIONS = 15  # for which a tree finds neighbours
NEAR_REAL, NEAR_FAKE = 8, 32  # which neighbour's distance is looked at


@RATIOS.register("boosting")
@dataclass(frozen=True)
class Boosting(Ratio):
    """scikit-learn's histogram boosting (Friedman 2001; Ke et al. 2017) on x, log d_real, log d_fake, their difference.

    d_real is the distance to the 8th nearest of the real data that it is fitted on, d_fake to the 32nd of the
    generated ones, which are five times as many. A datum that is among them is left out: it would be its own nearest
    neighbour, and only there. Without gradients.

    Attributes:
        trees: Boosted.
        leaves: Of each tree.
        generated_per_real: Generated data for each real one: they show where the generator strays.
    """

    trees: int = 150
    leaves: int = 31
    generated_per_real: int = 5
    smooth: ClassVar[bool] = False

    def __post_init__(self):
        if self.trees < 1 or self.leaves < 2 or self.generated_per_real < 1:
            raise InputError("boosting needs trees >= 1, leaves >= 2 and generated_per_real >= 1, got "
                             f"{self.trees}, {self.leaves} and {self.generated_per_real}")

    def lacks(self, task: Task) -> str:
        return "ratio boosting is for vectors; for images use coarse" if task.images else ""

    def fit(self, task: Task) -> tuple[Callable[[Tensor], Tensor], str]:
        most = MOST if task.real[0].numel() <= FEW_DIMENSIONS else MOST // 10
        real = task.views(lambda data: data, task.some(most), "data").numpy(force=True)
        fake = task.fakes(lambda data: data.flatten(1).float(), self.generated_per_real * len(real), "fitted against")
        scale = column_scales(real).astype(real.dtype)
        near = [Neighbours(real, NEAR_REAL, scale), Neighbours(fake.numpy(force=True), NEAR_FAKE, scale)]

        table = np.concatenate([columns(near, real, 0), columns(near, fake.numpy(force=True), 1)])
        # scikit-learn's bins are cut at quantiles of 200,000 random rows: its own seed fixes them
        model = HistGradientBoostingClassifier(
            max_iter=self.trees, max_leaf_nodes=self.leaves, learning_rate=0.1, random_state=task.seed % 2**32,
            early_stopping=False, min_samples_leaf=50, l2_regularization=1.0,
        ).fit(table, np.arange(len(table)) < len(real))
        return partial(boosted, model, near, float(np.log(self.generated_per_real))), "logit"


class Neighbours:
    """Distances to the `rank`-th nearest of fixed points (m, F), or of all but one where there are fewer; by columns
    that are scaled (F,).
    """

    def __init__(self, points: np.ndarray, rank: int, scale: np.ndarray):
        self.rank, self.scale = min(rank, len(points) - 1), scale
        self.search = NearestNeighbors().fit(points * scale)

    def log_distance(self, points: np.ndarray, itself: bool = False) -> np.ndarray:
        """(n,); itself: the points are the fixed ones, and none is its own neighbour."""
        distances, _ = self.search.kneighbors(points * self.scale, self.rank + itself)
        return np.log(distances[:, -1].clip(1e-12))


def columns(near: list[Neighbours], points: np.ndarray, own: int | None = None) -> np.ndarray:
    """What the trees see of points (n, F): (n, F + 3).

    Args:
        near: Of real and of generated data.
        own: Which of the two sets the points are.
    """
    distances = [one.log_distance(points, itself=own == number) for number, one in enumerate(near)]
    return np.column_stack([points, *distances, distances[0] - distances[1]])


def boosted(model: HistGradientBoostingClassifier, near: list[Neighbours], balance: float, data: Tensor) -> Tensor:
    """The ratio that was fitted, (n,)."""
    odds = model.decision_function(columns(near, data.flatten(1).float().numpy(force=True)))
    return torch.from_numpy(odds + balance).to(data.device)
