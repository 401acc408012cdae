"""Gaussian noise for millions of weights: in blocks that stay in the cache, or drawn by all cores at once."""

import functools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from bayesgan.basics.errors import InputError
from bayesgan.basics.randomness import wide_generator

__all__ = ["NoiseBuffer"]

STREAM = 2**20  # numbers from one stream: some milliseconds' work, so that what it costs to start does not count
BLOCK = 2**18  # numbers that are made, and used, while they are in a core's cache
LEAST = 16  # numbers that torch makes at a time: of a stream in pieces of as many it makes what it makes at once
SEED = 16  # bytes that name a block's stream
# torch's own threads keep the cores busy for some ms after an operation; less than this is not worth a fight
LARGE = 2**21

Streams = list[tuple[int, torch.Generator]]  # how many numbers come from each


class NoiseBuffer:
    """Noise in memory that the next draw of the same type overwrites: fresh memory costs page faults."""

    def __init__(self):
        self.memory: dict[tuple, Tensor] = {}

    def blocks(
        self, like: Tensor, sources: Sequence[torch.Generator], whole: bool = False
    ) -> Iterator[tuple[slice | None, Tensor]]:
        """Standard normal numbers of like's type, on its device: for its flat numbers in a slice, or for all (None).

        What comes depends on like's shape and the sources alone, not on how many blocks there are. Each is to be used
        before the next is drawn.

        Args:
            sources: One for all, or one for each of the leading axis.
            whole: All at once.

        Yields:
            Which, and flat noise for them; or None, and noise of like's shape.
        """
        count = like.numel()
        if count % len(sources):
            raise InputError(f"{count} numbers cannot be shared out among {len(sources)} generators; give one for each "
                             "of the leading axis, or one for all")
        streams = [stream for source in sources for stream in streams_of(count // len(sources), source)]
        if whole or like.device.type != "cpu" or count <= BLOCK or count >= LARGE and torch.get_num_threads() > 1:
            yield None, fill_normal(self._kept(like, count), streams).view(like.shape)
            return
        begin = 0
        for some in within_blocks(in_pieces(streams)):
            size = sum(numbers for numbers, _ in some)
            yield slice(begin, begin + size), fill_normal(self._kept(like, size), some)
            begin += size

    def _kept(self, like: Tensor, count: int) -> Tensor:
        key = like.device, like.dtype
        if key not in self.memory or self.memory[key].numel() < count:
            self.memory[key] = torch.empty(count, device=like.device, dtype=like.dtype)
        return self.memory[key][:count]


def streams_of(count: int, source: torch.Generator) -> Streams:
    """Where so many numbers come from.

    A CPU's generator can be drawn from by one thread at a time, and the noise is most of an SGHMC step; so there the
    blocks of many numbers have streams of their own, seeded by their source.
    """
    if count <= STREAM or source.device.type != "cpu":
        return [(count, source)]
    sizes = sizes_of(count, STREAM)
    seeds = torch.randint(256, (len(sizes), SEED), generator=source, dtype=torch.uint8).tolist()
    return [(size, wide_generator(bytes(seed))) for size, seed in zip(sizes, seeds)]


def sizes_of(count: int, most: int) -> list[int]:
    """`most` each, and what is left over; with one of `most`, where that is less than torch makes at a time."""
    sizes = [most] * (count // most)
    left = count - sum(sizes)
    if sizes and left < LEAST:
        sizes[-1] += left
        return sizes
    return [*sizes, left]


def in_pieces(streams: Streams) -> Streams:
    """Cut into blocks; the pieces of a stream are drawn one after the other."""
    return [(size, source) for count, source in streams for size in sizes_of(count, BLOCK)]


def within_blocks(streams: Streams) -> Iterator[Streams]:
    """In succession, as many as fit into one block each."""
    some, size = [], 0
    for stream in streams:
        if some and size + stream[0] > BLOCK:
            yield some
            some, size = [], 0
        some.append(stream)
        size += stream[0]
    yield some


def fill_normal(values: Tensor, streams: Streams) -> Tensor:
    """Fills flat `values` in place with standard normal numbers, many of them by all cores; returns it."""
    parts = values.split([count for count, _ in streams]), [source for _, source in streams]
    if values.device.type == "cpu" and values.numel() >= LARGE:
        list(threads(torch.get_num_threads()).map(draw, *parts))
    else:
        list(map(draw, *parts))
    return values


def draw(values: Tensor, source: torch.Generator) -> None:
    values.normal_(generator=source)


@functools.cache
def threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count)
