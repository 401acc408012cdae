"""Does the posterior cover the data where one GAN does not? A mixture of 10 clusters in 100 dimensions.

Saatchi & Wilson 2017, section 4.1: 10 generator draws against maximum likelihood, for several seeds.
"""

from dataclasses import asdict, dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from bayesgan.basics.tables import mean_sd
from bayesgan.data import Dataset
from bayesgan.evaluation.clusters import cluster_shares, plane_divergence
from bayesgan.experiments.cells import Cells
from bayesgan.experiments.registry import EXPERIMENTS, Experiment, Report
from bayesgan.experiments.runs import run_cells
from bayesgan.options import load_data, option, resolve
from bayesgan.store.posterior import load_posterior
from bayesgan.store.run_folder import RunFolder

__all__ = ["Settings", "run"]

METHODS = {"bayesian": {}, "ml": {"ml": True}}
TITLES = {"bayesian": "Bayesian GAN, J=10", "ml": "ML GAN"}
FIGURES = {"clusters": "clusters of 10", "smallest_share": "smallest share", "divergence": "JSD (nats)"}
SAMPLES = 8000  # as many as real training points


@dataclass(frozen=True)
class Settings:
    z_dim: int = option(10, "dimension of the generators' input", least=1)
    cluster_dim: int = option(2, "dimension of each cluster", least=1)
    train_iter: int = option(2000, "iterations of each run", least=1)
    seeds: int = option(5, "runs of each method", least=1)


class Cell(NamedTuple):
    """One run."""

    method: str
    seed: int


def run(settings: Settings, cells: Cells) -> Report:
    """Trains what is missing, and counts the clusters that samples of the posterior find."""
    flags = {"dataset": "synthetic", **asdict(settings)}
    del flags["seeds"]
    data = load_data(resolve(flags)[0])
    wanted = {Cell(method, seed): {**flags, "random_seed": seed, **extra}
              for method, extra in METHODS.items() for seed in range(settings.seeds)}
    found = run_cells(cells, wanted, partial(measured, data=data), samples=SAMPLES)
    results = {
        title: [found[Cell(method, seed)]["figures"] for seed in range(settings.seeds)]
        for method, title in TITLES.items()
    }
    table = [
        {"method": title, **{FIGURES[name]: mean_sd([row[name] for row in rows]) for name in FIGURES}}
        for title, rows in results.items()
    ]
    points = {title: np.array(found[Cell(method, 0)]["points"]) for method, title in TITLES.items()}
    note = f"mean ± sd over {settings.seeds} seeds, z_dim {settings.z_dim}"
    return Report(results, table, {"coverage": plot(points, results, data)}, note)


def measured(key: Cell, run: RunFolder, data: Dataset) -> dict:
    """figures: clusters with at least a quarter of their due share, the smallest share, JSD in the plane, all shares.

    points: of the first seed, the samples on the first two principal axes of the data.
    """
    samples = load_posterior(run.path).sample(SAMPLES, key.seed, units=False)
    shares = cluster_shares(samples, data.train, data.train_labels, len(data.classes))
    figures = {
        "clusters": int((shares >= 0.25 / len(data.classes)).sum()),
        "smallest_share": float(shares.min()),
        "divergence": plane_divergence(samples, data.train),
        "shares": shares.round(4).tolist(),
    }
    shown = plane(data).transform(samples.numpy()).round(2).tolist() if key.seed == 0 else []
    return {"figures": figures, "points": shown}


def plane(data: Dataset) -> PCA:
    """The first two principal axes of the data."""
    return PCA(2).fit(data.train.numpy())


def plot(points: dict[str, np.ndarray], results: dict[str, list[dict]], data: Dataset) -> Figure:
    """Scatter of real and generated points (first seed) over the shares of the clusters (all seeds)."""
    count = len(data.classes)
    shown = {"real": plane(data).transform(data.train.numpy()), **points}
    shares = {"real": [cluster_shares(data.train, data.train, data.train_labels, count)],
              **{title: [row["shares"] for row in rows] for title, rows in results.items()}}
    figure = Figure(figsize=(4 * len(shown), 7.5), dpi=100)
    for (above, below), title in zip(figure.subplots(2, len(shown)).T, shown, strict=True):
        style = {"c": data.train_labels, "cmap": "tab10"} if title == "real" else {"c": "0.3"}
        above.scatter(*shown[title].T, s=2, linewidths=0, **style)
        above.set(title=title, xlim=(-20, 20), ylim=(-20, 20))
        below.boxplot(np.array(shares[title]), positions=range(count))
        below.axhline(1 / count, c="0.7", lw=1)
        below.set(xlabel="cluster", ylabel="share of samples", ylim=(0, 1))
    figure.tight_layout()
    return figure


EXPERIMENTS.register("synthetic")(Experiment(Settings, run, __doc__))
