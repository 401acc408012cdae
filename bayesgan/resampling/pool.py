"""Proposals drawn in chunks: scored once, then kept, or drawn again from the same random numbers."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from bayesgan.basics.randomness import keyed_generator
from bayesgan.resampling.proposals import CallableProposal, Codes, LatentProposal

__all__ = ["Pool", "chunks"]

KEPT = 2**28  # bytes of proposals held at once; beyond it they are drawn again


def chunks(
    proposal: CallableProposal | LatentProposal, total: int, chunk: int, seed: int, role: str
) -> Iterator[tuple[Codes, int]]:
    """(codes, first position) of `total` proposals, `chunk` at a time; the same at every call."""
    for first in range(0, total, chunk):
        yield proposal.draw(min(chunk, total - first), keyed_generator(seed, role, first)), first


class Pool:
    """`total` independent proposals, which one ratio after the other may score and rules pick from.

    Attributes:
        members: (total,) int64, which generator made each; None where there is one. Known once they were scored.
    """

    def __init__(self, proposal: CallableProposal | LatentProposal, total: int, chunk: int, seed: int):
        self.proposal, self.total, self.chunk, self.seed = proposal, total, chunk, seed
        self.members: Tensor | None = None
        self._data: list[Tensor] = []  # all of it, or nothing

    def log_w(self, log_ratio: Callable[[Tensor], Tensor]) -> Tensor:
        """What log_ratio, data (n, ...) -> (n,), says of every proposal: (total,) float64, on the CPU."""
        log_w = torch.empty(self.total, dtype=torch.float64)  # in one piece: small ones would lie in the way of images
        first = 0
        for data in list(self._data) or self._drawn():
            log_w[first : first + len(data)] = log_ratio(data)
            first += len(data)
        return log_w

    def _drawn(self) -> Iterator[Tensor]:
        """The data in chunks; kept where all of it fits."""
        members, kept = [], []
        for codes, _ in self._chunks():
            data = self.proposal.decode(codes)
            if codes.members is not None:
                members.append(codes.members.cpu())
            if data[0].numel() * data.element_size() * self.total <= KEPT:
                kept.append(data)
            yield data
        self.members = torch.cat(members) if members else None
        self._data = kept

    def take(self, picked: Tensor) -> Tensor:
        """The data at positions (n,), in their order."""
        if self._data:
            data = torch.cat(self._data)
            return data[picked.to(data.device)]
        order = picked.argsort()
        ranked, parts = picked[order], []
        for codes, first in self._chunks():
            here = ranked[(ranked >= first) & (ranked < first + self.chunk)] - first
            if len(here):
                parts.append(self.proposal.decode(codes.rows(here.to(codes.values.device))))
        data = torch.cat(parts)  # (n, ...), by position
        return data[order.argsort().to(data.device)]

    def _chunks(self) -> Iterator[tuple[Codes, int]]:
        return chunks(self.proposal, self.total, self.chunk, self.seed, "proposals")
