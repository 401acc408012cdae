"""Can anybody's GAN be corrected by its own discriminator? A plain PyTorch least-squares GAN on Fashion-MNIST.

Nothing of this project is in the training; `Resampler.calibrated` meets the finished networks as two callables.
"""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bayesgan.data import DATA_SETS, DataOptions, to_bytes, to_float
from bayesgan.experiments.cells import Cells
from bayesgan.experiments.image_table import compare, report, side_by_side
from bayesgan.experiments.registry import EXPERIMENTS, Experiment, Report
from bayesgan.options import option
from bayesgan.resampling import RULES, LatentProposal, Resampler

__all__ = ["Settings", "run", "train_plain_gan"]

LATENT = 64


@dataclass(frozen=True)
class Settings:
    data_path: Path = option(Path("datasets"), "where Fashion-MNIST is")
    seeds: int = option(3, "GANs", least=1)
    train_iter: int = option(4000, "iterations of each GAN", least=1)
    samples: int = option(2000, "images behind each score", least=100)
    budget: int = option(20, "proposals an image", least=1)
    moves: tuple[str, ...] = option(("mala", "hmc", "flow"), "moves in latent space that are tried too", choices=RULES)
    judge_steps: int = option(1500, "training of the judging classifier", least=1)


def train_plain_gan(images: Tensor, iterations: int, batch: int = 64, seed: int = 0) -> tuple[nn.Module, nn.Module]:
    """A least-squares GAN (Mao et al. 2017) as tutorials have it: Adam, batch norm, dropout in the discriminator.

    The generator upsamples and convolves, which leaves no checkerboard (Odena et al. 2016); its weights are averaged.

    Args:
        images: (N, 1, 28, 28) uint8.

    Returns:
        generator (B, 64) -> images (B, 1, 28, 28), and discriminator images -> (B, 1).
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        generator = nn.Sequential(
            nn.Linear(LATENT, 64 * 49), nn.Unflatten(1, (64, 7, 7)), nn.BatchNorm2d(64), nn.ReLU(),
            nn.Upsample(scale_factor=2), nn.Conv2d(64, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Upsample(scale_factor=2), nn.Conv2d(32, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 1, 3, padding=1), nn.Tanh(),
        ).to(memory_format=torch.channels_last)
        discriminator = nn.Sequential(
            nn.Conv2d(1, 32, 4, 2, 1), nn.LeakyReLU(0.2), nn.Dropout2d(0.25),
            nn.Conv2d(32, 64, 4, 2, 1), nn.LeakyReLU(0.2), nn.Dropout2d(0.25), nn.Flatten(), nn.Linear(64 * 49, 1),
        ).to(memory_format=torch.channels_last)
        average = AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(0.999), use_buffers=True)
        adams = [torch.optim.Adam(network.parameters(), lr=5e-4, betas=(0.5, 0.999))
                 for network in (generator, discriminator)]
        for _ in range(iterations):
            real = to_float(images[torch.randint(len(images), (batch,))])
            fake = generator(torch.randn(batch, LATENT))
            adams[0].zero_grad()
            ((discriminator(fake) - 1) ** 2).mean().backward()
            adams[0].step()
            adams[1].zero_grad()
            (((discriminator(real) - 1) ** 2).mean() + (discriminator(fake.detach()) ** 2).mean()).backward()
            adams[1].step()
            average.update_parameters(generator)
    return average.module.eval(), discriminator.eval()


class Cell(NamedTuple):
    """One GAN."""

    seed: int


def run(settings: Settings, cells: Cells) -> Report:
    """Trains the GANs, and compares their images before and after."""
    shared = {name: value for name, value in asdict(settings).items() if name != "seeds"}
    found = [cells.cell(Cell(seed), shared, partial(measured, seed, settings)) for seed in range(settings.seeds)]
    shown = {name: torch.tensor(images, dtype=torch.uint8) for name, images in found[0]["shown"].items()}
    return report([one["rows"] for one in found], {"side_by_side": side_by_side(shown)})


def measured(seed: int, settings: Settings) -> dict:
    """rows: the figures of every set of images; shown: some images of a few of them; expected: the guard's figures."""
    data = DATA_SETS["fashion_mnist"].load(DataOptions(data_path=settings.data_path)).hold_out(0.1)
    generator, discriminator = train_plain_gan(data.train, settings.train_iter, seed=seed)
    # as a callable it would do, but for the moves in latent space
    proposal = LatentProposal(lambda member, z: generator(z), LATENT, torch.ones(1))
    given = {"kind": "least_squares", "budget": settings.budget, "seed": seed}
    held_out = to_float(data.calibration)
    raw, sharp = (Resampler.calibrated(proposal, discriminator, held_out, ratio="score", calibration=calibration,
                                       **given) for calibration in ("none", "platt"))
    auto = Resampler.calibrated(proposal, discriminator, held_out, **given)
    print(auto.expected.words, flush=True)
    sets = {"GAN": sharp.with_method("obrs", 1)}
    own, moved = ("obrs", "mh"), ("obrs", "mh", *settings.moves)
    for name, one, methods in (("raw score", raw, own), ("score", sharp, own), ("auto", auto, moved)):
        if not one.plain:
            sets |= {f"{method}, {name}": one.with_method(method, settings.budget) for method in methods}
    sets = {name: one.sample(settings.samples) for name, one in sets.items()}
    rows = compare(sets, data, settings.judge_steps)
    shown = {"plain GAN": sets["GAN"], "MH-GAN, its own score": sets["mh, score"],
             "MH-GAN, ratio auto": sets.get("mh, auto", sets["GAN"]), "real": to_float(data.test)}
    return {"rows": rows, "shown": {name: to_bytes(images[:64]).tolist() for name, images in shown.items()},
            "expected": auto.expected.as_dict()}


EXPERIMENTS.register("fashion_lsgan")(Experiment(Settings, run, __doc__))
