"""25 Gaussians: one GAN and a posterior ensemble, as they are and resampled, with raw, calibrated and refitted ratios.

The benchmark of Azadi et al. 2019 and Turner et al. 2019, whose toy code was never published, with all its settings here.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from bayesgan.data import Dataset
from bayesgan.ensemble import Ensemble
from bayesgan.basics.errors import InputError
from bayesgan.evaluation.clusters import grid_coverage
from bayesgan.experiments.registry import EXPERIMENTS, save_results
from bayesgan.experiments.runs import trained_all
from bayesgan.basics.files import write_atomically
from bayesgan.networks import NETWORKS
from bayesgan.objectives import real_score
from bayesgan.store.posterior import load_posterior
from bayesgan.basics.randomness import keyed_generator
from bayesgan.resampling import RULES, LatentProposal, Resampler, boosted_score
from bayesgan.options.options import Options
from bayesgan.store.run_folder import RunFolder

__all__ = ["run"]

MODELS = {"one GAN": {"ml": True}, "posterior": {"keep": 3}}  # 10 generators, temperature 1; 3 draws of them
RATIOS = ("raw", "calibrated", "refitted")  # refitted: boosting against the frozen mixture, then calibrated
METHODS = {"DRS": {"percentile": 95.0}, "MH": {}, "OBRS": {}}
SAVES = 3  # points of training that are looked at
SAMPLES = 10_000
FIGURES = {"modes": "modes", "high_quality": "high quality", "divergence": "JSD", "mode_std": "mode sd"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", type=int, default=5, help="runs of each model")
    parser.add_argument("--train_iter", "--train-iter", type=int, default=6000, help="iterations of each run")
    parser.add_argument("--budget", type=int, default=100, help="proposals an output")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="outputs behind each figure")
    parser.add_argument("--trees", type=int, default=300, help="of the refitted ratio")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time")


def run(arguments: argparse.Namespace) -> None:
    """Trains what is missing, prints the table at the end of training, writes results.json, curves.png, scatter.png."""
    if arguments.seeds < 1 or arguments.budget < 2 or arguments.samples < 1000 or arguments.train_iter < 2 * SAVES:
        raise InputError(f"--seeds must be at least 1, --budget 2, --samples 1000 and --train_iter {2 * SAVES}, got {arguments.seeds}, "
                         f"{arguments.budget}, {arguments.samples} and {arguments.train_iter}")
    every = arguments.train_iter // SAVES
    wanted = {
        arguments.out_dir / model.replace(" ", "_") / f"seed{seed}": {
            "dataset": "gaussians25", "train_iter": arguments.train_iter, "random_seed": seed, "n_save": every,
            "save_weights": True, **settings}
        for seed in range(arguments.seeds) for model, settings in MODELS.items()
    }
    runs = trained_all(wanted, semi=False, jobs=arguments.jobs)
    rows, shown = [], {}
    for place, path in runs.items():
        model, seed = place.parent.name.replace("_", " "), int(place.name.removeprefix("seed"))
        folder = RunFolder.open(path)
        options, data = folder.options(), folder.load_data()
        saved = sorted(path.glob("weights_*.npz"), key=lambda file: int(file.stem.split("_")[1]))
        for file in saved:
            iteration, last = int(file.stem.split("_")[1]), file == saved[-1]
            if last:
                posterior = load_posterior(path)
                networks, ratios, count = (posterior.generators, posterior.discriminators), RATIOS, arguments.samples
            else:
                networks, ratios, count = load_weights(file, options, data), RATIOS[:2], max(1000, arguments.samples // 4)
            samples = resampled(*networks, options.z_dim, data, arguments.budget, seed, ratios, count, arguments.trees)
            for (ratio, method), drawn in samples.items():
                rows.append({"model": model, "seed": seed, "iteration": iteration, "ratio": ratio, "method": method,
                             **{k: getattr(grid_coverage(drawn), k) for k in FIGURES}})
                if last and seed == 0:
                    shown[model, ratio, method] = drawn
        print(f"resampled {place}", flush=True)
    table = end_table(rows, arguments)
    print(table)
    arguments.out_dir.mkdir(parents=True, exist_ok=True)
    command = (f"python -m bayesgan.experiments gaussians25 --seeds {arguments.seeds} --train_iter {arguments.train_iter} "
               f"--budget {arguments.budget} --samples {arguments.samples} --trees {arguments.trees}")
    save_results(arguments.out_dir / "results.json", command, rows)
    for name, figure in (("curves", curves(rows)), ("scatter", scatter(shown))):
        write_atomically(arguments.out_dir / f"{name}.png", lambda path: figure.savefig(path, format="png"))
    write_atomically(arguments.out_dir / "table.md", lambda path: path.write_text(f"`{command}`\n\n{table}\n"))
    print(f"written to {arguments.out_dir}: results.json, table.md, curves.png, scatter.png")


def load_weights(file: Path, options: Options, data: Dataset) -> tuple[Ensemble, Ensemble]:
    """Generators and discriminators of a weights_<iter>.npz."""
    pair, ensembles = NETWORKS[options.network_for(data)], []
    with np.load(file, allow_pickle=False) as stored:
        for group, network, members in zip(("generators", "discriminators"), pair, (options.generators, options.discriminators)):
            ensembles.append(Ensemble(lambda: network(options.sizes(data.shape, 1)), members))
            ensembles[-1].load_state({name.split("/", 1)[1]: torch.from_numpy(stored[name]) for name in stored.files
                                      if name.startswith(f"{group}/")})
    return ensembles[0], ensembles[1]


def resampled(generators: Ensemble, discriminators: Ensemble, latent: int, data: Dataset, budget: int, seed: int,
              ratios: tuple[str, ...], count: int, trees: int) -> dict[tuple[str, str], Tensor]:
    """(ratio, method) -> outputs; every method picks from the same pool of count · budget proposals."""
    proposal = LatentProposal(generators.forward_member, latent, torch.ones(generators.members))

    def scores(x: Tensor) -> Tensor:
        return torch.stack([real_score(discriminators.forward_member(k, x)[0]) for k in range(discriminators.members)], 1)

    @torch.no_grad()
    def generate(n: int, source: torch.Generator) -> Tensor:
        return proposal.decode(proposal.draw(n, source))

    pool = torch.cat([generate(10_000, keyed_generator(seed, "pool", part))
                      for part in range(-(-count * budget // 10_000))])[: count * budget]
    drawn = {("-", "GAN"): pool[:count]}
    for ratio in ratios:
        score = scores
        if ratio == "refitted":
            score = boosted_score(lambda x: torch.cat([x, scores(x)], 1), data.train, generate, iterations=trees, seed=seed)
        log_ratio = Resampler.calibrated(proposal, score, data.calibration, calibration="none" if ratio == "raw" else "platt",
                                         seed=seed).log_ratio
        with torch.no_grad():
            log_w = torch.cat([log_ratio(part) for part in pool.split(100_000)])
        for method, settings in METHODS.items():
            try:
                picked = RULES[method.lower()](**settings).select(log_w, count, keyed_generator(seed, ratio, method)).picked
            except InputError as error:  # rejection can run out of proposals
                print(f"{method}, {ratio}: {error}", flush=True)
                continue
            drawn[ratio, method] = pool[picked]
    return drawn


def end_table(rows: list[dict], arguments: argparse.Namespace) -> str:
    """Markdown: mean ± sd over seeds at the end of training."""
    last = max(row["iteration"] for row in rows)
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        if row["iteration"] == last:
            groups.setdefault((row["model"], row["ratio"], row["method"]), []).append(row)
    lines = [f"| model | ratio | method | {' | '.join(FIGURES.values())} |", "|---" * (3 + len(FIGURES)) + "|"]
    for key, group in sorted(groups.items(), key=lambda item: list(MODELS).index(item[0][0])):
        values = [f"{np.mean([r[k] for r in group]):.{digits}f} ± {np.std([r[k] for r in group]):.{digits}f}"
                  for k, digits in zip(FIGURES, (1, 4, 4, 4))]
        lines.append(f"| {' | '.join([*key, *values])} |")
    return "\n".join([*lines, "", f"{arguments.seeds} seeds, {last} iterations, budget {arguments.budget}, {arguments.samples} samples"])


def curves(rows: list[dict]) -> Figure:
    """High quality and JSD over training, for every model, ratio and method; mean over seeds."""
    figure = Figure(figsize=(11, 7), dpi=100)
    panels = figure.subplots(2, len(MODELS), sharex=True, sharey="row")
    for column, model in enumerate(MODELS):
        for panel, key in zip(panels[:, column], ("high_quality", "divergence")):
            lines: dict[tuple, dict[int, list[float]]] = {}
            for row in rows:
                if row["model"] == model:
                    lines.setdefault((row["ratio"], row["method"]), {}).setdefault(row["iteration"], []).append(row[key])
            for (ratio, method), line in lines.items():
                style = {"-": "-", "raw": ":", "calibrated": "-", "refitted": "o"}[ratio]
                panel.plot(list(line), [np.mean(v) for v in line.values()], style, ms=5, label=f"{method} {ratio}".rstrip(" -"),
                           c="k" if method == "GAN" else f"C{list(METHODS).index(method)}")
            panel.set(title=model, xlabel="iteration", ylabel=FIGURES[key], yscale="linear" if key == "high_quality" else "log")
    panels[0, 0].legend(fontsize=7)
    figure.tight_layout()
    return figure


def scatter(shown: dict[tuple[str, str, str], Tensor]) -> Figure:
    """The first seed: GAN, and OBRS with each ratio."""
    columns = [("-", "GAN"), *((ratio, "OBRS") for ratio in RATIOS)]
    figure = Figure(figsize=(3 * len(columns), 3.2 * len(MODELS)), dpi=100)
    for line, model in zip(figure.subplots(len(MODELS), len(columns), squeeze=False), MODELS):
        for panel, (ratio, method) in zip(line, columns):
            points = shown[model, ratio, method].numpy()
            panel.scatter(points[:, 0], points[:, 1], s=1, linewidths=0)
            panel.set(title=f"{model}: {method}" + (f", {ratio}" if ratio != "-" else ""), xlim=(-1.8, 1.8), ylim=(-1.8, 1.8),
                      xticks=[], yticks=[])
    figure.tight_layout()
    return figure


EXPERIMENTS.register("gaussians25")((add_arguments, run))
