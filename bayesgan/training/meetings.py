"""Who meets whom in an iteration: whose fakes each discriminator sees, and how they, and what it wants of them, travel.

A fake's number is generator * B_g + its place in the generator's minibatch. The tables are drawn on the CPU and alike
in every process, so that each knows what the others need and no device is waited for.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bayesgan.basics.ranks import Ranks
from bayesgan.options import Options

__all__ = ["Meetings", "Shown"]


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

    @classmethod
    def drawn(cls, options: Options, table: Callable[..., torch.Generator]) -> "Meetings":
        """Of an iteration of a run.

        Args:
            table: Key -> a stream on the CPU, alike in every process.
        """
        pool = options.generators * options.gen_batch
        if options.coupling == "full":
            fakes, source = torch.arange(pool).expand(options.discriminators, -1), None
        else:
            fakes, source = torch.stack([
                torch.randperm(pool, generator=table("fakes", member))[: options.batch_size]
                for member in range(options.discriminators)
            ]), table("judges")
        return cls(fakes, *pairs(options.generators, options.discriminators, source))

    def judged_fakes(self, batch: int) -> Tensor:
        """(K, g * batch) numbers of the fakes that are scored."""
        return (self.judged[:, :, None] * batch + torch.arange(batch)).flatten(1)


class Route:
    """Which fakes go where: there from whoever made them, or back.

    Args:
        wanted: Numbers of the fakes that each process needs, in order.
        made: Numbers of those that each process makes.
    """

    def __init__(self, ranks: Ranks, wanted: list[Tensor], made: list[range], device: torch.device):
        self.ranks, here = ranks, made[ranks.rank]
        rows = [within(numbers, here) - here.start for numbers in wanted]
        self.rows, self.give = torch.cat(rows).to(device), [len(own) for own in rows]
        self.get = [len(within(wanted[ranks.rank], others)) for others in made]

    def there(self, made: Tensor) -> Tensor:
        """What this process needs, of what all have made (n, ...)."""
        return self.ranks.exchange(made[self.rows], self.give, self.get)

    def back(self, values: Tensor, like: Tensor) -> Tensor:
        """The sum of what all processes give for what they got from here; of the shape of what was made here."""
        return torch.zeros_like(like).index_add_(0, self.rows, self.ranks.exchange(values, self.get, self.give))


def within(numbers: Tensor, some: range) -> Tensor:
    return numbers[(numbers >= some.start) & (numbers < some.stop)]


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
        self.made, own = made, slice(discriminators[ranks.rank].start, discriminators[ranks.rank].stop)
        fakes, judged = meetings.fakes, meetings.judged_fakes(batch)
        self.generators, self.weights = meetings.judged[own], meetings.weights[own]
        self.route = None
        if ranks.size == 1:
            self.images, self.fakes, self.judged = made, fakes, judged
            return
        makers = [range(batch * own.start, batch * own.stop) for own in generators]
        scored = [judged[them.start : them.stop].unique() for them in discriminators]
        seen = [torch.cat([fakes[them.start : them.stop].flatten(), rows]).unique()
                for them, rows in zip(discriminators, scored)]
        mine = seen[ranks.rank]
        self.images = Route(ranks, seen, makers, made.device).there(made)
        self.fakes, self.judged = torch.searchsorted(mine, fakes[own]), torch.searchsorted(mine, judged[own])
        self.scored = torch.searchsorted(mine, scored[ranks.rank]).to(made.device)  # rows of images
        self.route = Route(ranks, scored, makers, made.device)

    def returned(self, wanted: Tensor) -> Tensor:
        """What the discriminators of all processes want of `made`, from what those here want of `images`."""
        return wanted if self.route is None else self.route.back(wanted[self.scored], self.made)


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
