"""Does resampling help real images? Coverage, class score, Frechet distance and a two-sample test, before and after."""

import argparse
from pathlib import Path

import torch

from bayesgan.data import to_bytes, to_float
from bayesgan.errors import InputError
from bayesgan.evaluation.image_scores import Judge, two_sample_auc
from bayesgan.evaluation.pictures import save_picture
from bayesgan.experiments.registry import EXPERIMENTS, save_results
from bayesgan.experiments.runs import trained
from bayesgan.resample import posterior_resampler
from bayesgan.training.options import load_data, resolve

__all__ = ["run"]

RUN = {"num_gen": 5, "num_mcmc": 1, "df_dim": 32, "z_dim": 64, "batch_size": 32, "keep": 3, "n_save": 1000}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dataset", default="mnist", help="any labelled image set (default: mnist)")
    parser.add_argument("--data_path", "--data-path", type=Path, default=Path("datasets"), help="where the data is")
    parser.add_argument("--train_iter", "--train-iter", type=int, default=2500, help="iterations of the run")
    parser.add_argument("--samples", type=int, default=2000, help="images behind each score")
    parser.add_argument("--budget", type=int, default=50, help="proposals an image")
    parser.add_argument("--methods", nargs="+", default=["obrs", "mh"], help="selection rules")
    parser.add_argument("--refit_steps", "--refit-steps", type=int, default=500, help="minibatches of the refitted ratio")
    parser.add_argument("--judge_steps", "--judge-steps", type=int, default=1500, help="training of the judging classifier")


def run(arguments: argparse.Namespace) -> None:
    """Trains what is missing, prints the table, writes results.json, before.png and after.png."""
    if arguments.samples < 100 or arguments.judge_steps < 1 or arguments.refit_steps < 1:
        raise InputError(f"--samples must be at least 100, --judge_steps and --refit_steps 1, got {arguments.samples}, "
                         f"{arguments.judge_steps} and {arguments.refit_steps}")
    given = {**RUN, "dataset": arguments.dataset, "data_path": arguments.data_path, "train_iter": arguments.train_iter}
    data = load_data(resolve(given)[0])
    if not data.is_images or data.test_labels is None:
        raise InputError(f"--dataset must be labelled images, {data.name} is not; for example mnist")
    folder = trained(arguments.out_dir / "run", given)
    judge = Judge(data.train, data.train_labels, data.test, data.test_labels, arguments.judge_steps)
    plain = posterior_resampler(folder, arguments.methods[0], arguments.budget)
    refitted = posterior_resampler(folder, arguments.methods[0], arguments.budget, refit="network",
                                   refit_steps=arguments.refit_steps)
    sets = {"real, held out": to_float(data.test[: arguments.samples]),
            "posterior": plain.with_method("obrs", 1).sample(arguments.samples, seed=1)}
    for name, resampler in (("calibrated", plain), ("refitted", refitted)):
        for method in arguments.methods:
            chosen = resampler.with_method(method)
            sets[f"{method}, {name}"] = chosen.sample(arguments.samples, seed=1)
            print(chosen.diagnostics)
    rows = {}
    print(f"\n{len(sets['posterior'])} images each; judge's accuracy on real test images {judge.accuracy:.4f}")
    print(f"{'':22}classes   class score   Frechet   two-sample AUC (.5 is best)")
    for name, images in sets.items():
        images = to_bytes(images)  # as real images are stored, or a classifier tells them by their grey levels
        # the fresh classifier always meets real training images it can have memorised nothing of
        rows[name] = {**judge.scores(images), "two_sample_auc": two_sample_auc(data.train[-arguments.samples:], images),
                      "judge_accuracy": judge.accuracy}
        print(f"{name:22}{rows[name]['covered']:4}      {rows[name]['class_score']:8.2f}    {rows[name]['frechet']:8.2f}   "
              f"{rows[name]['two_sample_auc']:.3f}")
    command = (f"python -m bayesgan.experiments mnist_resampling --dataset {arguments.dataset} --train_iter {arguments.train_iter} "
               f"--samples {arguments.samples} --budget {arguments.budget} --methods {' '.join(arguments.methods)} "
               f"--refit_steps {arguments.refit_steps} --judge_steps {arguments.judge_steps}")
    save_results(arguments.out_dir / "results.json", command, rows)
    save_picture(arguments.out_dir / "before.png", sets["posterior"][:100], torch.empty(0))
    save_picture(arguments.out_dir / "after.png", list(sets.values())[-1][:100], torch.empty(0))
    print(f"written to {arguments.out_dir}: results.json, before.png, after.png")


EXPERIMENTS.register("mnist_resampling")((add_arguments, run))
