"""The accept step: all Metropolis-Hastings chains at once against a Python loop per chain, and a large pool's memory."""

import argparse
import math
import random
import resource
import time

import numpy as np
import torch

from bayesgan.benchmarks.registry import BENCHMARKS
from bayesgan.basics.errors import InputError
from bayesgan.resampling import LatentProposal, Resampler, metropolis_hastings
from bayesgan.basics.timing import interleaved_seconds

__all__ = ["run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--chains", type=int, default=10_000)
    parser.add_argument("--budget", type=int, default=640, help="proposals a chain")
    parser.add_argument("--repeats", type=int, default=3, help="of each way, in turn")
    parser.add_argument("--images", type=int, default=50_000, help="images drawn from a pool of 100 times as many")


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


def run(arguments: argparse.Namespace) -> None:
    """Prints both times and their ratio, then the time and peak memory of a streamed selection of images."""
    if min(arguments.chains, arguments.images, arguments.repeats) < 1 or arguments.budget < 2:
        raise InputError(f"--chains, --images and --repeats must be at least 1 and --budget 2, got "
                         f"{arguments.chains}, {arguments.images}, {arguments.repeats} and {arguments.budget}")
    log_w = torch.randn(arguments.chains, arguments.budget, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    seconds = interleaved_seconds({
        "arrays": lambda: chain_by_chain(log_w.numpy(), np.random.default_rng(0)),
        "lists": lambda: on_lists(log_w.numpy(), random.Random(0)),
        "at once": lambda: metropolis_hastings(log_w, torch.Generator().manual_seed(0)),
    }, arguments.repeats)
    print(f"{arguments.chains} chains of {arguments.budget}, random numbers included: loop on arrays {seconds['arrays']:.2f} s, "
          f"on lists {seconds['lists']:.2f} s, at once {seconds['at once']:.4f} s; ratios {seconds['arrays'] / seconds['at once']:.0f} "
          f"and {seconds['lists'] / seconds['at once']:.0f}")

    # a generator that costs next to nothing, so that what is measured is the selection
    matrix = torch.randn(8, 784, generator=torch.Generator().manual_seed(2))
    proposal = LatentProposal(lambda member, z: torch.tanh(z @ matrix).view(-1, 1, 28, 28), 8, torch.ones(1))
    resampler = Resampler(proposal, lambda x: x.flatten(1).mean(1), "obrs", 100)
    begun = time.perf_counter()
    images = resampler.sample(arguments.images)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    whole = arguments.images * 100 * 784 * 4 / 2**30
    print(f"{len(images)} images of 28x28 from a budget of 100: {time.perf_counter() - begun:.0f} s, peak memory {peak:.2f} GiB "
          f"(the pool of {100 * len(images)} would take {whole:.1f} GiB)")


BENCHMARKS.register("resample")((add_arguments, run))
