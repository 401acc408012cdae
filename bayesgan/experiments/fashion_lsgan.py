"""Can anybody's GAN be corrected by its own discriminator? A plain PyTorch least-squares GAN on Fashion-MNIST.

Nothing of this project is in the training; `Resampler.calibrated` meets the finished networks as two callables.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from bayesgan.basics.randomness import keyed_generator
from bayesgan.data import DATA_SETS, DataOptions, to_float
from bayesgan.evaluation.pictures import image_grid
from bayesgan.experiments.cells import Cells
from bayesgan.experiments.image_table import compare, report
from bayesgan.experiments.registry import EXPERIMENTS, Experiment, Report
from bayesgan.options import option
from bayesgan.resampling import Resampler

__all__ = ["Settings", "run", "train_plain_gan"]

LATENT = 64
SHOWN = ("GAN", "MH-GAN", "real")


@dataclass(frozen=True)
class Settings:
    data_path: Path = option(Path("datasets"), "where Fashion-MNIST is")
    train_iter: int = option(6000, "iterations of the GAN", least=1)
    samples: int = option(2000, "images behind each score", least=100)
    budget: int = option(100, "proposals an image", least=1)
    judge_steps: int = option(1500, "training of the judging classifier", least=1)


def train_plain_gan(images: Tensor, iterations: int, batch: int = 64, seed: int = 0) -> tuple[nn.Module, nn.Module]:
    """A least-squares GAN (Mao et al. 2017) as tutorials have it: Adam, batch norm, dropout in the discriminator.

    Args:
        images: (N, 1, 28, 28) uint8.

    Returns:
        generator (B, 64) -> images (B, 1, 28, 28), and discriminator images -> (B, 1).
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        generator = nn.Sequential(
            nn.Linear(LATENT, 64 * 49), nn.Unflatten(1, (64, 7, 7)), nn.BatchNorm2d(64), nn.ReLU(),
            nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Tanh(),
        )
        discriminator = nn.Sequential(
            nn.Conv2d(1, 32, 4, 2, 1), nn.LeakyReLU(0.2), nn.Dropout2d(0.25),
            nn.Conv2d(32, 64, 4, 2, 1), nn.LeakyReLU(0.2), nn.Dropout2d(0.25), nn.Flatten(), nn.Linear(64 * 49, 1),
        )
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
    return generator.eval(), discriminator.eval()


def run(settings: Settings, cells: Cells) -> Report:
    """Trains the GAN, and compares its images before and after."""
    data = DATA_SETS["fashion_mnist"].load(DataOptions(data_path=settings.data_path)).hold_out(0.1)
    generator, discriminator = train_plain_gan(data.train, settings.train_iter)

    def generate(n: int, source: torch.Generator) -> Tensor:
        return generator(torch.randn(n, LATENT, generator=source))

    resampler = Resampler.calibrated(generate, discriminator, to_float(data.calibration), kind="least_squares",
                                     budget=settings.budget)
    mh = resampler.with_method("mh")
    with torch.no_grad():
        sets = {"GAN": generate(settings.samples, keyed_generator(0, "plain"))}
    sets |= {"OBRS": resampler.sample(settings.samples), "MH-GAN": mh.sample(settings.samples)}
    print(mh.diagnostics)
    rows = compare(sets, data, settings.judge_steps)
    sets["real"] = to_float(data.test[: settings.samples])
    return report(rows, {"side_by_side": side_by_side(sets)})


def side_by_side(sets: dict[str, Tensor]) -> Figure:
    """A grid of 64 of each, next to each other."""
    figure = Figure(figsize=(4 * len(SHOWN), 4.3), dpi=100)
    for panel, name in zip(figure.subplots(1, len(SHOWN)), SHOWN, strict=True):
        panel.imshow(image_grid(sets[name][:64], columns=8).permute(1, 2, 0).numpy())
        panel.set(title=name, xticks=[], yticks=[])
    figure.tight_layout()
    return figure


EXPERIMENTS.register("fashion_lsgan")(Experiment(Settings, run, __doc__))
