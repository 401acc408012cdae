"""Does resampling help real images? Coverage, class score, Frechet distance and a two-sample test, before and after."""

import argparse
import dataclasses
from pathlib import Path

import torch

from bayesgan.data import to_float
from bayesgan.basics.errors import InputError
from bayesgan.evaluation.pictures import save_picture
from bayesgan.experiments.image_table import compare
from bayesgan.experiments.registry import EXPERIMENTS, save_results
from bayesgan.experiments.runs import trained
from bayesgan.commands.resample import posterior_resampler
from bayesgan.options.options import load_data, resolve
from bayesgan.store.run_folder import RunFolder

__all__ = ["run"]

RUN = {"num_gen": 5, "num_mcmc": 1, "df_dim": 32, "z_dim": 64, "batch_size": 32, "keep": 3, "n_save": 1000}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", type=Path, help="an existing run on labelled images (default: one is trained)")
    parser.add_argument("--dataset", default="mnist", help="any labelled image set (default: mnist)")
    parser.add_argument("--data_path", "--data-path", type=Path, default=Path("datasets"), help="where the data is")
    parser.add_argument("--train_iter", "--train-iter", type=int, default=2500, help="iterations of the run")
    parser.add_argument("--samples", type=int, default=2000, help="images behind each score")
    parser.add_argument("--budget", type=int, default=50, help="proposals an image")
    parser.add_argument("--draws", type=int, help="only so many of the run's newest draws (default: all)")
    parser.add_argument("--methods", nargs="+", default=["obrs", "mh"], help="selection rules")
    parser.add_argument("--refit_steps", "--refit-steps", type=int, default=500, help="minibatches of the refitted ratio")
    parser.add_argument("--judge_steps", "--judge-steps", type=int, default=1500, help="training of the judging classifier")


def run(arguments: argparse.Namespace) -> None:
    """Trains what is missing, prints the table, writes results.json, before.png and after.png."""
    if arguments.samples < 100 or arguments.judge_steps < 1 or arguments.refit_steps < 1:
        raise InputError(f"--samples must be at least 100, --judge_steps and --refit_steps 1, got {arguments.samples}, "
                         f"{arguments.judge_steps} and {arguments.refit_steps}")
    given = {**RUN, "dataset": arguments.dataset, "data_path": arguments.data_path, "train_iter": arguments.train_iter}
    options = resolve(given)[0] if arguments.run is None else RunFolder.open(arguments.run).options()
    # with all labels, also those that a semi-supervised run never read: the judge is not part of the run
    data = load_data(dataclasses.replace(options, N=None))
    if not data.is_images or data.test_labels is None:
        raise InputError(f"--dataset must be labelled images, {data.name} is not; for example mnist")
    folder = arguments.run or trained(arguments.out_dir / "run", given)
    plain = posterior_resampler(folder, arguments.methods[0], arguments.budget, draws=arguments.draws)
    refitted = posterior_resampler(folder, arguments.methods[0], arguments.budget, refit="network",
                                   refit_steps=arguments.refit_steps, draws=arguments.draws)
    sets = {"real, held out": to_float(data.test[: arguments.samples]),
            "posterior": plain.with_method("obrs", 1).sample(arguments.samples, seed=1)}
    for name, resampler in (("calibrated", plain), ("refitted", refitted)):
        for method in arguments.methods:
            chosen = resampler.with_method(method)
            sets[f"{method}, {name}"] = chosen.sample(arguments.samples, seed=1)
            print(chosen.diagnostics)
    rows = compare(sets, data, arguments.judge_steps)
    arguments.out_dir.mkdir(parents=True, exist_ok=True)
    command = ("python -m bayesgan.experiments mnist_resampling "
               + ("--run RUN" if arguments.run else f"--dataset {arguments.dataset} --train_iter {arguments.train_iter}")
               + f" --samples {arguments.samples} --budget {arguments.budget} --methods {' '.join(arguments.methods)} "
               + (f"--draws {arguments.draws} " if arguments.draws else "") +
               f"--refit_steps {arguments.refit_steps} --judge_steps {arguments.judge_steps}")
    save_results(arguments.out_dir / "results.json", command, rows)
    save_picture(arguments.out_dir / "before.png", sets["posterior"][:100], torch.empty(0))
    save_picture(arguments.out_dir / "after.png", list(sets.values())[-1][:100], torch.empty(0))
    print(f"written to {arguments.out_dir}: results.json, before.png, after.png")


EXPERIMENTS.register("mnist_resampling")((add_arguments, run))
