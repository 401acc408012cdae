"""Labels spread from the few images that have one to all others, along a graph of neighbours in feature space.

Zhou, Bousquet, Lal, Weston, Schölkopf 2004, "Learning with local and global consistency"; class mass normalisation is
that of Zhu, Ghahramani, Lafferty 2003, "Semi-supervised learning using Gaussian fields and harmonic functions".
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bayesgan.basics.later import later
from bayesgan.basics.randomness import keyed_generator

__all__ = ["MOST_POINTS", "USUAL_POWER", "Spread", "View", "spread_labels", "together"]

csr_matrix = later("scipy.sparse", "csr_matrix")
diags = later("scipy.sparse", "diags")
identity = later("scipy.sparse", "identity")
cg = later("scipy.sparse.linalg", "cg")
PCA = later("sklearn.decomposition", "PCA")
NearestNeighbors = later("sklearn.neighbors", "NearestNeighbors")

NEIGHBOURS = 12
COMPONENTS = 40  # principal components of the features
POWER = 4  # of the cosine between neighbours: the weight of an edge
DAMPING = 0.99  # share of a point's score that comes from its neighbours
MOST_POINTS = 200_000  # beyond, the search for neighbours takes hours
POWERS = np.arange(1, 4.25, 0.25)  # that make probabilities of shares
USUAL_POWER = 1.5  # where labels are too few to be hidden, or say nothing about it
MISTAKEN = 0.01  # of the labels, perhaps: so that a few do not decide how sure a graph may be


class Spread(NamedTuple):
    """What the graph says of each point.

    Attributes:
        shares: (n, Y) float64 of all classes in the point's score; 0 where no label reaches it.
        others: (m, Y) the same in what the nearest points say of each of the others.
        found: Share of the labels that one half of them finds again in the other, of classes with two or more; NaN if
            there are none.
        power: Which power of their shares makes those hidden labels the likeliest. Diffusion flattens what a graph
            says, less so where classes mix.
    """

    shares: Tensor
    others: Tensor
    found: float
    power: float

    @property
    def classes(self) -> Tensor:
        """(n,) int64."""
        return self.shares.argmax(1)

    @property
    def sureness(self) -> Tensor:
        """(n,) in [0, 1], the share of the class; 0 where no label reaches the point."""
        return self.shares.max(1).values

    def surest(self, share: float) -> Tensor:
        """The surest so many of all points: (n,) bool."""
        sureness = self.sureness
        mixed = torch.randperm(len(sureness), generator=keyed_generator(0, "ties"))  # data may lie in order of classes
        chosen = torch.zeros(len(sureness), dtype=torch.bool)
        chosen[mixed[sureness[mixed].argsort(descending=True, stable=True)[: round(share * len(chosen))]]] = True
        return chosen & (sureness > 0)


class View:
    """Features (n, F) of n points, as a graph sees them: their principal components, on the unit sphere.

    Args:
        lengths: Of features, and not directions alone, tell classes: they get one more coordinate, as large for all as
            they are on average, so that neighbours on the sphere are those in space.

    Attributes:
        points: (n, at most 41).
    """

    def __init__(self, features: Tensor, lengths: bool = False):
        self.axes = PCA(min(COMPONENTS, *features.shape), svd_solver="randomized", random_state=0)
        points = self.axes.fit_transform(features.numpy(force=True))
        self.lift = np.full(int(lengths), np.sqrt((points**2).sum(1).mean()), points.dtype)
        self.points = self._on_the_sphere(points)

    def of(self, others: Tensor) -> np.ndarray:
        """Other points (m, F) on the same axes."""
        return self._on_the_sphere(self.axes.transform(others.numpy(force=True)))

    def _on_the_sphere(self, points: np.ndarray) -> np.ndarray:
        """Rows (n, d), lifted or not, scaled to norm 1."""
        points = np.concatenate([points, np.broadcast_to(self.lift, (len(points), len(self.lift)))], 1)
        return points / np.linalg.norm(points, axis=1, keepdims=True).clip(1e-12)


def spread_labels(
    views: Sequence[View], rows: Tensor, labels: Tensor, classes: int, others: Sequence[Tensor] | None = None
) -> Spread:
    """Solves (I - .99 S) F = Y on the graph of 12 neighbours by cosine.

    S is the edge weights divided by the roots of both ends' degrees, Y one-hot on the labelled points. Columns of F are
    scaled to the same mass, so that no class is the likelier for having more labels, then rows to add up to 1, so that
    classes may differ in size, within limits. Cosines of several views are averaged.

    Args:
        views: Of the same n points.
        rows: (N,) the labelled points.
        labels: (N,) their classes.
        classes: Y.
        others: Of each view the features (m, F) of points that get classes from the graph and are no part of it.
    """
    points = side_by_side([view.points for view in views])
    search = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(points) - 1), algorithm="brute").fit(points)
    weights = edges(search.kneighbors_graph(mode="distance"))
    weights = weights + weights.T
    root = 1 / np.sqrt(np.asarray(weights.sum(1)).ravel().clip(1e-12))
    scaled = diags(root) @ weights @ diags(root)
    system = identity(len(points)) - DAMPING * scaled
    rows, labels = rows.numpy(force=True), labels.numpy(force=True)
    shares = shares_from(system, rows, labels, classes)
    said = np.zeros((0, classes))
    if others is not None:
        theirs = side_by_side([view.of(features) for view, features in zip(views, others, strict=True)])
        said = edges(search.kneighbors_graph(theirs, mode="distance")) @ shares
        said = said / said.sum(1, keepdims=True).clip(1e-300)
    return Spread(torch.from_numpy(shares), torch.from_numpy(said), *on_hidden(system, rows, labels, classes))


def on_hidden(system: csr_matrix, rows: np.ndarray, labels: np.ndarray, classes: int) -> tuple[float, float]:
    """`found` and `power` of a `Spread`: each half of the labels is hidden once."""
    several = np.bincount(labels, minlength=classes)[labels] > 1  # whose class one half has if the other does
    if not several.any():
        return float("nan"), USUAL_POWER
    order, again = np.argsort(labels, kind="stable"), np.zeros((len(labels), classes))
    for kept, hidden in ((order[::2], order[1::2]), (order[1::2], order[::2])):
        again[hidden] = shares_from(system, rows[kept], labels[kept], classes)[rows[hidden]]
    again, own = again[several], (np.arange(several.sum()), labels[several])
    likelihood = [np.log((1 - MISTAKEN) * sharpened(again, power)[own] + MISTAKEN / classes).mean() for power in POWERS]
    right = (again.argmax(1) == own[1]) & (again.sum(1) > 0)
    return float(right.mean()), float(POWERS[np.argmax(likelihood)])


def sharpened(shares: np.ndarray, power: float) -> np.ndarray:
    """Class probabilities (n, Y) in proportion to a power of shares (n, Y); 0 where these are."""
    values = shares**power
    return values / values.sum(1, keepdims=True).clip(1e-300)


def together(probabilities: Tensor, shares: Tensor) -> Tensor:
    """Class probabilities (n, Y) of two witnesses: the geometric mean of networks' (n, Y) and of squared shares (n, Y).

    Diffusion flattens what a graph says; squared, shares of MNIST are about as sure as they are right. Where no label
    reaches and shares are 0, the networks alone speak.
    """
    logarithm = probabilities.double().clamp_min(1e-12).log() / 2 + shares.double().clamp_min(1e-12).log()
    reached = shares.sum(-1, keepdim=True) > 0
    return torch.where(reached, logarithm.softmax(-1), probabilities.double())


def shares_from(system: csr_matrix, rows: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """(n, Y) what labels at these rows say of all points."""
    given = np.zeros((system.shape[0], classes))
    given[rows, labels] = 1
    scores = np.stack([cg(system, column, rtol=1e-6)[0] for column in given.T], 1).clip(0)
    shares = scores / scores.sum(0).clip(1e-300)
    return shares / shares.sum(1, keepdims=True).clip(1e-300)


def side_by_side(views: list[np.ndarray]) -> np.ndarray:
    """Points (n, d) of several spheres as those of one, whose cosines are the mean of theirs."""
    return np.concatenate(views, 1) / len(views) ** 0.5


def edges(graph: csr_matrix) -> csr_matrix:
    """Weights of a graph of distances (m, n) between points on the unit sphere."""
    graph.data = (1 - graph.data**2 / 2).clip(0) ** POWER
    graph.sort_indices()
    return graph
