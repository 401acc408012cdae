"""Gaussian noise for millions of weights, drawn by all cores."""

import functools
from concurrent.futures import ThreadPoolExecutor

import torch

from bayesgan.basics.randomness import wide_generator

__all__ = ["NoiseBuffer", "fill_normal"]

BLOCK = 2**18  # numbers from one stream: half a millisecond's, so that what a stream costs to start does not count
SEED = 16  # bytes that name a block's stream
# torch's own threads keep the cores busy for some ms after an operation; less than this is not worth a fight
LARGE = 2**21


class NoiseBuffer:
    """Noise in memory that the next draw of the same type overwrites: fresh memory costs page faults."""

    def __init__(self):
        self.memory: dict[tuple, torch.Tensor] = {}

    def draw(self, like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Standard normal numbers of like's shape, type and device."""
        key = like.device, like.dtype
        if key not in self.memory or self.memory[key].numel() < like.numel():
            self.memory[key] = torch.empty(like.numel(), device=like.device, dtype=like.dtype)
        return fill_normal(self.memory[key][: like.numel()], generator).view(like.shape)


def fill_normal(values: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Fills a flat tensor in place with standard normal numbers, and returns it.

    What is drawn depends on the generator's state alone. A CPU's generator can be drawn from by one thread at a time,
    and the noise is most of an SGHMC step; so there blocks of a large tensor have streams of their own, seeded by
    `generator`.
    """
    if values.device.type != "cpu" or values.numel() < LARGE:
        return values.normal_(generator=generator)
    blocks = values.split(BLOCK)
    seeds = torch.randint(256, (len(blocks), SEED), generator=generator, dtype=torch.uint8)
    list(threads(torch.get_num_threads()).map(fill_block, blocks, seeds))
    return values


def fill_block(block: torch.Tensor, seed: torch.Tensor) -> None:
    block.normal_(generator=wide_generator(bytes(seed.tolist())))


@functools.cache
def threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count)
