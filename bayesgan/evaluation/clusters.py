"""How well samples cover a mixture with known components: modes found, shares, Jensen-Shannon divergences."""

from dataclasses import dataclass

import numpy as np
from scipy.special import rel_entr
from scipy.stats import gaussian_kde
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from bayesgan.data import Dataset
from bayesgan.data.bundled import GRID_SCALE, gaussian_grid

__all__ = ["GridCoverage", "cluster_shares", "clusters_found", "grid_coverage", "plane_divergence"]


@dataclass(frozen=True)
class GridCoverage:
    """Of samples on the 25-Gaussian grid.

    Attributes:
        modes: How many of the 25 modes have at least one sample within 4 sd.
        high_quality: Share of samples within 4 sd of a mode (perfect samples: .9997).
        divergence: JSD in nats of nearest-mode counts, with a 26th cell for the rest, against uniform modes.
        mode_std: Mean over modes and axes of the sd of a mode's high-quality samples, in the grid's units (truth: .05).
    """

    modes: int
    high_quality: float
    divergence: float
    mode_std: float


def grid_coverage(samples: Tensor) -> GridCoverage:
    """Coverage of the data set gaussians25 by samples (n, 2), both in the data set's own scale."""
    points = samples.double().cpu().numpy() * GRID_SCALE
    offsets = points[:, None] - gaussian_grid()[None]  # (n, 25, 2)
    distances = np.linalg.norm(offsets, axis=-1)
    nearest = distances.argmin(1)
    good = distances.min(1) <= 4 * 0.05
    counts = np.bincount(nearest[good], minlength=25)
    cells = np.append(counts, len(points) - counts.sum())
    spreads = [points[good & (nearest == mode)].std(0, ddof=1).mean() for mode in range(25) if counts[mode] > 1]
    return GridCoverage(
        modes=int((counts > 0).sum()),
        high_quality=float(good.mean()),
        divergence=jensen_shannon(cells, np.append(np.full(25, 1 / 25), 0)),
        mode_std=float(np.mean(spreads)) if spreads else float("nan"),
    )


def cluster_shares(samples: Tensor, data: Tensor, labels: Tensor, clusters: int) -> np.ndarray:
    """Share of samples (n, D) whose nearest real point (m, D) belongs to each cluster: (clusters,), adds up to 1."""
    classifier = KNeighborsClassifier(1).fit(data.cpu().numpy(), labels.cpu().numpy())
    return np.bincount(classifier.predict(samples.cpu().numpy()), minlength=clusters) / len(samples)


def clusters_found(samples: Tensor, data: Dataset) -> int:
    """How many classes of `data` have at least a quarter of an even share of samples (n, D)."""
    count = len(data.classes)
    return int((cluster_shares(samples, data.train, data.train_labels, count) >= 0.25 / count).sum())


def plane_divergence(samples: Tensor, data: Tensor, cells: int = 100) -> float:
    """JSD in nats, at most ln 2, of kernel density estimates on the data's first two principal axes.

    On cells² points of the real points' box and a tenth around it, which samples therefore cannot stretch; what lies
    outside is one more cell. Saatchi & Wilson 2017, section 4.1; here with as many real as generated points, chosen
    from the front.
    """
    count = min(len(samples), len(data))
    axes = PCA(2).fit(data.cpu().numpy())
    real, fake = (axes.transform(points[:count].cpu().numpy()).T for points in (data, samples))
    low, high = real.min(1), real.max(1)
    low, high = low - 0.1 * (high - low), high + 0.1 * (high - low)  # the tails of the estimate
    grid = np.stack(np.meshgrid(*(np.linspace(a, b, cells) for a, b in zip(low, high)))).reshape(2, -1)
    area = np.prod((high - low) / (cells - 1))
    masses = []
    for points in (real, fake):
        inside = gaussian_kde(points)(grid) * area
        masses.append(np.append(inside, max(0.0, 1 - inside.sum())))
    return jensen_shannon(*masses)


def jensen_shannon(one: np.ndarray, other: np.ndarray) -> float:
    """Of two mass functions in nats; scipy's is the root of it, and NaN where rounding brings it below 0."""
    one, other = one / one.sum(), other / other.sum()
    between = (one + other) / 2
    return max(0.0, float(rel_entr(one, between).sum() + rel_entr(other, between).sum()) / 2)
