"""Does the posterior cover the data where one GAN does not? Saatchi & Wilson 2017, section 4.1: a mixture of 10
clusters in 100 dimensions; 10 generator draws against maximum likelihood, for several seeds."""

import argparse

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from bayesgan.data import Dataset
from bayesgan.basics.errors import InputError
from bayesgan.evaluation.clusters import cluster_shares, plane_divergence
from bayesgan.experiments.registry import EXPERIMENTS, save_results
from bayesgan.experiments.runs import trained
from bayesgan.basics.files import write_atomically
from bayesgan.store.posterior import load_posterior
from bayesgan.options.options import load_data, resolve

__all__ = ["run"]

METHODS = {"Bayesian GAN, J=10": {}, "ML GAN": {"ml": True}}
SAMPLES = 8000  # as many as real training points


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--z_dim", "--z-dim", type=int, default=10, help="dimension of the generators' input")
    parser.add_argument("--cluster_dim", "--cluster-dim", type=int, default=2, help="dimension of each cluster")
    parser.add_argument("--train_iter", "--train-iter", type=int, default=2000, help="iterations of each run")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each method")


def run(arguments: argparse.Namespace) -> None:
    """Trains what is not there yet, prints the table, writes results.json and coverage.png."""
    if arguments.seeds < 1:
        raise InputError(f"--seeds must be at least 1, got {arguments.seeds}")
    flags = {"dataset": "synthetic", **{k: getattr(arguments, k) for k in ("z_dim", "cluster_dim", "train_iter")}}
    data = load_data(resolve(flags)[0])
    results, samples = {}, {}
    for method, extra in METHODS.items():
        results[method] = []
        for seed in range(arguments.seeds):
            place = arguments.out_dir / method.split()[0].lower() / f"seed{seed}"
            folder = trained(place, {**flags, "random_seed": seed, **extra})
            drawn = load_posterior(folder).sample(SAMPLES, seed)
            samples.setdefault(method, drawn)
            results[method].append(figures(drawn, data))
    print(f"\n{'':22}clusters of 10   smallest share   JSD (nats), {arguments.seeds} seeds, z_dim {arguments.z_dim}")
    for method, rows in results.items():
        columns = [f"{np.mean([r[k] for r in rows]):.3f} ± {np.std([r[k] for r in rows]):.3f}"
                   for k in ("clusters", "smallest_share", "divergence")]
        print(f"{method:20}  " + "   ".join(columns))
    command = f"python -m bayesgan.experiments synthetic --seeds {arguments.seeds} " + " ".join(
        f"--{k} {v}" for k, v in flags.items() if k != "dataset")
    save_results(arguments.out_dir / "results.json", command, results)
    figure = plot(samples, results, data)
    write_atomically(arguments.out_dir / "coverage.png", lambda path: figure.savefig(path, format="png"))
    print(f"figures {arguments.out_dir / 'results.json'}, plot {arguments.out_dir / 'coverage.png'}")


def figures(samples: torch.Tensor, data: Dataset) -> dict:
    """clusters: with at least a quarter of their due share; smallest_share; divergence: in the plane."""
    shares = cluster_shares(samples, data.train, data.train_labels, len(data.classes))
    return {
        "clusters": int((shares >= 0.25 / len(data.classes)).sum()),
        "smallest_share": float(shares.min()),
        "divergence": plane_divergence(samples, data.train),
        "shares": shares.round(4).tolist(),
    }


def plot(samples: dict, results: dict, data: Dataset) -> Figure:
    """Scatter of real and generated points (first seed) over the shares of the clusters (all seeds)."""
    axes = PCA(2).fit(data.train.numpy())
    figure = Figure(figsize=(4 * (1 + len(samples)), 7.5), dpi=100)
    panels = figure.subplots(2, 1 + len(samples))
    for column, (title, points) in enumerate({"real": data.train, **samples}.items()):
        plane = axes.transform(points.numpy())
        panels[0, column].scatter(plane[:, 0], plane[:, 1], s=2, linewidths=0,
                                  **({"c": data.train_labels, "cmap": "tab10"} if title == "real" else {"c": "0.3"}))
        panels[0, column].set(title=title, xlim=(-20, 20), ylim=(-20, 20))
        shares = (np.array([row["shares"] for row in results[title]]) if title != "real"
                  else cluster_shares(data.train, data.train, data.train_labels, len(data.classes))[None])
        panels[1, column].boxplot(shares, positions=range(len(data.classes)))
        panels[1, column].axhline(1 / len(data.classes), c="0.7", lw=1)
        panels[1, column].set(xlabel="cluster", ylabel="share of samples", ylim=(0, 1))
    figure.tight_layout()
    return figure


EXPERIMENTS.register("synthetic")((add_arguments, run))
