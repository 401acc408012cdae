"""Does the sampler find a posterior that is known? Bayesian linear regression against its conjugate answer."""

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.stats import norm
from torch import Tensor, nn

from bayesgan.basics.tables import sd
from bayesgan.experiments.cells import Cells
from bayesgan.experiments.registry import EXPERIMENTS, Experiment, Report
from bayesgan.options import option
from bayesgan.sampler import Normal, PosteriorSampler, trace_plot

__all__ = ["Settings", "conjugate_posterior", "run"]

ROWS, WIDTH, NOISE = 200, 4, 0.5


@dataclass(frozen=True)
class Settings:
    draws: int = option(500, "draws of each of 8 chains", least=10)
    batch_size: int | None = option(None, "minibatch (default: all rows)", least=1, most=ROWS)


def run(settings: Settings, cells: Cells) -> Report:
    """Samples the weights, and compares their means with the exact ones."""
    x, y = regression_data()
    sampler = PosteriorSampler(
        nn.Linear(WIDTH, 1, bias=False).double(), log_likelihood, num_data=ROWS, prior=Normal(1.0), lr=0.02,
        friction=0.2, scheme="baoa", chains=8, burn_in=500, thin=10, engine="vmap",
    )
    sampler.run((x, y), settings.draws, settings.batch_size)
    diagnostics = sampler.diagnostics(x[:20], ["weight"])
    print(diagnostics)
    draws = torch.cat([draw.weights["weight"][:, 0] for draw in sampler.draws]).numpy()  # (draws · chains, WIDTH)
    mean, covariance = conjugate_posterior(x, y, NOISE, 1.0)
    mean, deviation = mean.numpy(), covariance.diagonal().sqrt().numpy()
    error = deviation / np.sqrt(diagnostics.quantities["weight"].ess[0])  # of the sampled means
    rows = [
        {"exact_mean": mean[i], "exact_sd": deviation[i], "mean": draws[:, i].mean(), "sd": sd(draws[:, i]),
         "z": (draws[:, i].mean() - mean[i]) / error[i]}
        for i in range(WIDTH)
    ]
    table = [
        {"weight": str(i), "exact mean ± sd": f"{row['exact_mean']:.4f} ± {row['exact_sd']:.4f}",
         "sampled mean ± sd": f"{row['mean']:.4f} ± {row['sd']:.4f}", "z of the mean": f"{row['z']:+.2f}"}
        for i, row in enumerate(rows)
    ]
    pictures = {"marginals": marginals(draws, mean, deviation), "traces": trace_plot(diagnostics)}
    return Report(rows, table, pictures, "sd: of the posterior")


def regression_data() -> tuple[Tensor, Tensor]:
    """x (ROWS, WIDTH) and y (ROWS,), float64."""
    source = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, WIDTH, dtype=torch.float64, generator=source)
    weights = torch.tensor([1.0, -2.0, 0.5, 0.0], dtype=torch.float64)
    return x, x @ weights + NOISE * torch.randn(ROWS, dtype=torch.float64, generator=source)


def log_likelihood(outputs: Tensor, targets: Tensor) -> Tensor:
    """Sum over rows of log N(target; output, NOISE²), without its constant."""
    return -((outputs[:, 0] - targets) ** 2).sum() / (2 * NOISE**2)


def conjugate_posterior(x: Tensor, y: Tensor, noise: float, prior_std: float) -> tuple[Tensor, Tensor]:
    """Mean (D,) and covariance (D, D) of w given y = x w + N(0, noise²) and w ~ N(0, prior_std²)."""
    precision = x.T @ x / noise**2 + torch.eye(x.shape[1], dtype=x.dtype) / prior_std**2
    covariance = torch.linalg.inv(precision)
    return covariance @ x.T @ y / noise**2, covariance


def marginals(draws: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> Figure:
    """Histograms of the draws under the exact densities."""
    figure = Figure(figsize=(3 * WIDTH, 2.6), dpi=100)
    for i, panel in enumerate(figure.subplots(1, WIDTH)):
        panel.hist(draws[:, i], 40, density=True, color="0.75", label="sampled")
        grid = np.linspace(mean[i] - 4 * deviation[i], mean[i] + 4 * deviation[i], 200)
        panel.plot(grid, norm.pdf(grid, mean[i], deviation[i]), "C1", label="exact")
        panel.set(xlabel=f"weight {i}", yticks=[])
    panel.legend(fontsize=8)
    figure.tight_layout()
    return figure


EXPERIMENTS.register("linear_regression")(Experiment(Settings, run, __doc__))
