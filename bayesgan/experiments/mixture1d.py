"""Four Gaussians of which the generator has three: what each selection rule makes of it, given the exact density ratio.

The toy of Azadi et al. 2019 and Turner et al. 2019, whose code was never published; its settings are all here.
"""

import argparse

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.stats import norm

from bayesgan.basics.errors import InputError
from bayesgan.experiments.registry import EXPERIMENTS, save_results
from bayesgan.basics.files import write_atomically
from bayesgan.basics.randomness import keyed_generator
from bayesgan.resampling import Resampler
from bayesgan.resampling.rules.obrs import acceptance_probabilities

__all__ = ["generate", "generated_density", "log_ratio", "real_density", "run"]

REAL, REAL_SD = (0.0, 1.0, 2.0, 3.0), 0.25
FAKE, FAKE_SD = (0.0, 1.0, 2.0), 0.3125
METHODS = {"DRS, shifted": {"method": "drs", "percentile": 95.0}, "MH": {"method": "mh"}, "OBRS": {"method": "obrs"}}
EXACT_BUDGET = 10_000  # of DRS without its shift, which accepts 1 of some thousands; a fiftieth of the samples then


def density(x: np.ndarray, centres: tuple[float, ...], deviation: float) -> np.ndarray:
    return np.mean([norm.pdf(x, centre, deviation) for centre in centres], 0)


def real_density(x: np.ndarray) -> np.ndarray:
    return density(x, REAL, REAL_SD)


def generated_density(x: np.ndarray) -> np.ndarray:
    return density(x, FAKE, FAKE_SD)


def log_ratio(x: torch.Tensor) -> torch.Tensor:
    """log p/q (n,), exact: differentiable, and finite far outside both."""

    def log_density(centres: tuple[float, ...], deviation: float) -> torch.Tensor:
        offsets = x.double().reshape(-1, 1) - torch.tensor(centres, dtype=torch.float64)
        return torch.logsumexp(-(offsets**2) / (2 * deviation**2), 1) - np.log(deviation * len(centres))

    return log_density(REAL, REAL_SD) - log_density(FAKE, FAKE_SD)


def generate(n: int, generator: torch.Generator) -> torch.Tensor:
    """(n, 1) float64 from the generator's three Gaussians."""
    centres = torch.tensor(FAKE, dtype=torch.float64)[torch.randint(len(FAKE), (n,), generator=generator)]
    return (centres + FAKE_SD * torch.randn(n, dtype=torch.float64, generator=generator))[:, None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--samples", type=int, default=10_000, help="outputs of each method")
    parser.add_argument("--budget", type=int, nargs="+", default=[10, 100, 640], help="proposals an output")


def run(arguments: argparse.Namespace) -> None:
    """Prints the table, writes results.json and mixture1d.png."""
    if arguments.samples < 100 or min(arguments.budget) < 1:
        raise InputError(f"--samples must be at least 100 and --budget at least 1, got {arguments.samples} and {arguments.budget}")
    edges = np.linspace(-1.5, 4.5, 61)
    truth = np.diff(sum(norm.cdf(edges, centre, REAL_SD) for centre in REAL)) / len(REAL)
    results, samples = {}, {"GAN": generate(arguments.samples, keyed_generator(0, "generator")).numpy()[:, 0]}
    for budget in arguments.budget:
        for name, settings in METHODS.items():
            resampler = Resampler(generate, log_ratio, budget=budget, chunk=100_000, **settings)
            samples[f"{name}, K={budget}"] = resampler.sample(arguments.samples)[:, 0].numpy()
    exact = Resampler(generate, log_ratio, "drs", EXACT_BUDGET, chunk=100_000, percentile=0.0)
    samples[f"DRS, K={EXACT_BUDGET}"] = exact.sample(arguments.samples // 50)[:, 0].numpy()
    print(f"{'':22}total variation (0.1 bins)   mass at x > 2.5 (truth .25)")
    for name, drawn in samples.items():
        row = {"total_variation": float(np.abs(np.histogram(drawn, edges)[0] / len(drawn) - truth).sum() / 2),
               "mass_above": float((drawn > 2.5).mean())}
        results[name] = row
        print(f"{name:22}{row['total_variation']:.3f}                        {row['mass_above']:.3f}")
    arguments.out_dir.mkdir(parents=True, exist_ok=True)
    command = (f"python -m bayesgan.experiments mixture1d --samples {arguments.samples} --budget "
               + " ".join(map(str, arguments.budget)))
    save_results(arguments.out_dir / "results.json", command, results)
    figure = plot(samples, arguments.budget)
    write_atomically(arguments.out_dir / "mixture1d.png", lambda path: figure.savefig(path, format="png"))
    print(f"plot {arguments.out_dir / 'mixture1d.png'}")


def plot(samples: dict[str, np.ndarray], budgets: list[int]) -> Figure:
    """Densities of every method at the largest budget over the truth, and proposals a method spends on accepting x."""
    shown = {name: drawn for name, drawn in samples.items() if name == "GAN" or name.endswith((f"K={max(budgets)}", f"K={EXACT_BUDGET}"))}
    figure = Figure(figsize=(3.2 * (len(shown) + 1), 3.2), dpi=100)
    panels = figure.subplots(1, len(shown) + 1)
    x = np.linspace(-1.5, 4.5, 601)
    for panel, (name, drawn) in zip(panels, shown.items()):
        panel.hist(drawn, np.linspace(-1.5, 4.5, 121), density=True, color="0.75")
        panel.plot(x, real_density(x), "C1", lw=1, label="real")
        panel.plot(x, generated_density(x), "C0", lw=1, ls=":", label="generator")
        panel.set(title=name, yticks=[])
    panels[0].legend(fontsize=8)
    odds = log_ratio(torch.from_numpy(x)[:, None])
    pool = log_ratio(generate(200_000, keyed_generator(1, "generator")))
    for budget in budgets:
        share = acceptance_probabilities(torch.cat([pool, odds]), len(pool) // budget)[len(pool):]
        panels[-1].semilogy(x, (1 - share) / share.clamp_min(1e-12), label=f"OBRS, K={budget}")
    weights = odds.exp()
    panels[-1].semilogy(x, ((pool.exp().max() / weights) - 1).clamp_min(1e-3), "k:", lw=1, label="rejection with bound M")
    panels[-1].set(title="rejects before an accept at x", xlabel="x", ylim=(1e-2, 1e6))
    panels[-1].legend(fontsize=7)
    figure.tight_layout()
    return figure


EXPERIMENTS.register("mixture1d")((add_arguments, run))
