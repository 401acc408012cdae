"""From a run folder to corrected samples: `python -m bayesgan resample RUN`."""

import argparse
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bayesgan.basics.devices import pick_device
from bayesgan.basics.errors import InputError
from bayesgan.basics.files import write_atomically
from bayesgan.basics.randomness import keyed_generator
from bayesgan.data import Dataset, to_bytes, to_float
from bayesgan.ensemble import Ensemble
from bayesgan.evaluation.classification import CHUNK
from bayesgan.evaluation.pictures import save_picture
from bayesgan.objectives import real_score
from bayesgan.resampling import (
    CALIBRATIONS,
    RULES,
    DensityRatio,
    LatentProposal,
    Resampler,
    boosted_score,
    ratio_figure,
)
from bayesgan.resampling import refit as refit_networks
from bayesgan.store import Posterior, RunFolder

__all__ = ["add_arguments", "posterior_resampler", "resample_run", "run"]

REFITS = ("none", "network", "boosting")
# objective -> kind of score
KINDS = {"standard": "logit", "least_squares": "least_squares", "wasserstein": "wasserstein"}


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
    distances: bool = False,
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
        distances: Also measure how far outputs lie from the training data.
        settings: Of the method; see `Resampler`.

    Raises:
        ValueError: If the run has no draws, no held-out data, or its data is absent.
    """
    check_refit(refit, refit_steps)
    if draws is not None and draws < 1:
        raise InputError(f"draws must be at least 1, got {draws}; leave it out to use all")
    folder = RunFolder.open(Path(run_folder))
    posterior = Posterior(folder, device, folder.store.draws[-(draws or 0):])
    options = posterior.options
    data = folder.load_data(data_path)
    if len(data.calibration) == 0:
        raise InputError(f"{run_folder} held out no data to calibrate on (--calibration_fraction 0); train a run with "
                         "0.1")
    generators, discriminators = posterior.generators, posterior.discriminators
    shares = torch.ones(generators.members) if weights is None else torch.tensor(weights, dtype=torch.float64)
    if len(shares) != generators.members:
        raise InputError(f"weights must name all {generators.members} generators, got {len(shares)}")

    def decode(member: int, latent: Tensor) -> Tensor:
        return torch.cat([generators.forward_member(member, part) for part in latent.split(CHUNK)])

    def score(batch: Tensor) -> Tensor:  # (n, ...) -> (n, K)
        return torch.cat([single_scores(discriminators, part) for part in batch.split(CHUNK)])

    proposal = LatentProposal(decode, options.z_dim, shares, device)
    Resampler(proposal, score, method, budget, **settings)  # refuses wrong options before a fit that may take long
    if refit != "none":
        score = refitted(refit, refit_steps, discriminators, score, proposal, data, seed)
    kind = "logit" if refit != "none" else KINDS[options.objective]
    held_out = to_float(data.calibration).to(device)
    ratio = DensityRatio.fit(score, held_out, proposal, kind=kind, calibration=calibration, seed=seed)
    training = to_float(data.train) if distances else None
    return Resampler(proposal, ratio, method, budget, training=training, **settings)


def check_refit(refit: str, steps: int | None) -> None:
    """Raises InputError for an unknown way, or steps without one."""
    if refit not in REFITS:
        raise InputError(f"refit must be one of: {', '.join(REFITS)}; got {refit!r}")
    if steps is not None and (refit == "none" or steps < 1):
        raise InputError(f"refit_steps must be at least 1 and needs refit network or boosting, got {steps} with refit "
                         f"{refit}")


def single_scores(discriminators: Ensemble, batch: Tensor) -> Tensor:
    """Log odds of being real by each discriminator: (n, ...) -> (n, K)."""
    members = range(discriminators.members)
    return torch.stack([real_score(discriminators.forward_member(k, batch)[0]) for k in members], 1)


def refitted(
    refit: str, steps: int | None, discriminators: Ensemble, score: Callable[[Tensor], Tensor],
    proposal: LatentProposal, data: Dataset, seed: int,
) -> Callable[[Tensor], Tensor]:
    """A score fitted to the frozen mixture on the training data; "network" changes the discriminators in place."""

    @torch.no_grad()
    def generate(n: int, source: torch.Generator) -> Tensor:
        return proposal.decode(proposal.draw(n, source))

    train = data.train.to(discriminators.device)
    if refit == "boosting":
        def features(batch: Tensor) -> Tensor:
            return score(batch) if data.is_images else torch.cat([batch, score(batch)], 1)

        return boosted_score(features, to_float(train), generate, iterations=steps or 300, seed=seed)

    def learning(batch: Tensor) -> Tensor:
        logits, _ = discriminators.forward(batch.expand(discriminators.members, *batch.shape), train=False)
        return real_score(logits).T

    def real(rows: Tensor) -> Tensor:
        return to_float(train[rows.to(train.device)])

    losses = refit_networks(
        learning, discriminators.parameters.values(), real, len(train), generate, steps=steps or 2000, seed=seed
    )
    print(f"refitted {discriminators.members} discriminators: loss {losses[0]:.3f} -> {losses[-1]:.3f} (chance 1.386)")
    return score


def resample_run(run_folder: Path, n: int, seed: int = 0, **options) -> Path:
    """Resamples a run and writes what came of it.

    RUN/resampled/<method>_<budget>_<seed>/: samples.npz, pictures before and after, diagnostics.json, ratio.png.

    Args:
        options: As of `posterior_resampler`.

    Returns:
        The folder.
    """
    resampler = posterior_resampler(run_folder, seed=seed, distances=True, **options)
    folder = RunFolder.open(Path(run_folder))
    options.pop("device", None)
    data = folder.load_data(options.get("data_path"))
    samples = resampler.sample(n, seed).cpu()
    place = folder.path / "resampled" / f"{resampler.method}_{resampler.budget}_{seed}"
    place.mkdir(parents=True, exist_ok=True)
    arrays = to_bytes(samples) if data.is_images else samples

    def write(path: Path) -> None:
        with open(path, "wb") as file:
            np.savez_compressed(file, x=arrays.numpy())

    write_atomically(place / "samples.npz", write)
    with torch.no_grad():
        codes = resampler.proposal.draw(min(n, 1000), keyed_generator(seed, "before"))
        before = resampler.proposal.decode(codes).cpu()
    real = to_float(data.train[:2000])
    save_picture(place / "before.png", before[:100] if data.is_images else before, real)
    save_picture(place / "after.png", samples[:100] if data.is_images else samples, real)
    shown = {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
    content = {"options": shown, "seed": seed, **resampler.diagnostics.as_dict()}
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="for example runs/bgan_digits_1700000000")
    parser.add_argument("--n", type=int, default=64, help="samples to write (default: 64)")
    parser.add_argument("--method", default="obrs", help=f"one of: {', '.join(RULES)} (default: obrs)")
    parser.add_argument("--budget", type=int, default=100, help="proposals a sample (default: 100)")
    parser.add_argument("--calibration", default="platt", help=f"one of: {', '.join(CALIBRATIONS)} (default: platt)")
    parser.add_argument(
        "--refit", default="none",
        help="first fit the ratio to the frozen generators; one of: none, network (train the discriminators on), "
             "boosting (trees on their scores; the sharpest for vectors)",
    )
    parser.add_argument(
        "--refit_steps", type=int, help="minibatches (network, default 2000) or trees (boosting, default 300)"
    )
    parser.add_argument("--draws", type=int, help="only so many of the newest collected draws (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of proposals and selection (default: 0)")
    parser.add_argument("--device", default="cpu", help="where to compute (default: cpu)")
    parser.add_argument("--data_path", type=Path, help="where the run's data is now, if it has moved")
    settings = parser.add_argument_group("settings of single methods")
    for name, (kind, methods) in method_settings().items():
        help = f"of {', '.join(sorted(methods))}"
        settings.add_argument(f"--{name}", type=kind, default=argparse.SUPPRESS, help=help)


def run(arguments: argparse.Namespace) -> None:
    """The command line's arguments to a folder of samples."""
    given = {name: value for name, value in vars(arguments).items() if name != "command"}
    place = resample_run(given.pop("run"), **given | {"device": pick_device(given["device"])})
    print(f"look at {place / 'before.png'} and {place / 'after.png'}; samples in {place / 'samples.npz'}")
