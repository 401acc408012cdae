"""Random numbers keyed by what they are for, so that a resumed run draws what an uninterrupted one would have."""

import hashlib

import torch

__all__ = ["keyed_generator"]


def keyed_generator(seed: int, *key: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator whose stream depends on (seed, key) alone, never on what was drawn before.

    Args:
        seed: The run's seed.
        key: Role and counters, for example ("latent", step). Different keys give unrelated streams.
        device: Where the numbers will be drawn.
    """
    digest = hashlib.blake2b(repr((seed, key)).encode(), digest_size=8).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "little") >> 1)
