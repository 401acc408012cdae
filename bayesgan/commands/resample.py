"""From a run folder to corrected samples: `python -m bayesgan resample RUN`."""

import argparse
import dataclasses
import os
import shutil
from pathlib import Path

import torch
from torch import Tensor

from bayesgan.basics.devices import pick_device
from bayesgan.basics.errors import InputError, refuse_count
from bayesgan.basics.files import save_figure, write_arrays, write_json
from bayesgan.basics.locks import only_writer
from bayesgan.basics.randomness import keyed_generator
from bayesgan.data import some, to_bytes, to_float
from bayesgan.data.dataset import UNKNOWN
from bayesgan.ensemble import Ensemble
from bayesgan.evaluation.classification import CHUNK
from bayesgan.evaluation.image_scores import Judge
from bayesgan.evaluation.pictures import save_picture
from bayesgan.objectives import OBJECTIVES, real_score
from bayesgan.options import finite, load_data
from bayesgan.resampling import (
    CALIBRATIONS,
    LEAST_JUDGED,
    RATIOS,
    RULES,
    LatentProposal,
    Resampler,
    judged_resampler,
    ratio_figure,
    refit,
)
from bayesgan.resampling.calibration import LEAST
from bayesgan.resampling.ratios.fitting import AUTO
from bayesgan.resampling.resampler import usual_budget
from bayesgan.store import Posterior, RunFolder

__all__ = ["add_arguments", "posterior_resampler", "resample_run", "run"]

SCORED, LEAST_SCORED = 2000, 100  # images that a judge looks at, before and after


def posterior_resampler(
    run_folder: Path | str,
    method: str = "obrs",
    budget: int | None = None,
    *,
    ratio: str = "auto",
    calibration: str = "platt",
    refit_steps: int = 0,
    draws: int | None = None,
    weights: list[float] | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    data_path: Path | None = None,
    **settings,
) -> Resampler:
    """The mixture of all collected generators, corrected by a density ratio that is judged by the samples it leads to.

    Ratios are fitted on the run's training data, calibrated and judged on what it put aside with
    --calibration_fraction. The score is the average of all collected discriminators; a semi-supervised run's newest
    discriminators are the features.

    Args:
        budget: Default 20 for images, 100 for vectors.
        ratio: As of `Resampler.calibrated`.
        refit_steps: Minibatches of 256 by which the discriminators are first trained on against the frozen mixture.
        draws: Only so many of the newest collected draws, which costs less; default all.
        weights: One positive number a generator (draws x members); default equal.
        data_path: Where the run's data is now, if it has moved.
        settings: Of the method; see `Resampler`.

    Raises:
        ValueError: If the run has no draws, no held-out data, or its data is absent.
    """
    refuse_count(refit_steps, "refit_steps", least=0, remedy="0 leaves the discriminators as they are")
    if draws is not None:
        refuse_count(draws, "draws", remedy="leave it out to use all")
    folder = RunFolder.open(run_folder)
    posterior = Posterior(folder, device, folder.store.opened(draws))
    options = posterior.options
    data = folder.load_data(data_path)
    held_out, least = len(data.calibration), LEAST_JUDGED if ratio == AUTO else 2 * LEAST
    if held_out < least:
        raise InputError(f"--ratio {ratio} needs {least} held-out data and {run_folder} held out {held_out} of "
                         f"{held_out + len(data.train)}; train a run on more data, or with a larger "
                         "--calibration_fraction (0.1 is usual)")
    generators, discriminators = posterior.generators, posterior.discriminators
    shares = torch.ones(generators.members) if weights is None else torch.tensor(weights, dtype=torch.float64)
    if len(shares) != generators.members:
        raise InputError(f"weights must name all {generators.members} generators, got {len(shares)}")

    def decode(member: int, latent: Tensor) -> Tensor:
        return torch.cat([generators.forward_member(member, part) for part in latent.split(CHUNK)])

    def score(batch: Tensor) -> Tensor:  # (n, ...) -> (n, K)
        return torch.cat([single_scores(discriminators, part) for part in batch.split(CHUNK)])

    newest = range(discriminators.members - options.num_disc, discriminators.members)

    def features(batch: Tensor) -> Tensor:  # (n, ...) -> (n, num_disc · F)
        return torch.cat([torch.cat([discriminators.forward_member(k, part)[1] for k in newest], 1)
                          for part in batch.split(CHUNK)])

    proposal = LatentProposal(decode, options.z_dim, shares, device)
    training, real = (to_float(part).to(device) for part in (data.train, data.calibration))
    few = len(training) < LEAST_JUDGED
    if few:
        print(f"the {len(training)} training data of {run_folder} are left out: ratios are fitted on {LEAST_JUDGED} or "
              "more")
    Resampler(proposal, score, method, budget or 1, **settings)  # refuses wrong options before a refit
    if refit_steps:
        refit_discriminators(discriminators, proposal, training, refit_steps, seed)
    return judged_resampler(
        proposal, score, real, ratio=ratio, features=features if options.semi else None,
        training=None if few else training,
        kind="logit" if refit_steps else OBJECTIVES[options.objective].score, calibration=calibration, method=method,
        budget=budget, seed=seed, chunk=4096, strict=False, **settings,
    )


def single_scores(discriminators: Ensemble, batch: Tensor) -> Tensor:
    """Log odds of being real by each discriminator: (n, ...) -> (n, K)."""
    members = range(discriminators.members)
    return torch.stack([real_score(discriminators.forward_member(k, batch)[0]) for k in members], 1)


def refit_discriminators(
    discriminators: Ensemble, proposal: LatentProposal, training: Tensor, steps: int, seed: int
) -> None:
    """Trains the discriminators on against the frozen mixture, in place."""
    def learning(batch: Tensor) -> Tensor:
        logits, _ = discriminators.forward(batch.expand(discriminators.members, *batch.shape), train=False)
        return real_score(logits).T

    losses = refit(
        learning, discriminators.parameters.values(), lambda rows: training[rows.to(training.device)], len(training),
        lambda n, source: proposal.decode(proposal.draw(n, source)), steps=steps, seed=seed,
    )
    print(f"refitted {discriminators.members} discriminators: loss {losses[0]:.3f} -> {losses[-1]:.3f} (chance 1.386)")


def judged(folder: RunFolder, resampler: Resampler, seed: int, steps: int, data_path: Path | None) -> dict | None:
    """What a classifier of the data's labels, trained here, thinks of samples before and after; None without labels.

    Each figure is a list: before and, unless samples are plain, after.

    All labels are read, also those that a semi-supervised run never was given: the judge is no part of the run.
    """
    options = dataclasses.replace(folder.options(), N=None)
    data = load_data(dataclasses.replace(options, data_path=Path(data_path or options.data_path)))
    if not data.is_images or data.test_labels is None or len(data.test) < 2 * LEAST_SCORED:
        return None
    known = data.train_labels != UNKNOWN
    count = min(SCORED, len(data.test) // 2)
    reference = data.test[torch.randperm(len(data.test), generator=keyed_generator(seed, "reference"))[:count]]
    judge = Judge(data.train[known], data.train_labels[known], data.test, data.test_labels, steps, seed, reference)
    codes = resampler.proposal.draw(count, keyed_generator(seed, "judged"))
    with torch.no_grad():
        before = torch.cat([resampler.proposal.decode(codes.rows(slice(at, at + 1000))).cpu()
                            for at in range(0, count, 1000)])
    sets = [before] if resampler.plain else [before, resampler.sample(count, seed + 1).cpu()]
    scores = [judge.scores(to_bytes(images)) for images in sets]
    named = {name: [score[name] for score in scores]
             for name in ("class_score", "class_kl", "frechet", "precision", "recall")}
    words = "  ".join(f"{name.replace('_', ' ')} {' -> '.join(f'{value:.3g}' for value in values)}"
                      for name, values in named.items())
    print(f"{count} images by a classifier that is right on {judge.accuracy:.1%} of real ones: {words}")
    return {"images": count, "accuracy": judge.accuracy, **named}


def resample_run(
    run_folder: Path, n: int, seed: int = 0, judge_steps: int = 0, wait: bool = False, **options
) -> Path:
    """Resamples a run and writes what came of it.

    RUN/resampled/<method>_<budget>_<seed>/: samples.npz, pictures before and after, diagnostics.json, ratio.png.

    Args:
        judge_steps: Training of a classifier that judges images before and after, where there are labels; 0 for none.
        wait: Until another resampling of the run has ended, rather than raise.
        options: As of `posterior_resampler`.

    Returns:
        The folder; what it held before is replaced as a whole.
    """
    refuse_count(n)
    folder = RunFolder.open(run_folder)
    place = folder.path / "resampled"
    place.mkdir(exist_ok=True)
    with only_writer(place, "resampled", wait):
        return resampled(folder, n, seed, judge_steps, options)


def resampled(folder: RunFolder, n: int, seed: int, judge_steps: int, options: dict) -> Path:
    """What `resample_run` does, by the only process that does it."""
    newest = folder.newest_step
    resampler = posterior_resampler(folder.path, seed=seed, **options)
    options.pop("device", None)
    data = folder.load_data(options.get("data_path"))
    samples = resampler.sample(n, seed).cpu()
    # as asked for, also where plain samples are given
    budget = options.get("budget") or usual_budget(data.shape)
    whole = folder.path / "resampled" / f"{options.get('method', 'obrs')}_{budget}_{seed}"
    place = whole.with_name(f".{whole.name}.{os.getpid()}.partial")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    arrays = to_bytes(samples) if data.is_images else Posterior(folder, "cpu").in_units(samples)
    write_arrays(place / "samples.npz", {"x": arrays.numpy()}, compressed=True)
    with torch.no_grad():
        codes = resampler.proposal.draw(min(n, 1000), keyed_generator(seed, "before"))
        before = resampler.proposal.decode(codes).cpu()
    real = to_float(some(data.train, 2000))
    save_picture(place / "before.png", before[:100] if data.is_images else before, real)
    save_picture(place / "after.png", samples[:100] if data.is_images else samples, real)
    shown = {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
    content = {"options": shown, "seed": seed, "newest_draw": newest, **resampler.diagnostics.as_dict()}
    told = str(resampler.diagnostics)
    if judge_steps:
        content["scores"] = judged(folder, resampler, seed, judge_steps, options.get("data_path"))
    write_json(place / "diagnostics.json", content)
    if not resampler.plain:
        save_figure(place / "ratio.png", ratio_figure(resampler.held_out_scores()))
    print(told)
    if whole.exists():
        print(f"replacing what was in {whole}")
        shutil.rmtree(whole)
    place.rename(whole)
    return whole


def method_settings() -> dict[str, tuple[type, set[str]]]:
    """Every setting of every selection rule: name -> (type, methods that have it)."""
    settings: dict[str, tuple[type, set[str]]] = {}
    for method in RULES:
        for field in dataclasses.fields(RULES[method]):
            kind, methods = settings.setdefault(field.name, (type(field.default), set()))
            methods.add(method)
    return settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="for example runs/bgan_digits_1700000000")
    parser.add_argument("--n", type=int, default=64, help="samples to write (default: 64)")
    parser.add_argument("--method", default="obrs", help=f"one of: {', '.join(RULES)} (default: obrs)")
    parser.add_argument("--budget", type=int, help="proposals a sample (default: 20 for images, 100 for vectors)")
    parser.add_argument(
        "--ratio", default="auto",
        help=f"one of: {', '.join(RATIOS)}, or auto: the one with the best samples, or none (default: auto)",
    )
    parser.add_argument("--calibration", default="platt", help=f"one of: {', '.join(CALIBRATIONS)} (default: platt)")
    parser.add_argument("--refit_steps", type=int, default=0,
                        help="minibatches by which the discriminators are first trained on (default: 0)")
    parser.add_argument("--draws", type=int, help="only so many of the newest collected draws (default: all)")
    parser.add_argument("--judge_steps", type=int, default=1000,
                        help="training of the classifier that judges 2,000 images before and after, of data with "
                             "labels; 0 for none (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, help="of proposals and selection (default: 0)")
    parser.add_argument("--device", default="cpu", help="where to compute (default: cpu)")
    parser.add_argument("--data_path", type=Path, help="where the run's data is now, if it has moved")
    settings = parser.add_argument_group("settings of single methods")
    for name, (kind, methods) in method_settings().items():
        help = f"of {', '.join(sorted(methods))}"
        settings.add_argument(f"--{name}", type=finite if kind is float else kind, default=argparse.SUPPRESS, help=help)


def run(arguments: argparse.Namespace) -> None:
    """The command line's arguments to a folder of samples."""
    given = {name: value for name, value in vars(arguments).items() if name != "command"}
    if given["judge_steps"] < 0:
        raise InputError(f"--judge_steps must be at least 0, got {given['judge_steps']}; 0 judges nothing")
    place = resample_run(given.pop("run"), **given | {"device": pick_device(given["device"])})
    print(f"look at {place / 'before.png'} and {place / 'after.png'}; samples in {place / 'samples.npz'}")
