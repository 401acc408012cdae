"""What each part of a run with few labels costs: iterations without it, or in bfloat16, in turn; and one spreading."""

import time
from dataclasses import dataclass

import torch

from bayesgan.basics.devices import DEVICES, natively_bf16, pick_device
from bayesgan.basics.tables import markdown
from bayesgan.basics.timing import interleaved_seconds
from bayesgan.benchmarks.registry import BENCHMARKS, Benchmark
from bayesgan.options import load_data, option, resolve
from bayesgan.training.algorithm import Trainer
from bayesgan.training.label_spreading import View, spread_labels

__all__ = ["Settings", "iteration_seconds", "run"]

PARTS = {
    "all": {},
    "all, --precision bf16": {"precision": "bf16"},
    "all, --network dcgan": {"network": "dcgan"},
    "all, --network dcgan --precision bf16": {"network": "dcgan", "precision": "bf16"},
    "no teacher": {"consistency": 0.0},
    "no teacher, scores instead of features": {"consistency": 0.0, "feature_matching": False},
}


@dataclass(frozen=True)
class Settings:
    image_size: int = option(28, "the digits are scaled to this", least=8, most=200)
    df_dim: int = option(32, "discriminator width at half the image's side", least=1)
    points: int = option(54_000, "data on the graph", least=100)
    repeats: int = option(15, "timed rounds", least=1)
    device: str = option("auto", "of the iterations", choices=DEVICES)


def run(settings: Settings, command: str) -> None:
    """Prints both."""
    seconds = iteration_seconds(settings, pick_device(settings.device))
    print(markdown([{"iteration with": name, "ms": f"{1e3 * own:.1f}", "of all": f"{own / seconds['all']:.2f}"}
                    for name, own in seconds.items()]))
    source = torch.Generator().manual_seed(0)
    features, rows = torch.randn(settings.points, 512, generator=source), torch.arange(100)
    begun = time.perf_counter()
    spread_labels([View(features)], rows, rows % 10, 10)
    print(f"one label spreading among {settings.points} data, 512 features: {time.perf_counter() - begun:.1f} s")


def iteration_seconds(settings: Settings, device: torch.device) -> dict[str, float]:
    """Median seconds of an iteration without each part, label spreading itself left out."""
    steps = {}
    for name, changes in PARTS.items():
        if "precision" in changes and not natively_bf16(device):
            continue
        given = {"dataset": "digits", "image_size": settings.image_size, "network": "vgg", "df_dim": settings.df_dim,
                 "num_gen": 1, "num_disc": 1, "noise": 0.1, "dropout": 0.5, "shift": 2, "label_batch_size": 50,
                 "train_iter": 10**6}
        options, _ = resolve(given | changes, semi=True)
        trainer = Trainer(options, load_data(options), device)
        trainer.step()  # the first graph
        steps[name] = trainer.step
    return interleaved_seconds(steps, settings.repeats, device=device)


BENCHMARKS.register("teacher")(Benchmark(Settings, run, __doc__))
