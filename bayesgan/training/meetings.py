"""Who meets whom in an iteration: whose fakes each discriminator sees, and how they, and what it wants of them, travel.

A fake's number is generator * B_g + its place in the generator's minibatch. The tables are drawn on the CPU and alike
in every process, so that each knows what the others need and no device is waited for.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bayesgan.basics.ranks import Ranks

__all__ = ["Meetings", "Shown", "pairs"]


@dataclass(frozen=True)
class Meetings:
    """Of one iteration, all members of all processes.

    Attributes:
        fakes: (K, F) numbers of the fakes that each discriminator learns from.
        judged: (K, g) generators that each discriminator scores.
        weights: (K, g) of these scores; those of a generator add up to 1.
    """

    fakes: Tensor
    judged: Tensor
    weights: Tensor

    def judged_fakes(self, batch: int) -> Tensor:
        """(K, g * batch) numbers of the fakes that are scored."""
        return (self.judged[:, :, None] * batch + torch.arange(batch)).flatten(1)


class Shown:
    """The fakes that the discriminators of this process see, made here or sent by whoever made them.

    Args:
        made: (n, ...) the fakes of this process's generators.
        generators, discriminators: Which members each process has.
        batch: B_g, fakes of one generator.

    Attributes:
        images: (m, ...).
        fakes: (K_r, F), `Meetings.fakes` of the discriminators here as rows of `images`.
        judged: (K_r, g * B_g) the same of `Meetings.judged_fakes`.
        generators, weights: (K_r, g) whose these are, and what they count.
    """

    def __init__(
        self, ranks: Ranks, made: Tensor, meetings: Meetings, generators: list[range], discriminators: list[range],
        batch: int,
    ):
        self.ranks, self.made = ranks, made
        own = discriminators[ranks.rank]
        self.generators, self.weights = (part[own.start : own.stop] for part in (meetings.judged, meetings.weights))
        tables = meetings.fakes, meetings.judged_fakes(batch)
        if ranks.size == 1:
            self.images, (self.fakes, self.judged) = made, tables
            return
        wanted = [torch.cat([table[own.start : own.stop].flatten() for table in tables]).unique()
                  for own in discriminators]
        makers = [range(batch * own.start, batch * own.stop) for own in generators]
        here, mine = makers[ranks.rank], wanted[ranks.rank]
        given = [rows[(rows >= here.start) & (rows < here.stop)] - here.start for rows in wanted]
        self.given, self.give = torch.cat(given).to(made.device), [len(rows) for rows in given]
        self.get = [int(((mine >= other.start) & (mine < other.stop)).sum()) for other in makers]
        self.images = ranks.exchange(made[self.given], self.give, self.get)
        self.fakes, self.judged = (torch.searchsorted(mine, table[own.start : own.stop]) for table in tables)

    def returned(self, wanted: Tensor) -> Tensor:
        """What the discriminators of all processes want of `made`, from what those here want of `images`."""
        if self.ranks.size == 1:
            return wanted
        found = self.ranks.exchange(wanted, self.get, self.give)
        return torch.zeros_like(self.made).index_add_(0, self.given, found)


def pairs(generators: int, discriminators: int, source: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Generator numbers (K, g) and weights (K, g); each generator's weights add up to 1.

    Args:
        source: Of random judges, as many generators for each discriminator; None pairs all with all.
    """
    if source is None:
        judged = torch.arange(generators).expand(discriminators, -1)
    else:
        share = -(-generators // discriminators)  # where it does not divide, some generators get two judges
        order = torch.randperm(generators, generator=source)
        judged = order.repeat(-(-discriminators * share // generators))[: discriminators * share]
        judges = torch.randperm(discriminators, generator=source)
        judged = judged.view(share, discriminators).T[judges]
    ones = torch.ones(judged.numel(), dtype=torch.float64)
    judges = ones.new_zeros(generators).index_add_(0, judged.flatten(), ones)
    return judged, 1 / judges[judged]
