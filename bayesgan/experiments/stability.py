"""What decides whether a GAN diverges, collapses or converges? The rates of both players, and one factor at a time.

On the zeros of MNIST with the network of the recipe perceptron-zeros, and on ten clusters in 100 dimensions.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from torch import Tensor

from bayesgan.basics.errors import Diverged
from bayesgan.data import Dataset
from bayesgan.evaluation.verdicts import CRITERIA, VERDICTS, Verdict, Yardstick
from bayesgan.experiments.cells import Cells
from bayesgan.experiments.registry import EXPERIMENTS, Experiment, Report
from bayesgan.options import Options, load_data, option, resolve
from bayesgan.store.config import as_json
from bayesgan.training.algorithm import Trainer
from bayesgan.training.loop import Due
from bayesgan.training.losses import Losses
from bayesgan.training.minibatches import latent_draw

__all__ = ["Settings", "run"]

BASES = {
    "zeros": {"recipe": "perceptron-zeros"},
    "mixture": {"dataset": "synthetic", "ml": True, "num_disc": 1, "df_dim": 128, "gf_dim": 128},
}
PLAYERS = {"ML": {}, **{f"Bayesian {count}": {"ml": False, "num_gen": count} for count in (1, 5, 10)}}
MAPPED = ("ML", "Bayesian 5")  # whose rates are varied together
FACTORS = {  # and who tries their values
    "rates": MAPPED, "batch": ("ML",), "d_steps": ("ML",), "width": ("ML",), "noise": ("ML",), "objective": ("ML",),
    "generators": tuple(PLAYERS), "temperature": ("Bayesian 5",),
}
BASE = "base"
RATES = (0.25, 1, 4, 16)  # times the base's
ENDS = (0.25, 4)  # times the base's batch and widths
FIGURES = {  # columns of the table, and their formats
    "zeros": {"distance": ".2f", "diversity": ".2f", "d_loss": ".2f"},
    "mixture": {"distance": ".2f", "diversity": ".2f", "clusters": ".0f", "d_loss": ".2f"},
}
CHECK_EVERY = 100  # iterations between looks at the losses
EXPLODED = 1e4  # mean loss of so many iterations: diverged above, though it is finite


@dataclass(frozen=True)
class Settings:
    data_path: Path = option(Path("datasets"), "where MNIST is")
    datasets: tuple[str, ...] = option(tuple(BASES), "data sets", choices=BASES)
    factors: tuple[str, ...] = option(tuple(FACTORS), "what is varied", choices=FACTORS)
    players: tuple[str, ...] = option(tuple(PLAYERS), "who tries it, besides the base", choices=PLAYERS)
    train_iter: int = option(1000, "iterations of each GAN", least=2)
    seeds: int = option(3, "GANs of each kind", least=1)


class Cell(NamedTuple):
    """One GAN: who plays, and what is not as in the base."""

    dataset: str
    players: str
    change: str
    seed: int


def run(settings: Settings, cells: Cells) -> Report:
    """Trains and judges what is not there yet."""
    results = {}
    for dataset in settings.datasets:
        own = results[dataset] = {players: {} for players in PLAYERS}
        tools = cache(partial(data_and_yardstick, settings, dataset))  # the same for every change
        for key, given in wanted(settings, dataset).items():
            options, _ = resolve(given)
            found = cells.cell(key, {**as_json(options), **CRITERIA, "exploded": EXPLODED},
                               partial(trained_and_judged, options, tools))
            own[key.players].setdefault(key.change, []).append(found)
            print(f"{', '.join(map(str, key))}: {found['word']}", flush=True)
    pictures = {f"rates_{dataset}": plot(own, dataset) for dataset, own in results.items()
                if "rates" in settings.factors and set(MAPPED) & set(settings.players)}
    floors = ", ".join(f"{own['ML'][BASE][0]['floor']:.3f} ({dataset})" for dataset, own in results.items())
    note = (f"{settings.train_iter} iterations, {settings.seeds} seeds; figures are medians over those that did not "
            f"diverge; the distance of real data is {floors}")
    return Report(results, table(results), pictures, note)


def wanted(settings: Settings, dataset: str) -> dict[Cell, dict]:
    """Every GAN of a data set -> its options, as a user gives them."""
    base = based(settings, dataset)
    known = changes(resolve(base)[0])
    tried = {("ML", BASE): {}, **{(players, change): flags for factor in settings.factors
                                  for change, flags in known[factor].items()
                                  for players in FACTORS[factor] if players in settings.players}}
    return {Cell(dataset, players, change, seed): {**base, **PLAYERS[players], **flags, "random_seed": seed}
            for seed in range(settings.seeds) for (players, change), flags in tried.items()}


def based(settings: Settings, dataset: str) -> dict:
    """The options of the base."""
    return {**BASES[dataset], "data_path": settings.data_path, "train_iter": settings.train_iter}


def data_and_yardstick(settings: Settings, dataset: str) -> tuple[Dataset, Yardstick]:
    data = load_data(resolve(based(settings, dataset))[0])
    return data, Yardstick(data)


def changes(base: Options) -> dict[str, dict[str, dict]]:
    """Factor -> each change, in words -> flags."""
    return {
        "rates": {rates_in_words(g, d): {name: times * base.lr for name, times in (("g_lr", g), ("d_lr", d))
                                         if times != 1} for g in RATES for d in RATES},
        "batch": {f"batch x{times:g}": {"batch_size": round(times * base.batch_size)} for times in ENDS},
        "d_steps": {f"d_steps {steps}": {"d_steps": steps} for steps in (2, 5)},
        "width": {f"width x{times:g}": {name: round(times * getattr(base, name)) for name in ("gf_dim", "df_dim")}
                  for times in ENDS},
        "noise": {f"z_dim {size}": {"z_dim": size} for size in (2, 200)},
        "objective": {f"objective {name}": {"objective": name} for name in ("least_squares", "wasserstein")},
        "generators": {BASE: {}},
        "temperature": {f"temperature {value:g}": {"temperature": value} for value in (0.0, 0.1)},
    }


def rates_in_words(g: float, d: float) -> str:
    """The change to rates g and d times the base's."""
    words = [f"{name} x{times:g}" for name, times in (("g_lr", g), ("d_lr", d)) if times != 1]
    return " ".join(words) or BASE


def trained_and_judged(options: Options, tools: Callable[[], tuple[Dataset, Yardstick]]) -> dict:
    """The fields of a `Verdict`, and more.

    d_loss, g_loss: Of the last iterations, means over members; None where it diverged.
    floor: The distance of real data.
    reason: Of divergence, else "".

    A GAN is judged by its last generator, a Bayesian one by the mixture of all draws that a run would collect.
    """
    data, yardstick = tools()
    trainer = Trainer(options, data)
    history, collected, losses = [], [], {"d_loss": None, "g_loss": None}
    try:
        while trainer.iteration < options.train_iter:
            history.append(trainer.step())
            due = Due.after(trainer.iteration, options, stopping=False)
            if due.end or len(history) == CHECK_EVERY:
                losses = mean_losses(trainer, history)
                history = []
            if due.collect:
                collected.append(made(trainer, yardstick.count))
        everything = torch.cat(collected)
        chosen = torch.randperm(len(everything), generator=trainer.table("judged"))[: yardstick.count]
        verdict, reason = yardstick.verdict(everything[chosen]), ""
    except Diverged as error:
        verdict, reason, losses = Verdict("diverged"), str(error), dict.fromkeys(losses)
    return {**verdict._asdict(), **losses, "floor": yardstick.floor, "reason": reason}


def mean_losses(trainer: Trainer, history: list[Losses]) -> dict[str, float]:
    """d_loss and g_loss: means over members and iterations; raises Diverged where one is not finite or exploded."""
    trainer.check(history, trainer.iteration - len(history))
    mean = trainer.mean(history)
    losses = {"d_loss": float(mean.discriminators.mean()), "g_loss": float(mean.generators.mean())}
    for name, loss in losses.items():
        if abs(loss) > EXPLODED:
            raise Diverged(f"{name} was {loss:.3g} at iteration {trainer.iteration}")
    return losses


@torch.no_grad()
def made(trainer: Trainer, count: int) -> Tensor:
    """At least `count` samples of the present generators, as many of each: (n, ...)."""
    each = -(-count // trainer.options.generators)
    latent = latent_draw(each, trainer.options.z_dim, trainer.sources("judged", trainer.generators))
    return trainer.generators.ensemble.forward(latent, train=False).flatten(0, 1)


def table(results: dict) -> list[dict[str, str]]:
    """A row for each change, the data sets beside each other; of the rates those of one player."""
    rows = []
    everything = dict.fromkeys((players, change) for own in results.values() for players in PLAYERS
                               for change in own[players])
    for players, change in everything:
        if "g_lr" in change and "d_lr" in change:
            continue
        row = {"players": players, "change": change}
        for dataset, own in results.items():
            found = own[players][change]
            row[dataset] = ", ".join(verdicts(found))
            for figure, form in FIGURES[dataset].items():
                value = median(found, figure)
                row[f"{dataset}: {figure}"] = "-" if np.isnan(value) else format(value, form)
        rows.append(row)
    return rows


def verdicts(found: list[dict]) -> list[str]:
    """How many GANs got each verdict, the best first: "2 converged", "1 collapsed"."""
    counts = Counter(one["word"] for one in found)
    return [f"{counts[word]} {word}" for word in reversed(VERDICTS) if counts[word]]


def median(found: list[dict], figure: str) -> float:
    """Of the GANs that have the figure; NaN if none has."""
    values = [one[figure] for one in found if one[figure] is not None]
    return float(np.median(values)) if values else float("nan")


def plot(own: dict[str, dict[str, list[dict]]], dataset: str) -> Figure:
    """Maps of both players' rates: the median distance as colour, the verdicts in words; grey where all diverged."""
    mapped = [players for players in MAPPED if rates_in_words(*RATES[:2]) in own[players]]
    figure = Figure(figsize=(1 + 4.5 * len(mapped), 4.5), dpi=100, layout="constrained")
    axes = figure.subplots(1, len(mapped), squeeze=False)
    for panel, players in zip(axes[0], mapped):
        distances = np.full((len(RATES), len(RATES)), np.nan)  # (d_lr, g_lr)
        for row, d in enumerate(RATES):
            for column, g in enumerate(RATES):
                found = own[players][rates_in_words(g, d)]
                distance = distances[row, column] = median(found, "distance")
                words = verdicts(found) if np.isnan(distance) else [f"{distance:.2f}", *verdicts(found)]
                panel.text(column, row, "\n".join(words), ha="center", va="center", fontsize=7)
        image = panel.imshow(distances, norm=LogNorm(0.1, 3), cmap="RdYlGn_r", alpha=0.7, origin="lower")
        ticks = [f"{times:g}" for times in RATES]
        panel.set(title=f"{dataset}, {players}", xlabel="g_lr, times the base's", ylabel="d_lr, times the base's",
                  xticks=range(len(RATES)), yticks=range(len(RATES)), xticklabels=ticks, yticklabels=ticks,
                  facecolor="0.8")
    figure.colorbar(image, ax=axes, label="distance to real data", format="%g")
    return figure


EXPERIMENTS.register("stability")(Experiment(Settings, run, __doc__))
