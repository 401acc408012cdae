"""Whether to trust a set of draws: effective sample sizes, R-hat, kinetic temperatures, and warnings in words."""

from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from bayesgan.basics.errors import InputError
from bayesgan.basics.later import later
from bayesgan.basics.tables import several

__all__ = ["Convergence", "Diagnostics", "KineticTemperature", "diagnose", "trace_plot"]

Figure = later("matplotlib.figure", "Figure")
quantile_of_f = later("scipy.special", "fdtri")
quantile = later("scipy.special", "chdtri")  # of chi-squared, from above

LARGEST_RHAT = 1.05  # Vehtari et al. 2021 ask for 1.01 on parameters; predictions of networks rarely get there
SMALLEST_ESS = 100.0  # in all chains together: a standard error of a tenth of a standard deviation
LEAST_DRAWS = 4  # of each chain, which split R-hat halves; a single one is halved before
LEAST_FOR_ESS = 10  # of each chain: of fewer, its estimate is the same whatever they are


@dataclass(frozen=True)
class Convergence:
    """Of one quantity with entries (...,).

    Attributes:
        ess: Bulk effective sample size over all chains, at most the draws there are, (...,); NaN of fewer than 10 draws
            a chain, which tell nothing of it.
        rhat: Rank-normalised split R-hat, (...,); NaN for entries that never change.
    """

    ess: np.ndarray
    rhat: np.ndarray


@dataclass(frozen=True)
class KineticTemperature:
    """Of one parameter tensor: estimate, and where it should lie with 99.9 % probability."""

    estimate: float
    low: float
    high: float

    @property
    def as_expected(self) -> bool:
        return self.low <= self.estimate <= self.high


@dataclass(frozen=True)
class Diagnostics:
    """What `diagnose` returns; print it.

    Attributes:
        quantities: Name -> `Convergence`.
        temperatures: Parameter name -> `KineticTemperature`.
        warnings: One sentence each; empty when nothing is suspicious.
        traces: Name -> (chains, draws), the first entry of each quantity, for `trace_plot`.
    """

    quantities: dict[str, Convergence]
    temperatures: dict[str, KineticTemperature]
    warnings: list[str]
    traces: dict[str, np.ndarray] = field(repr=False)

    def __str__(self) -> str:
        lines = [f"{name}: {convergence_in_words(one)}" for name, one in self.quantities.items()]
        lines += [f"{name}: kinetic temperature {t.estimate:.3f}, expected {t.low:.3f} to {t.high:.3f}"
                  for name, t in self.temperatures.items()]
        return "\n".join([*lines, *(f"warning: {text}" for text in self.warnings)])


def diagnose(
    quantities: dict[str, Tensor],
    kinetic: dict[str, Tensor],
    sizes: dict[str, int],
    temperature: float,
    independence: float = 1.0,
) -> Diagnostics:
    """Convergence of quantities and kinetic temperatures of layers.

    Args:
        quantities: Name -> (chains, draws, ...).
        kinetic: Parameter name -> (chains, draws) as `kinetic_temperature` gives them.
        sizes: Parameter name -> weights in one chain, the degrees of freedom of one kinetic temperature.
        temperature: What the kinetic temperatures should be.
        independence: Share of the draws whose momenta count as independent, in (0, 1].

    Raises:
        ValueError: With fewer than 4 draws, or than 8 of a single chain.
    """
    chains, draws = next(iter(quantities.values())).shape[:2]
    least = LEAST_DRAWS * (2 if chains == 1 else 1)
    if draws < least:
        raise InputError(f"diagnostics need at least {least} draws of {several(chains, 'chain')}, got {draws}; "
                         f"collect {least - draws} more")
    convergence, warnings, traces = {}, [], {}
    for name, values in quantities.items():
        array = values.double().cpu().numpy()
        if not np.isfinite(array).all():
            warnings.append(f"{name} is not finite in some draws: look at the model, or lower lr")
        convergence[name] = converge(array)
        traces[name] = array.reshape(chains, draws, -1)[:, :, 0]
        warnings += list(words(name, convergence[name], chains, draws))
    temperatures = {}
    for name, values in kinetic.items():
        freedom = max(1.0, sizes[name] * chains * draws * independence)
        low, high = (temperature * quantile(freedom, 1 - p) / freedom for p in (0.0005, 0.9995))
        temperatures[name] = KineticTemperature(values.double().mean().item(), low, high)
        if temperature > 0 and not temperatures[name].as_expected:
            why = ("gradient noise heats it, or the step is too large for a potential this uneven; lower lr or raise "
                   "the batch size" if temperatures[name].estimate > high else
                   "it has not warmed up yet, or beta_hat subtracts too much; lengthen burn_in")
            warnings.append(f"kinetic temperature of {name} is {temperatures[name].estimate:.3g}, expected {low:.3g} "
                            f"to {high:.3g}: {why}")
    return Diagnostics(convergence, temperatures, warnings, traces)


def converge(values: np.ndarray) -> Convergence:
    """ESS and R-hat of every entry of (chains, draws, ...), by arviz-stats."""
    chains, draws = values.shape[:2]
    flat = np.moveaxis(values.reshape(chains, draws, -1), 2, 0)  # (entries, chains, draws)
    constant = np.ptp(flat, axis=(1, 2)) == 0
    ess, rhat = np.full((2, len(flat)), np.nan)
    if not constant.all():
        from arviz_stats.base import array_stats  # takes half a second

        moving = flat[~constant]
        if draws >= LEAST_FOR_ESS:
            ess[~constant] = np.minimum(array_stats.ess(moving, method="bulk"), chains * draws)
        if chains == 1:  # R-hat compares two halves; ESS of halves would see no correlation longer than they are
            moving = moving[..., : draws // 2 * 2].reshape(len(moving), 2, -1)
        rhat[~constant] = array_stats.rhat(moving, method="rank")
    return Convergence(ess.reshape(values.shape[2:]), rhat.reshape(values.shape[2:]))


def convergence_in_words(one: Convergence) -> str:
    """The worst of its entries."""
    if np.isnan(one.rhat).all():
        return "never changes"
    ess = f"ESS from {np.nanmin(one.ess):.0f}" if np.isfinite(one.ess).any() else (
        f"ESS not known of fewer than {LEAST_FOR_ESS} draws a chain")
    return f"{ess}, R-hat up to {np.nanmax(one.rhat):.3f}"


def largest_by_chance(chains: int, draws: int, entries: int) -> float:
    """R-hat that independent draws exceed in one of a hundred such quantities: between and within halves of chains, as
    they are and folded, by the law of F.
    """
    parts, length = (2 * chains, draws // 2) if chains > 1 else (4, draws // 4)
    ratio = quantile_of_f(parts - 1, parts * (length - 1), 1 - 0.01 / (2 * entries))
    return float(np.sqrt((length - 1 + ratio) / length))


def words(name: str, convergence: Convergence, chains: int, draws: int):
    """Warnings about one quantity."""
    if np.isnan(convergence.rhat).all():
        yield f"{name} never changes: the chains do not move; raise lr or temperature"
        return
    worst = np.unravel_index(np.nanargmax(convergence.rhat), convergence.rhat.shape)
    place = f" at index {', '.join(map(str, worst))}" if worst else ""
    if LARGEST_RHAT < convergence.rhat[worst] <= largest_by_chance(chains, draws, convergence.rhat.size):
        yield (f"R-hat {convergence.rhat[worst]:.2f} for the {name}{place}: so few draws may be as far apart by "
               "chance; collect more to know")
    elif convergence.rhat[worst] > LARGEST_RHAT:
        yield (f"R-hat {convergence.rhat[worst]:.2f} for the {name}{place}: chains disagree, lengthen burn_in"
               if chains > 1 else
               f"R-hat {convergence.rhat[worst]:.2f} for the {name}{place}: its two halves disagree, lengthen burn_in")
    least = np.nanmin(convergence.ess) if np.isfinite(convergence.ess).any() else np.inf
    if least < SMALLEST_ESS:
        yield f"only {least:.0f} effective samples of the {name}: collect more draws, or raise thin"


def trace_plot(diagnostics: Diagnostics) -> Figure:
    """One panel a quantity, one line a chain."""
    count = len(diagnostics.traces)
    figure = Figure(figsize=(8, 2 * count + 0.5), dpi=100)
    for panel, (name, values) in zip(np.ravel(figure.subplots(count, 1, sharex=True)), diagnostics.traces.items()):
        panel.plot(values.T, lw=0.8)
        panel.set_ylabel(name)
    panel.set_xlabel("draw")
    figure.tight_layout()
    return figure
