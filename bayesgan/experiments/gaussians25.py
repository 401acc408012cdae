"""What does resampling make of one GAN and of a posterior on 25 Gaussians, with raw, calibrated and boosted ratios?

The benchmark of Azadi et al. 2019 and Turner et al. 2019. Their code was never published; its settings are all here.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from bayesgan.basics.errors import InputError
from bayesgan.basics.randomness import keyed_generator
from bayesgan.basics.tables import mean_sd
from bayesgan.commands.resample import single_scores
from bayesgan.data import Dataset
from bayesgan.ensemble import Ensemble
from bayesgan.evaluation.clusters import grid_coverage
from bayesgan.experiments.cells import Cells
from bayesgan.experiments.registry import EXPERIMENTS, Experiment, Report
from bayesgan.experiments.runs import run_cells
from bayesgan.options import option
from bayesgan.resampling import RULES, DensityRatio, LatentProposal
from bayesgan.resampling.ratios.boosting import Boosting
from bayesgan.resampling.ratios.task import Task
from bayesgan.store.posterior import load_posterior
from bayesgan.store.run_folder import RunFolder

__all__ = ["Settings", "run"]

MODELS = {"one GAN": {"ml": True}, "posterior": {"keep": 3}}  # 10 generators, temperature 1; 3 draws of them
RATIOS = ("raw", "calibrated", "boosted")  # boosted: trees on the points and their neighbours, then calibrated
METHODS = {"DRS": {"percentile": 95.0}, "MH": {}, "OBRS": {}}
PLAIN = ("-", "GAN")  # ratio and method of what is not resampled
SHOWN = [PLAIN, *((ratio, "OBRS") for ratio in RATIOS)]  # in the scatter plot
SAVES = 3  # points of training that are looked at
FIGURES = {"modes": "modes", "high_quality": "high quality", "divergence": "JSD", "mode_std": "mode sd"}


@dataclass(frozen=True)
class Settings:
    seeds: int = option(5, "runs of each model", least=1)
    train_iter: int = option(6000, "iterations of each run", least=2 * SAVES)
    budget: int = option(100, "proposals an output", least=2)
    samples: int = option(10_000, "outputs behind each figure", least=1000)
    trees: int = option(150, "of the boosted ratio", least=1)
    jobs: int = option(1, "runs at the same time", least=1)


class Cell(NamedTuple):
    """One run."""

    model: str
    seed: int


def run(settings: Settings, cells: Cells) -> Report:
    """Trains what is missing, and resamples at some points of training."""
    flags = {"dataset": "gaussians25", "train_iter": settings.train_iter, "n_save": settings.train_iter // SAVES,
             "save_weights": True}
    wanted = {Cell(model, seed): {**flags, "random_seed": seed, **own}
              for seed in range(settings.seeds) for model, own in MODELS.items()}
    found = run_cells(
        cells, wanted, partial(measured, settings=settings), jobs=settings.jobs, budget=settings.budget,
        samples=settings.samples, trees=settings.trees, ratios=RATIOS, methods=METHODS,
    )
    rows = [{"model": key.model, "seed": key.seed, **row} for key in wanted for row in found[key]["rows"]]
    points = {model: found[Cell(model, 0)]["points"] for model in MODELS}
    note = (f"mean ± sd over {settings.seeds} seeds, {settings.train_iter} iterations, budget {settings.budget}, "
            f"{settings.samples} samples")
    pictures = {"curves": curves(rows), "scatter": scatter(points)}
    return Report(rows, end_table(rows, settings.train_iter), pictures, note)


def measured(key: Cell, run: RunFolder, settings: Settings) -> dict:
    """rows: the figures at every point of training, ratio and method; points: of the first seed, for the scatter."""
    latent, data, rows = run.options().z_dim, run.load_data(), []
    for number in range(1, SAVES):
        iteration = settings.train_iter // SAVES * number
        weights, count = run.load_weights(iteration), max(1000, settings.samples // 4)
        networks = [run.ensemble(group, weights[group]) for group in ("generators", "discriminators")]
        rows += figures(resampled(*networks, latent, data, settings, key.seed, RATIOS[:2], count), iteration)
    posterior = load_posterior(run.path)
    networks = posterior.generators, posterior.discriminators
    drawn = resampled(*networks, latent, data, settings, key.seed, RATIOS, settings.samples)
    rows += figures(drawn, settings.train_iter)
    return {"rows": rows, "points": [drawn[name].tolist() for name in SHOWN] if key.seed == 0 else []}


def figures(drawn: dict[tuple[str, str], Tensor], iteration: int) -> list[dict]:
    """A row of figures for each ratio and method."""
    rows = []
    for (ratio, method), samples in drawn.items():
        coverage = grid_coverage(samples)
        rows.append({"iteration": iteration, "ratio": ratio, "method": method,
                     **{name: getattr(coverage, name) for name in FIGURES}})
    return rows


def resampled(
    generators: Ensemble, discriminators: Ensemble, latent: int, data: Dataset, settings: Settings, seed: int,
    ratios: tuple[str, ...], count: int,
) -> dict[tuple[str, str], Tensor]:
    """(ratio, method) -> outputs (count, 2); every method picks from the same pool of count · budget proposals."""
    proposal = LatentProposal(generators.forward_member, latent, torch.ones(generators.members))
    scores = partial(single_scores, discriminators)

    @torch.no_grad()
    def generate(n: int, source: torch.Generator) -> Tensor:
        return proposal.decode(proposal.draw(n, source))

    total = count * settings.budget
    parts = [generate(10_000, keyed_generator(seed, "pool", part)) for part in range(-(-total // 10_000))]
    pool = torch.cat(parts)[:total]
    drawn = {PLAIN: pool[:count]}
    for ratio in ratios:
        score = scores
        if ratio == "boosted":
            score, _ = Boosting(settings.trees).fit(
                Task(proposal, data.train, data.calibration, None, "logit", None, seed))
        calibration = "none" if ratio == "raw" else "platt"
        log_ratio = DensityRatio.fit(score, data.calibration, proposal, calibration=calibration, seed=seed)
        with torch.no_grad():
            log_w = torch.cat([log_ratio(part) for part in pool.split(100_000)])
        for method, rule in METHODS.items():
            try:
                picked = RULES[method.lower()](**rule).select(log_w, count, keyed_generator(seed, ratio, method)).picked
            except InputError as error:  # rejection can run out of proposals
                print(f"{method}, {ratio}: {error}", flush=True)
                continue
            drawn[ratio, method] = pool[picked]
    return drawn


def end_table(rows: list[dict], end: int) -> list[dict[str, str]]:
    """Means over seeds at the end of training, one model after the other."""
    groups: dict[tuple[str, str, str], list[dict]] = {}
    for model in MODELS:
        for row in rows:
            if row["model"] == model and row["iteration"] == end:
                groups.setdefault((model, row["ratio"], row["method"]), []).append(row)
    return [
        {"model": model, "ratio": ratio, "method": method, "seeds": str(len(group)),  # rejection can fail for some
         **{title: mean_sd([row[name] for row in group], ".1f" if name == "modes" else ".4f")
            for name, title in FIGURES.items()}}
        for (model, ratio, method), group in groups.items()
    ]


def curves(rows: list[dict]) -> Figure:
    """High quality and JSD over training, for every model, ratio and method; mean over seeds."""
    styles = {"-": "-", "raw": ":", "calibrated": "-", "boosted": "o"}
    colours = {"GAN": "k", **{method: f"C{number}" for number, method in enumerate(METHODS)}}
    figure = Figure(figsize=(11, 7), dpi=100)
    panels = figure.subplots(2, len(MODELS), sharex=True, sharey="row")
    for column, model in zip(panels.T, MODELS, strict=True):
        own = [row for row in rows if row["model"] == model]
        for panel, key, scale in zip(column, ("high_quality", "divergence"), ("linear", "log"), strict=True):
            for ratio, method in dict.fromkeys((row["ratio"], row["method"]) for row in own):
                line = [row for row in own if (row["ratio"], row["method"]) == (ratio, method)]
                iterations = sorted({row["iteration"] for row in line})
                means = [np.mean([row[key] for row in line if row["iteration"] == at]) for at in iterations]
                panel.plot(iterations, means, styles[ratio], ms=5, c=colours[method], label=title(ratio, method, " "))
            panel.set(title=model, xlabel="iteration", ylabel=FIGURES[key], yscale=scale)
    panels[0, 0].legend(fontsize=7)
    figure.tight_layout()
    return figure


def scatter(points: dict[str, list]) -> Figure:
    """The first seed: GAN, and OBRS with each ratio."""
    figure = Figure(figsize=(3 * len(SHOWN), 3.2 * len(MODELS)), dpi=100)
    for line, (model, own) in zip(figure.subplots(len(MODELS), len(SHOWN)), points.items(), strict=True):
        for panel, (ratio, method), drawn in zip(line, SHOWN, own, strict=True):
            panel.scatter(*np.array(drawn).T, s=1, linewidths=0)
            panel.set(title=f"{model}: {title(ratio, method, ', ')}", xticks=[], yticks=[])
            panel.set(xlim=(-1.8, 1.8), ylim=(-1.8, 1.8))
    figure.tight_layout()
    return figure


def title(ratio: str, method: str, between: str) -> str:
    return method if ratio == "-" else f"{method}{between}{ratio}"


EXPERIMENTS.register("gaussians25")(Experiment(Settings, run, __doc__))
