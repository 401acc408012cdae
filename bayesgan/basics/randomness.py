"""Random numbers keyed by what they are for, so that a resumed run draws what an uninterrupted one would have."""

import hashlib

import torch

__all__ = ["keyed_generator", "wide_generator"]

WORDS = 624  # of the Mersenne twister, 32 bits each
HEADER = 24  # bytes of a CPU generator's state before its words: seed, how many are left, where the next one is


def keyed_generator(seed: int, *key: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator whose stream depends on (seed, key) alone, never on what was drawn before.

    Args:
        seed: The run's seed.
        key: Role and counters, for example ("latent", step). Different keys give unrelated streams.
        device: Where the numbers will be drawn.
    """
    content = repr((seed, key)).encode()
    if torch.device(device).type == "cpu":
        return wide_generator(content)
    digest = hashlib.blake2b(content, digest_size=8).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "little") >> 1)  # CUDA's takes all 63 bits


def wide_generator(content: bytes) -> torch.Generator:
    """A CPU generator whose whole state is hashed from `content`.

    `manual_seed` uses 32 bits of a seed: among the streams of 50,000 iterations some pairs would be the same one.
    """
    generator = torch.Generator()
    words = torch.frombuffer(bytearray(hashlib.shake_128(content).digest(4 * WORDS)), dtype=torch.int32)
    state = generator.manual_seed(0).get_state()
    state[HEADER : HEADER + 8 * WORDS].view(torch.int64)[:] = words.long() & 0xFFFFFFFF
    return generator.set_state(state)
