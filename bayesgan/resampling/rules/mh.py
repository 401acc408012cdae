"""Metropolis-Hastings with the generator as independent proposal (MH-GAN, Turner et al. 2019), all chains at once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bayesgan.basics.errors import InputError
from bayesgan.resampling.registry import RULES, Rule, Selection

__all__ = ["MetropolisHastings", "last_states", "metropolis_hastings"]

CHAINS = 2048  # of a thread at a time: a proposal of all of them stays in its cache


def metropolis_hastings(log_w: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """The last state of each of n independence chains that accept i over j with probability min(1, w_i / w_j).

    No loop over chains: state j gives way to i when log w_j < t_i = log w_i + Exp(1), so a chain ends in the first j
    that no later t_i beats. (Were that j jumped over by a move from s to i, then t_i >= log w_s > t_j > log w_j: a
    contradiction.)

    Args:
        log_w: (n, K+1) log density ratios; column 0 is the start, the others the proposals in order.
        generator: Of the acceptance draws.

    Returns:
        (n,) int64, the picked column; 0 where nothing was accepted.

    Raises:
        ValueError: If log_w has no proposals or holds NaN.
    """
    if log_w.dim() != 2 or log_w.shape[1] < 2:
        raise InputError(f"log_w must be (chains, 1 + proposals), got {tuple(log_w.shape)}; column 0 is the start")
    if log_w.isnan().any():
        raise InputError("log_w holds NaN; a score is undefined there, see the discriminator")
    source = generator or torch.default_generator
    seed = int(torch.randint(2**62, (), generator=source, device=source.device))
    top = log_w.amax(1, keepdim=True)  # in float32 a large constant would leave nothing of the differences
    chains = (log_w - top.where(top.isfinite(), 0)).detach().cpu().numpy()

    def run(first: int) -> np.ndarray:
        part = np.ascontiguousarray(chains[first : first + CHAINS].T, dtype=np.float32)
        # numpy: its ziggurat draws exponentials six times as fast as torch does on a CPU
        source = np.random.Generator(np.random.SFC64([seed, first]))
        return last_states(part, source.standard_exponential(part.shape, dtype=np.float32))

    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        picked = np.concatenate(list(threads.map(run, range(0, len(chains), CHAINS))))
    return torch.from_numpy(picked).to(log_w.device)


def last_states(log_w: np.ndarray, challenges: np.ndarray) -> np.ndarray:
    """The picked proposals (n,) of chains side by side (K+1, n), given Exp(1) draws (K+1, n), the first of no use."""
    beaten = np.full(log_w.shape[1], -np.inf, log_w.dtype)  # max over i > j of t_i
    picked, stays = np.empty(log_w.shape[1], np.int64), np.empty(log_w.shape[1], bool)
    for j in range(len(log_w) - 1, -1, -1):
        np.greater_equal(log_w[j], beaten, out=stays)
        np.copyto(picked, j, where=stays)
        challenges[j] += log_w[j]
        np.maximum(beaten, challenges[j], out=beaten)
    return picked


@RULES.register("mh")
@dataclass(frozen=True)
class MetropolisHastings(Rule):
    """Chains of `budget` proposals; each outputs its last state.

    Attributes:
        start: generator: the first of its proposals. real: a held-out datum's score; a chain that never leaves it is
            started again from the first of its own proposals, so nothing real is ever output.
        stuck: Of chains started by the generator that never moved. keep: output their start. raise: an error.
    """

    start: str = "generator"
    stuck: str = "keep"

    def __post_init__(self):
        if self.start not in ("generator", "real"):
            raise InputError(f"start must be generator or real, got {self.start!r}")
        if self.stuck not in ("keep", "restart", "raise"):
            raise InputError(f"stuck must be keep, restart or raise, got {self.stuck!r}")
        if (self.start, self.stuck) == ("real", "keep"):
            raise InputError("stuck keep with start real would output real data; use stuck restart or raise")
        if (self.start, self.stuck) == ("generator", "restart"):
            raise InputError("stuck restart is for start real; a chain started by the generator keeps its start, or "
                             "raises")

    @property
    def wants_real(self) -> bool:
        return self.start == "real"

    def select(self, log_w: Tensor, n: int, generator: torch.Generator, real: Tensor | None = None) -> Selection:
        chains = log_w.view(n, -1)  # (n, K)
        first = torch.arange(n, device=log_w.device) * chains.shape[1]

        def started_by_the_generator(rows: Tensor) -> Tensor:
            return metropolis_hastings(rows, generator) if rows.shape[1] > 1 else torch.zeros_like(first[: len(rows)])

        if self.start == "generator":
            column = started_by_the_generator(chains)
            moved = column > 0
        else:
            column = metropolis_hastings(torch.cat([real[:, None], chains], 1), generator) - 1
            moved = column >= 0
        if self.stuck == "raise" and not moved.all():
            raise InputError(f"{int((~moved).sum())} of {n} chains never moved; raise the budget, or let them stay "
                             "or restart with stuck")
        if self.start == "real" and not moved.all():
            column[~moved] = started_by_the_generator(chains[~moved])
        return Selection(first + column, moved)
