"""Whether a GAN diverged, collapsed or converged, from its samples and real data alone; no label is needed."""

from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA
from torch import Tensor

from bayesgan.data import Dataset, to_float
from bayesgan.evaluation.clusters import clusters_found
from bayesgan.evaluation.image_scores import frechet

__all__ = ["CRITERIA", "VERDICTS", "Verdict", "Yardstick"]

VERDICTS = ("diverged", "collapsed", "not converged", "converged")
CRITERIA = {
    "axes": 50,  # principal axes of the training data that all is measured on
    "diverse": 0.5,  # diversity: collapsed below
    "covered": 0.5,  # share of the clusters: collapsed below
    "converged": 0.25,  # distance: converged up to it
}


class Verdict(NamedTuple):
    """What became of a GAN; the figures are None where it diverged.

    Attributes:
        word: One of `VERDICTS`; the first that applies.
        distance: Frechet distance (Heusel et al. 2017) to held-out data on the first principal axes of the training
            data, in parts of the held-out data's variance there: 0 is best, 1 is what their mean, again and again, has.
        diversity: Median distance of two samples on these axes, in parts of that of two held-out data. Neither a few
            odd samples nor noise in single pixels hides that the rest are alike.
        clusters: Of vectors with classes, how many have a quarter of an even share of the samples; else None.
    """

    word: str
    distance: float | None = None
    diversity: float | None = None
    clusters: int | None = None


class Yardstick:
    """Verdicts on samples of one data set.

    Attributes:
        count: Samples that a verdict needs: as many as there are held-out data.
        floor: The distance of as many training data, which no GAN can be expected to stay below.
    """

    def __init__(self, data: Dataset):
        self._data, self.count = data, len(data.test)
        train = to_float(data.train).flatten(1)
        self._pca = PCA(min(CRITERIA["axes"], *train.shape), random_state=0).fit(train.numpy())
        self._reference = self._on_axes(to_float(data.test))
        rows = np.random.default_rng(0).permutation(len(train))[: self.count]
        self.floor = self._distance(self._on_axes(train[rows]))

    def verdict(self, samples: Tensor) -> Verdict:
        """Of samples (count, ...), images in [-1, 1]."""
        if not samples.isfinite().all():
            return Verdict("diverged")
        points, clusters = self._on_axes(samples), self._clusters(samples)
        distance, diversity = self._distance(points), apart(points) / apart(self._reference)
        few = clusters is not None and clusters < CRITERIA["covered"] * len(self._data.classes)
        if few or diversity < CRITERIA["diverse"]:
            word = "collapsed"
        else:
            word = "converged" if distance <= CRITERIA["converged"] else "not converged"
        return Verdict(word, distance, diversity, clusters)

    def _on_axes(self, points: Tensor) -> np.ndarray:
        return self._pca.transform(points.flatten(1).double().numpy())

    def _distance(self, points: np.ndarray) -> float:
        return frechet(points, self._reference) / float(self._reference.var(0, ddof=1).sum())

    def _clusters(self, samples: Tensor) -> int | None:
        vectors = not self._data.is_images and self._data.classes
        return clusters_found(samples, self._data) if vectors else None


def apart(points: np.ndarray) -> float:
    """Median distance of two of the points (n, axes)."""
    return float(np.median(pdist(points)))
