"""Gaussian noise for millions of weights, drawn by all cores."""

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from bayesgan.basics.randomness import wide_generator

__all__ = ["NoiseBuffer", "fill_normal"]

BLOCK = 2**20  # numbers from one stream: some milliseconds' work, so that what a stream costs to start does not count
SEED = 16  # bytes that name a block's stream
# torch's own threads keep the cores busy for some ms after an operation; less than this is not worth a fight
LARGE = 2**21


class NoiseBuffer:
    """Noise in memory that the next draw of the same type overwrites: fresh memory costs page faults."""

    def __init__(self):
        self.memory: dict[tuple, torch.Tensor] = {}

    def draw(self, like: torch.Tensor, sources: Sequence[torch.Generator]) -> torch.Tensor:
        """Standard normal numbers of like's shape, type and device.

        Args:
            sources: One for all, or one for each of the leading axis.
        """
        key = like.device, like.dtype
        if key not in self.memory or self.memory[key].numel() < like.numel():
            self.memory[key] = torch.empty(like.numel(), device=like.device, dtype=like.dtype)
        return fill_normal(self.memory[key][: like.numel()].view(len(sources), -1), sources).view(like.shape)


def fill_normal(values: torch.Tensor, sources: Sequence[torch.Generator]) -> torch.Tensor:
    """Fills the rows of (rows, n) in place with standard normal numbers, each from its own source; returns it.

    What a row gets depends on n and its source's state alone. A CPU's generator can be drawn from by one thread at a
    time, and the noise is most of an SGHMC step; so there the blocks of a long row have streams of their own, seeded by
    its source, and all cores draw where there is enough for them.
    """
    if values.device.type != "cpu":
        for row, source in zip(values, sources, strict=True):
            row.normal_(generator=source)
        return values
    parts = [part for row, source in zip(values, sources, strict=True) for part in parts_of(row, source)]
    if values.numel() < LARGE:
        for block, source in parts:
            block.normal_(generator=source)
    else:
        list(threads(torch.get_num_threads()).map(lambda part: part[0].normal_(generator=part[1]), parts))
    return values


def parts_of(row: torch.Tensor, source: torch.Generator) -> list[tuple[torch.Tensor, torch.Generator]]:
    """A row in blocks, with a stream for each."""
    if row.numel() <= BLOCK:
        return [(row, source)]
    blocks = row.split(BLOCK)
    seeds = torch.randint(256, (len(blocks), SEED), generator=source, dtype=torch.uint8).tolist()
    return [(block, wide_generator(bytes(seed))) for block, seed in zip(blocks, seeds)]


@functools.cache
def threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count)
