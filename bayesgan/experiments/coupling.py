"""Does the cheap estimate of the sums over opponents cost quality? Mixture minibatches against all pairs (Algorithm 1
literally) at the same iterations, in turn in one process: synthetic JSD and errors on the digits with 100 labels."""

import argparse
import json
import time
from dataclasses import replace

import numpy as np
import torch
from matplotlib.figure import Figure

from bayesgan.data import Dataset, to_float
from bayesgan.basics.errors import InputError
from bayesgan.evaluation.classification import Predictive
from bayesgan.evaluation.clusters import plane_divergence
from bayesgan.experiments.registry import EXPERIMENTS, save_results
from bayesgan.basics.files import write_atomically
from bayesgan.training.algorithm import Trainer, latent_draw
from bayesgan.training.engine_choice import choose_engines
from bayesgan.options.options import Options, load_data, resolve

__all__ = ["run"]

COUPLINGS = {"full": {"coupling": "full"}, "mixture": {"coupling": "mixture"},
             "mixture, 16 each": {"coupling": "mixture", "gen_batch_size": 16}}  # images a generator makes an iteration
SAMPLES = 4000


@torch.no_grad()
def divergence(trainer: Trainer) -> float:
    """JSD (nats) of samples of the present generators."""
    latent = latent_draw(trainer.options.generators, SAMPLES // trainer.options.generators, trainer.options.z_dim, trainer.random("judged"))
    samples = trainer.generators.forward(latent, train=False)
    return plane_divergence(samples.transpose(0, 1).flatten(0, 1), trainer.data.train[:SAMPLES])


def errors(trainer: Trainer) -> float:
    """Errors of the present discriminators, averaged, on the test data."""
    predicted = Predictive.of(trainer.discriminators, to_float(trainer.data.test)).probabilities.argmax(1)
    return float((predicted != trainer.data.test_labels).sum())


# name -> flags, whether semi-supervised, figure, its name
TASKS = {
    "synthetic": ({"dataset": "synthetic", "train_iter": 2000}, False, divergence, "JSD (nats)"),
    "labels": ({"dataset": "digits", "train_iter": 1000}, True, errors, "errors of 359"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", type=int, default=5, help="runs of each task and coupling")
    parser.add_argument("--discriminators", type=int, default=2, help="against ten generators; the paper's runs have two")
    parser.add_argument("--points", type=int, default=20, help="times that quality is measured in a run")
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of iterations")


def run(arguments: argparse.Namespace) -> None:
    """Trains what is not there yet, prints the table, writes results.json and coupling.png."""
    if min(arguments.seeds, arguments.discriminators) < 1 or arguments.points < 2 or not arguments.scale > 0:
        raise InputError(f"--seeds and --discriminators must be at least 1, --points 2 and --scale positive, got {arguments.seeds}, "
                         f"{arguments.discriminators}, {arguments.points} and {arguments.scale}")
    members = {"num_gen": 10, "num_disc": arguments.discriminators, "num_mcmc": 1}
    results = {}
    for task, (flags, semi, figure, _) in TASKS.items():
        length = max(arguments.points, int(flags["train_iter"] * arguments.scale) // arguments.points * arguments.points)
        courses = []
        for seed in range(arguments.seeds):
            place = arguments.out_dir / f"{task}_{length}_{arguments.points}_{arguments.discriminators}_seed{seed}.json"
            if not place.exists():
                given = {**flags, **members, "train_iter": length, "random_seed": seed, **({"label_seed": seed} if semi else {})}
                options, _ = resolve(given, semi)
                course = side_by_side(options, load_data(options), figure, length // arguments.points)
                place.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(place, lambda path: path.write_text(json.dumps(course)))
            courses.append(json.loads(place.read_text()))
            print(f"{task}, seed {seed}: " + ", ".join(
                f"{name} {courses[-1][name]['quality'][-1]:.4g} in {courses[-1][name]['seconds'][-1]:.0f} s" for name in COUPLINGS), flush=True)
        results[task] = {name: {key: np.array([course[name][key] for course in courses]) for key in ("seconds", "quality")}
                         for name in COUPLINGS}
    summary = {task: summarise(courses) for task, courses in results.items()}
    print(f"\n{arguments.seeds} seeds{'':29}at the end   an iteration   to full's quality (times as shares of full's)")
    for task, rows in summary.items():
        for name, row in rows.items():
            end = f"{row['end'][0]:.4g} ± {row['end'][1]:.2g} {TASKS[task][3]}"
            print(f"{task:11}{name:17}{end:>26}{row['iteration']:11.2f}{row['to_quality']:16.2f}")
    command = (f"python -m bayesgan.experiments coupling --seeds {arguments.seeds} --discriminators {arguments.discriminators} "
               f"--points {arguments.points} --scale {arguments.scale:g}")
    save_results(arguments.out_dir / "results.json", command, summary)
    picture = plot(results)
    write_atomically(arguments.out_dir / "coupling.png", lambda path: picture.savefig(path, format="png"))
    print(f"figures {arguments.out_dir / 'results.json'}, plot {arguments.out_dir / 'coupling.png'}")


def side_by_side(options: Options, data: Dataset, figure, every: int) -> dict:
    """All couplings from the same start, some iterations of each in turn: coupling -> training seconds and quality so far."""
    runs = {}
    for name in COUPLINGS:
        own = replace(options, **COUPLINGS[name])
        runs[name] = Trainer(own, data, engines=choose_engines(own, data, torch.device("cpu"))[0])
    course = {name: {"seconds": [], "quality": []} for name in COUPLINGS}
    spent = dict.fromkeys(COUPLINGS, 0.0)
    while runs["full"].iteration < options.train_iter:
        for name, trainer in runs.items():
            begun = time.perf_counter()
            history = [trainer.step() for _ in range(every)]
            spent[name] += time.perf_counter() - begun
            trainer.check(history, trainer.iteration - every)
            course[name]["seconds"].append(spent[name])
            course[name]["quality"].append(figure(trainer))
    return course


def summarise(courses: dict) -> dict:
    """Of each coupling: quality at the end (mean, sd), time for an iteration and to full's quality as shares of full's.

    The quality that full coupling reaches is its mean over seeds and the last quarter of the run; the time to it is that
    of the first point at which the mean over seeds is as good.
    """
    means = {name: {key: values.mean(0) for key, values in course.items()} for name, course in courses.items()}
    reached = means["full"]["quality"][-max(1, len(means["full"]["quality"]) // 4):].mean()
    when = {name: float(mean["seconds"][(mean["quality"] <= reached).argmax()]) if (mean["quality"] <= reached).any() else float("inf")
            for name, mean in means.items()}
    spread = lambda values: float(values.std(ddof=1)) if len(values) > 1 else 0.0  # noqa: E731
    return {name: {
        "end": (float(course["quality"][:, -1].mean()), spread(course["quality"][:, -1])),
        "iteration": float(means[name]["seconds"][-1] / means["full"]["seconds"][-1]),
        "to_quality": when[name] / when["full"], "quality_of_full": float(reached),
    } for name, course in courses.items()}


def plot(results: dict) -> Figure:
    """Quality over training time, every seed thin and the mean thick."""
    figure = Figure(figsize=(11, 4), dpi=100)
    for panel, (task, courses) in zip(figure.subplots(1, len(results)), results.items()):
        for color, (name, course) in enumerate(courses.items()):
            for seconds, quality in zip(course["seconds"], course["quality"]):
                panel.plot(seconds, quality, c=f"C{color}", lw=0.5, alpha=0.5)
            panel.plot(course["seconds"].mean(0), course["quality"].mean(0), c=f"C{color}", lw=2, label=name)
        panel.set(title=task, xlabel="seconds of training", ylabel=TASKS[task][3], yscale="log")
        panel.legend()
    figure.tight_layout()
    return figure


EXPERIMENTS.register("coupling")((add_arguments, run))
