"""Does the sampler find a posterior that is known? Bayesian linear regression against its conjugate answer."""

import argparse

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.stats import norm
from torch import Tensor, nn

from bayesgan.basics.errors import InputError
from bayesgan.experiments.registry import EXPERIMENTS, save_results
from bayesgan.basics.files import write_atomically
from bayesgan.sampler import Normal, PosteriorSampler, trace_plot

__all__ = ["conjugate_posterior", "run"]

ROWS, WIDTH, NOISE = 200, 4, 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--draws", type=int, default=500, help="draws of each of 8 chains")
    parser.add_argument("--batch_size", "--batch-size", type=int, help="minibatch (default: all rows)")


def conjugate_posterior(x: Tensor, y: Tensor, noise: float, prior_std: float) -> tuple[Tensor, Tensor]:
    """Mean (D,) and covariance (D, D) of w given y = x w + N(0, noise²) and w ~ N(0, prior_std²)."""
    precision = x.T @ x / noise**2 + torch.eye(x.shape[1], dtype=x.dtype) / prior_std**2
    covariance = torch.linalg.inv(precision)
    return covariance @ x.T @ y / noise**2, covariance


def run(arguments: argparse.Namespace) -> None:
    """Prints both posteriors side by side, writes results.json, marginals.png and traces.png."""
    if arguments.draws < 10:
        raise InputError(f"--draws must be at least 10, got {arguments.draws}")
    source = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, WIDTH, dtype=torch.float64, generator=source)
    y = x @ torch.tensor([1.0, -2.0, 0.5, 0.0]).double() + NOISE * torch.randn(ROWS, dtype=torch.float64, generator=source)
    sampler = PosteriorSampler(
        nn.Linear(WIDTH, 1, bias=False).double(),
        lambda outputs, targets: -((outputs[:, 0] - targets) ** 2).sum() / (2 * NOISE**2),
        num_data=ROWS, prior=Normal(1.0), lr=0.02, friction=0.2, scheme="baoa", chains=8, burn_in=500, thin=10,
        engine="vmap",
    )
    sampler.run((x, y), arguments.draws, arguments.batch_size)
    diagnostics = sampler.diagnostics(x[:20], ["weight"])
    draws = torch.stack([draw.weights["weight"][:, 0] for draw in sampler.draws]).flatten(0, 1)  # (draws · chains, WIDTH)
    mean, covariance = conjugate_posterior(x, y, NOISE, 1.0)
    deviation, error = covariance.diagonal().sqrt(), np.sqrt(1 / diagnostics.quantities["weight"].ess[0])
    rows = []
    print("weight   exact mean ± sd       sampled mean ± sd     z of the mean")
    for i in range(WIDTH):
        z = float((draws[:, i].mean() - mean[i]) / (deviation[i] * error[i]))
        rows.append({"exact_mean": mean[i].item(), "exact_sd": deviation[i].item(), "mean": draws[:, i].mean().item(),
                     "sd": draws[:, i].std().item(), "z": z})
        print(f"{i}        {mean[i]:8.4f} ± {deviation[i]:.4f}     {rows[-1]['mean']:8.4f} ± {rows[-1]['sd']:.4f}     {z:+.2f}")
    print(diagnostics)
    arguments.out_dir.mkdir(parents=True, exist_ok=True)
    command = f"python -m bayesgan.experiments linear_regression --draws {arguments.draws}" + (
        f" --batch_size {arguments.batch_size}" if arguments.batch_size else "")
    save_results(arguments.out_dir / "results.json", command, rows)
    for name, figure in (("marginals", marginals(draws, mean, deviation)), ("traces", trace_plot(diagnostics))):
        write_atomically(arguments.out_dir / f"{name}.png", lambda path: figure.savefig(path, format="png"))
    print(f"plots in {arguments.out_dir}")


def marginals(draws: Tensor, mean: Tensor, deviation: Tensor) -> Figure:
    """Histograms of the draws under the exact densities."""
    figure = Figure(figsize=(3 * WIDTH, 2.6), dpi=100)
    for i, panel in enumerate(figure.subplots(1, WIDTH)):
        panel.hist(draws[:, i].numpy(), 40, density=True, color="0.75", label="sampled")
        grid = np.linspace(mean[i] - 4 * deviation[i], mean[i] + 4 * deviation[i], 200)
        panel.plot(grid, norm.pdf(grid, mean[i], deviation[i]), "C1", label="exact")
        panel.set(xlabel=f"weight {i}", yticks=[])
    panel.legend(fontsize=8)
    figure.tight_layout()
    return figure


EXPERIMENTS.register("linear_regression")((add_arguments, run))
