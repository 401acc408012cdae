"""The accept step: all Metropolis-Hastings chains at once against a Python loop, and a large pool's memory."""

import math
import random
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bayesgan.basics.tables import markdown
from bayesgan.basics.timing import interleaved_seconds
from bayesgan.benchmarks.peak import highest_resident_bytes
from bayesgan.benchmarks.registry import BENCHMARKS, Benchmark
from bayesgan.options import option
from bayesgan.resampling import LatentProposal, Resampler, metropolis_hastings

__all__ = ["Settings", "run"]

PROPOSALS = 100  # an image, in the pool that is measured


@dataclass(frozen=True)
class Settings:
    chains: int = option(10_000, "selection chains", least=1)
    budget: int = option(640, "proposals a chain", least=2)
    repeats: int = option(3, "of each way, in turn", least=1)
    images: int = option(50_000, f"images drawn from a pool of {PROPOSALS} times as many", least=1)


def run(settings: Settings, command: str) -> None:
    """Prints the time of each way and its ratio to all chains at once, then a streamed selection's time and memory."""
    seconds = accept_seconds(settings)
    print(f"{settings.chains} chains of {settings.budget}, random numbers included")
    print(markdown([
        {"way": way, "seconds": f"{own:.4f}", "times all at once": f"{own / seconds['all at once']:.0f}"}
        for way, own in seconds.items()
    ]))
    own, peak = streamed(settings.images)
    whole = settings.images * PROPOSALS * 784 * 4 / 2**30
    memory = "peak memory not known on this system" if peak is None else f"peak memory {peak / 2**30:.2f} GiB"
    print(f"{settings.images} images of 28x28 from a budget of {PROPOSALS}: {own:.0f} s, {memory} "
          f"(the whole pool would take {whole:.1f} GiB)")


def accept_seconds(settings: Settings) -> dict[str, float]:
    """Seconds of each way to run the same chains."""
    source = torch.Generator().manual_seed(0)
    log_w = torch.randn(settings.chains, settings.budget, dtype=torch.float64, generator=source)
    return interleaved_seconds({
        "loop on arrays": lambda: chain_by_chain(log_w.numpy(), np.random.default_rng(0)),
        "loop on lists": lambda: on_lists(log_w.numpy(), random.Random(0)),
        "all at once": lambda: metropolis_hastings(log_w, torch.Generator().manual_seed(0)),
    }, settings.repeats)


def chain_by_chain(log_w: np.ndarray, random: np.random.Generator) -> list[int]:
    """What people write: one chain after the other, one proposal after the other, on arrays."""
    picked = []
    for weights in log_w:
        state = 0
        for proposal in range(1, len(weights)):
            if random.random() < np.exp(min(0.0, weights[proposal] - weights[state])):
                state = proposal
        picked.append(state)
    return picked


def on_lists(log_w: np.ndarray, random: random.Random) -> list[int]:
    """The fastest loop in plain Python: on lists, with its own random numbers."""
    picked = []
    for weights in log_w.tolist():
        state, value = 0, weights[0]
        for proposal, other in enumerate(weights):
            if other >= value or random.random() < math.exp(other - value):
                state, value = proposal, other
        picked.append(state)
    return picked


def streamed(images: int) -> tuple[float, int | None]:
    """Seconds of drawing images by selection, and the most memory this process has held, in bytes."""
    # a generator that costs next to nothing, so that what is measured is the selection
    matrix = torch.randn(8, 784, generator=torch.Generator().manual_seed(2))

    def generate(member: int, z: Tensor) -> Tensor:
        return torch.tanh(z @ matrix).view(-1, 1, 28, 28)

    proposal = LatentProposal(generate, 8, torch.ones(1))
    resampler = Resampler(proposal, lambda x: x.flatten(1).mean(1), "obrs", PROPOSALS)
    begun = time.perf_counter()
    resampler.sample(images)
    return time.perf_counter() - begun, highest_resident_bytes()


BENCHMARKS.register("resample")(Benchmark(Settings, run, __doc__))
