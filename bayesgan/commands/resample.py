"""From a run folder to corrected samples: `python -m bayesgan resample RUN`."""

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bayesgan.data import to_bytes, to_float
from bayesgan.basics.devices import pick_device
from bayesgan.basics.errors import InputError
from bayesgan.evaluation.pictures import save_picture
from bayesgan.basics.files import write_atomically
from bayesgan.objectives import real_score
from bayesgan.store.posterior import Posterior
from bayesgan.basics.randomness import keyed_generator
from bayesgan.resampling import CALIBRATIONS, RULES, LatentProposal, Resampler, boosted_score, ratio_figure
from bayesgan.resampling import refit as refit_networks
from bayesgan.store.run_folder import RunFolder

__all__ = ["add_resample_arguments", "posterior_resampler", "resample_from", "resample_run"]

REFITS = ("none", "network", "boosting")
KINDS = {"standard": "logit", "least_squares": "least_squares", "wasserstein": "wasserstein"}  # objective -> kind of score


def posterior_resampler(
    run_folder: Path | str,
    method: str = "obrs",
    budget: int = 100,
    *,
    calibration: str = "platt",
    refit: str = "none",
    refit_steps: int | None = None,
    draws: int | None = None,
    weights: list[float] | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    data_path: Path | None = None,
    **settings,
) -> Resampler:
    """The mixture of all collected generators, corrected by the average of all collected discriminators.

    Calibrated on the training data that the run put aside with --calibration_fraction.

    Args:
        refit: What is done against the frozen mixture, on the training data, before the calibration. none: nothing.
            network: the discriminators are trained on. boosting: trees on their scores and, for vectors, the data.
        refit_steps: Minibatches of 256 (network, default 2000) or trees (boosting, default 300).
        draws: Only so many of the newest collected draws, which costs less; default all.
        weights: One positive number a generator (draws x members); default equal.
        data_path: Where the run's data is now, if it has moved.
        settings: Of the method; see `Resampler`.

    Raises:
        ValueError: If the run has no draws, no held-out data, or its data is absent.
    """
    if refit not in REFITS:
        raise InputError(f"refit must be one of: {', '.join(REFITS)}; got {refit!r}")
    if refit_steps is not None and (refit == "none" or refit_steps < 1):
        raise InputError(f"refit_steps must be at least 1 and needs refit network or boosting, got {refit_steps} with refit {refit}")
    if draws is not None and draws < 1:
        raise InputError(f"draws must be at least 1, got {draws}; leave it out to use all")
    folder = RunFolder.open(Path(run_folder))
    posterior = Posterior(folder, device, folder.store.draws[-(draws or 0):])
    options = posterior.options
    data = folder.load_data(data_path)
    if len(data.calibration) == 0:
        raise InputError(f"{run_folder} held out no data to calibrate on (--calibration_fraction 0); train a run with 0.1")
    generators, discriminators = posterior.generators, posterior.discriminators
    shares = torch.ones(generators.members) if weights is None else torch.tensor(weights, dtype=torch.float64)
    if len(shares) != generators.members:
        raise InputError(f"weights must name all {generators.members} generators, got {len(shares)}")
    proposal = LatentProposal(generators.forward_member, options.z_dim, shares, device)

    def score(batch: Tensor) -> Tensor:  # (n, ...) -> (n, K)
        members = range(discriminators.members)
        return torch.stack([real_score(discriminators.forward_member(k, batch)[0]) for k in members], 1)

    @torch.no_grad()
    def generate(n: int, source: torch.Generator) -> Tensor:
        return proposal.decode(proposal.draw(n, source))

    if refit == "network":
        def learning(batch: Tensor) -> Tensor:
            logits, _ = discriminators.forward(batch.expand(discriminators.members, *batch.shape), train=False)
            return real_score(logits).T

        train = data.train.to(device)
        losses = refit_networks(
            learning, discriminators.parameters.values(), lambda rows: to_float(train[rows.to(device)]), len(train),
            generate, steps=refit_steps or 2000, seed=seed,
        )
        print(f"refitted {discriminators.members} discriminators: loss {losses[0]:.3f} -> {losses[-1]:.3f} (chance 1.386)")
    if refit == "boosting":
        scores = score
        features = scores if data.is_images else lambda x: torch.cat([x, scores(x)], 1)
        score = boosted_score(features, to_float(data.train).to(device), generate, iterations=refit_steps or 300, seed=seed)
    return Resampler.calibrated(
        proposal, score, to_float(data.calibration).to(device),
        kind="logit" if refit != "none" else KINDS[options.objective], calibration=calibration, seed=seed, method=method,
        budget=budget, **settings,
    )


def resample_run(run_folder: Path, n: int, seed: int = 0, **options) -> Path:
    """Writes RUN/resampled/<method>_<budget>_<seed>/: samples.npz, pictures before and after, diagnostics.json, ratio.png.

    Args:
        options: As of `posterior_resampler`.

    Returns:
        The folder.
    """
    resampler = posterior_resampler(run_folder, seed=seed, **options)
    folder = RunFolder.open(Path(run_folder))
    options.pop("device", None)
    data = folder.load_data(options.get("data_path"))
    resampler.training = to_float(data.train)
    samples = resampler.sample(n, seed).cpu()
    place = folder.path / "resampled" / f"{resampler.method}_{resampler.budget}_{seed}"
    place.mkdir(parents=True, exist_ok=True)
    arrays = to_bytes(samples) if data.is_images else samples

    def write(path: Path) -> None:
        with open(path, "wb") as file:
            np.savez_compressed(file, x=arrays.numpy())

    write_atomically(place / "samples.npz", write)
    before = resampler.proposal.decode(resampler.proposal.draw(min(n, 1000), keyed_generator(seed, "before"))).detach().cpu()
    real = to_float(data.train[:2000])
    save_picture(place / "before.png", before[:100] if data.is_images else before, real)
    save_picture(place / "after.png", samples[:100] if data.is_images else samples, real)
    content = {"options": {k: str(v) if isinstance(v, Path) else v for k, v in options.items()}, "seed": seed,
               **resampler.diagnostics.as_dict()}
    write_atomically(place / "diagnostics.json", lambda path: path.write_text(json.dumps(content, indent=1)))
    figure = ratio_figure(resampler.held_out_scores())
    write_atomically(place / "ratio.png", lambda path: figure.savefig(path, format="png"))
    print(resampler.diagnostics)
    return place


def method_settings() -> dict[str, tuple[type, set[str]]]:
    """Every setting of every selection rule: name -> (type, methods that have it)."""
    settings: dict[str, tuple[type, set[str]]] = {}
    for method in RULES:
        for field in dataclasses.fields(RULES[method]):
            kind, methods = settings.setdefault(field.name, (type(field.default), set()))
            methods.add(method)
    return settings


def add_resample_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="for example runs/bgan_digits_1700000000")
    parser.add_argument("--n", type=int, default=64, help="samples to write (default: 64)")
    parser.add_argument("--method", default="obrs", help=f"one of: {', '.join(RULES)} (default: obrs)")
    parser.add_argument("--budget", type=int, default=100, help="proposals a sample (default: 100)")
    parser.add_argument("--calibration", default="platt", help=f"one of: {', '.join(CALIBRATIONS)} (default: platt)")
    parser.add_argument("--refit", default="none", help="first fit the ratio to the frozen generators; one of: none, network "
                        "(train the discriminators on), boosting (trees on their scores; the sharpest for vectors)")
    parser.add_argument("--refit_steps", "--refit-steps", type=int, help="minibatches (network, default 2000) or trees (boosting, "
                        "default 300)")
    parser.add_argument("--draws", type=int, help="only so many of the newest collected draws (default: all)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="where to compute (default: cpu)")
    parser.add_argument("--data_path", "--data-path", type=Path, help="where the run's data is now, if it has moved")
    for name, (kind, methods) in method_settings().items():
        parser.add_argument(f"--{name}", *([f"--{name.replace('_', '-')}"] if "_" in name else []), type=kind,
                            default=argparse.SUPPRESS, help=f"of {', '.join(sorted(methods))}")


def resample_from(arguments: argparse.Namespace) -> None:
    """The command line's arguments to a folder of samples."""
    given = {name: value for name, value in vars(arguments).items() if name != "call"}
    place = resample_run(given.pop("run"), **given | {"device": pick_device(given["device"])})
    print(f"look at {place / 'before.png'} and {place / 'after.png'}; samples in {place / 'samples.npz'}")
