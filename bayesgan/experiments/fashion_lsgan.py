"""Anybody's GAN: a plain PyTorch least-squares GAN on Fashion-MNIST, corrected by its own discriminator afterwards.

Nothing of this project is in the training; `Resampler.calibrated` meets the finished networks as two callables.
"""

import argparse
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from bayesgan.data import DATA_SETS, DataOptions, to_float
from bayesgan.basics.errors import InputError
from bayesgan.evaluation.pictures import image_grid
from bayesgan.experiments.image_table import compare
from bayesgan.experiments.registry import EXPERIMENTS, save_results
from bayesgan.basics.files import write_atomically
from bayesgan.basics.randomness import keyed_generator
from bayesgan.resampling import Resampler

__all__ = ["run", "train_plain_gan"]

LATENT = 64


def train_plain_gan(images: Tensor, iterations: int, batch: int = 64, seed: int = 0) -> tuple[nn.Module, nn.Module]:
    """A least-squares GAN (Mao et al. 2017) as tutorials have it: Adam, batch norm in the generator, dropout in the
    discriminator. images (N, 1, 28, 28) uint8 -> generator (B, 64) -> images, discriminator images -> (B, 1)."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        generator = nn.Sequential(
            nn.Linear(LATENT, 64 * 49), nn.Unflatten(1, (64, 7, 7)), nn.BatchNorm2d(64), nn.ReLU(),
            nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.BatchNorm2d(32), nn.ReLU(), nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Tanh())
        discriminator = nn.Sequential(
            nn.Conv2d(1, 32, 4, 2, 1), nn.LeakyReLU(0.2), nn.Dropout2d(0.25), nn.Conv2d(32, 64, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Dropout2d(0.25), nn.Flatten(), nn.Linear(64 * 49, 1))
        adams = [torch.optim.Adam(network.parameters(), lr=5e-4, betas=(0.5, 0.999)) for network in (generator, discriminator)]
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data_path", "--data-path", type=Path, default=Path("datasets"), help="where Fashion-MNIST is")
    parser.add_argument("--train_iter", "--train-iter", type=int, default=6000, help="iterations of the GAN")
    parser.add_argument("--samples", type=int, default=2000, help="images behind each score")
    parser.add_argument("--budget", type=int, default=100, help="proposals an image")
    parser.add_argument("--judge_steps", "--judge-steps", type=int, default=1500, help="training of the judging classifier")


def run(arguments: argparse.Namespace) -> None:
    """Trains the GAN, prints its scores before and after, writes results.json and side_by_side.png."""
    if arguments.samples < 100 or min(arguments.train_iter, arguments.judge_steps) < 1:
        raise InputError(f"--samples must be at least 100, --train_iter and --judge_steps 1, got {arguments.samples}, "
                         f"{arguments.train_iter} and {arguments.judge_steps}")
    data = DATA_SETS["fashion_mnist"].load(DataOptions(data_path=arguments.data_path)).hold_out(0.1)
    generator, discriminator = train_plain_gan(data.train, arguments.train_iter)

    def generate(n: int, source: torch.Generator) -> Tensor:
        return generator(torch.randn(n, LATENT, generator=source))

    resampler = Resampler.calibrated(generate, discriminator, to_float(data.calibration), kind="least_squares",
                                     budget=arguments.budget)
    mh = resampler.with_method("mh")
    with torch.no_grad():
        sets = {"GAN": generate(arguments.samples, keyed_generator(0, "plain"))}
    sets |= {"OBRS": resampler.sample(arguments.samples), "MH-GAN": mh.sample(arguments.samples),
             "real": to_float(data.test[: arguments.samples])}
    print(mh.diagnostics)
    rows = compare(sets, data, arguments.judge_steps)
    arguments.out_dir.mkdir(parents=True, exist_ok=True)
    command = (f"python -m bayesgan.experiments fashion_lsgan --train_iter {arguments.train_iter} --samples {arguments.samples} "
               f"--budget {arguments.budget} --judge_steps {arguments.judge_steps}")
    save_results(arguments.out_dir / "results.json", command, rows)
    figure = side_by_side({name: sets[name] for name in ("GAN", "MH-GAN", "real")})
    write_atomically(arguments.out_dir / "side_by_side.png", lambda path: figure.savefig(path, format="png"))
    print(f"picture {arguments.out_dir / 'side_by_side.png'}")


def side_by_side(sets: dict[str, Tensor]) -> Figure:
    """A grid of 64 of each, next to each other."""
    figure = Figure(figsize=(4 * len(sets), 4.3), dpi=100)
    for panel, (name, images) in zip(figure.subplots(1, len(sets)), sets.items()):
        panel.imshow(image_grid(images[:64], columns=8).permute(1, 2, 0).numpy())
        panel.set(title=name, xticks=[], yticks=[])
    figure.tight_layout()
    return figure


EXPERIMENTS.register("fashion_lsgan")((add_arguments, run))
