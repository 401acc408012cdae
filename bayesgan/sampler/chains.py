"""Stacked chains in several processes: their random streams, and how their tensors are put together and taken apart."""

from collections.abc import Callable

import torch
from torch import Tensor

from bayesgan.basics.randomness import keyed_generator

__all__ = ["along_chains", "sources"]


def sources(
    seed: int, role: str, chains: range, device: torch.device | str, step: int
) -> list[torch.Generator]:
    """The stream of each chain in a role at a step."""
    return [keyed_generator(seed, role, chain, step, device=device) for chain in chains]


def along_chains(change: Callable[[list[Tensor]], Tensor], *parts):
    """One structure of lists, dicts and tensors (chains, ...) from those of several processes."""
    first = parts[0]
    if isinstance(first, dict):
        return {key: along_chains(change, *(part[key] for part in parts)) for key in first}
    if isinstance(first, (list, tuple)):
        return type(first)(along_chains(change, *several) for several in zip(*parts, strict=True))
    return change([part.to(first.device) for part in parts]) if torch.is_tensor(first) else first
