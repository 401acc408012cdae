"""Four Gaussians of which the generator has three: what does each selection rule make of the exact density ratio?

The toy of Azadi et al. 2019 and Turner et al. 2019, whose code was never published; its settings are all here.
"""

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import norm

from bayesgan.basics.randomness import keyed_generator
from bayesgan.experiments.cells import Cells
from bayesgan.experiments.registry import EXPERIMENTS, Experiment, Report
from bayesgan.options import option
from bayesgan.resampling import Resampler
from bayesgan.resampling.rules.obrs import acceptance_probabilities

__all__ = ["Settings", "generate", "generated_density", "log_ratio", "real_density", "run"]

REAL, REAL_SD = (0.0, 1.0, 2.0, 3.0), 0.25
FAKE, FAKE_SD = (0.0, 1.0, 2.0), 0.3125
METHODS = {"DRS, shifted": {"method": "drs", "percentile": 95.0}, "MH": {"method": "mh"}, "OBRS": {"method": "obrs"}}
EXACT_BUDGET = 10_000  # of DRS without its shift, which accepts 1 of some thousands; a fiftieth of the samples then
EXACT = f"DRS, K={EXACT_BUDGET}"


@dataclass(frozen=True)
class Settings:
    samples: int = option(10_000, "outputs of each method", least=100)
    budget: tuple[int, ...] = option((10, 100, 640), "proposals an output", least=1)


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


def run(settings: Settings, cells: Cells) -> Report:
    """Draws by every method with every budget, and compares with the truth."""
    samples = {"GAN": generate(settings.samples, keyed_generator(0, "generator")).numpy()[:, 0]}
    for budget in settings.budget:
        for name, rule in METHODS.items():
            resampler = Resampler(generate, log_ratio, budget=budget, chunk=100_000, **rule)
            samples[f"{name}, K={budget}"] = resampler.sample(settings.samples)[:, 0].numpy()
    exact = Resampler(generate, log_ratio, "drs", EXACT_BUDGET, chunk=100_000, percentile=0.0)
    samples[EXACT] = exact.sample(settings.samples // 50)[:, 0].numpy()
    results = {name: figures(drawn) for name, drawn in samples.items()}
    table = [
        {"method": name, "total variation (0.1 bins)": f"{row['total_variation']:.3f}",
         "mass at x > 2.5 (truth .25)": f"{row['mass_above']:.3f}"}
        for name, row in results.items()
    ]
    return Report(results, table, {"mixture1d": plot(samples, settings.budget)})


def figures(drawn: np.ndarray) -> dict[str, float]:
    """total_variation: to the truth, over bins of 0.1; mass_above: 2.5, where the generator has next to nothing."""
    edges = np.linspace(-1.5, 4.5, 61)
    truth = np.diff(sum(norm.cdf(edges, centre, REAL_SD) for centre in REAL)) / len(REAL)
    shares = np.histogram(drawn, edges)[0] / len(drawn)
    return {"total_variation": float(np.abs(shares - truth).sum() / 2), "mass_above": float((drawn > 2.5).mean())}


def plot(samples: dict[str, np.ndarray], budgets: tuple[int, ...]) -> Figure:
    """Densities of every method at the largest budget over the truth, and proposals a method spends on accepting x."""
    largest = [f"{name}, K={max(budgets)}" for name in METHODS]
    shown = {name: samples[name] for name in ("GAN", *largest, EXACT)}
    figure = Figure(figsize=(3.2 * (len(shown) + 1), 3.2), dpi=100)
    panels = figure.subplots(1, len(shown) + 1)
    x = np.linspace(-1.5, 4.5, 601)
    for panel, (name, drawn) in zip(panels, shown.items(), strict=False):
        panel.hist(drawn, np.linspace(-1.5, 4.5, 121), density=True, color="0.75")
        panel.plot(x, real_density(x), "C1", lw=1, label="real")
        panel.plot(x, generated_density(x), "C0", lw=1, ls=":", label="generator")
        panel.set(title=name, yticks=[])
    panels[0].legend(fontsize=8)
    plot_rejects(panels[-1], x, budgets)
    figure.tight_layout()
    return figure


def plot_rejects(panel: Axes, x: np.ndarray, budgets: tuple[int, ...]) -> None:
    """How many proposals at x are rejected before one is accepted."""
    odds = log_ratio(torch.from_numpy(x)[:, None])
    pool = log_ratio(generate(200_000, keyed_generator(1, "generator")))
    for budget in budgets:
        share = acceptance_probabilities(torch.cat([pool, odds]), len(pool) // budget)[len(pool):]
        panel.semilogy(x, (1 - share) / share.clamp_min(1e-12), label=f"OBRS, K={budget}")
    rejects = pool.exp().max() / odds.exp() - 1
    panel.semilogy(x, rejects.clamp_min(1e-3), "k:", lw=1, label="rejection with bound M")
    panel.set(title="rejects before an accept at x", xlabel="x", ylim=(1e-2, 1e6))
    panel.legend(fontsize=7)


EXPERIMENTS.register("mixture1d")(Experiment(Settings, run, __doc__))
