"""Keyed streams: the same key the same numbers, another key others, with a state wider than 32 bits."""

import torch

from bayesgan.basics.randomness import WORDS, keyed_generator, wide_generator
from bayesgan.sampler.noise import LARGE, fill_normal


def test_the_key_alone_decides():
    first, again, other = (torch.randn(5, generator=keyed_generator(1, "role", step)) for step in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_the_state_has_no_short_seed():
    """No 32-bit seed gives these words: the first word of a seeded state is the seed, and the rest follow from it."""
    state = keyed_generator(7, "x").get_state()
    words = state[24 : 24 + 8 * WORDS].view(torch.int64)
    seeded = torch.Generator().manual_seed(int(words[0])).get_state()[24 : 24 + 8 * WORDS].view(torch.int64)
    assert words[0] == seeded[0] and not torch.equal(words[1:], seeded[1:])
    assert words.min() >= 0 and words.max() < 2**32


def test_streams_are_standard_normal_across_keys():
    """The first number of each of n streams: mean 0 and variance 1, |z| < 5."""
    n = 20_000
    first = torch.cat([torch.randn(1, generator=wide_generator(f"{i}".encode())) for i in range(n)]).double()
    assert abs(first.mean()) < 5 / n**0.5 and abs((first**2).mean() - 1) < 5 * (2 / n) ** 0.5


def test_blocks_of_a_large_tensor_follow_the_samplers_generator():
    values = [fill_normal(torch.empty(1, LARGE), [torch.Generator().manual_seed(seed)]) for seed in (1, 1, 2)]
    assert torch.equal(values[0], values[1]) and not torch.equal(values[0], values[2])
    assert abs(values[0].double().mean()) < 5 / LARGE**0.5
