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

__all__ = ["Meetings", "Shown", "batch_sizes"]

MOST_JUDGES = 5  # of ten discriminators as many lost no cluster of the synthetic data; one to three did


@dataclass(frozen=True)
class Meetings:
    """Of one iteration, all members of all processes.

    Attributes:
        fakes: (K, F) numbers of the fakes that each discriminator learns from.
        judged: (K, n) numbers of the fakes that each discriminator scores.
        weights: (K, n) of these scores; those of a generator's fakes add up to 1.
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
        generators, discriminators, batch = options.generators, options.discriminators, options.gen_batch
        if options.coupling == "full" or not generators:
            everything = torch.arange(generators * batch).expand(discriminators, -1)
            even = torch.full((1, 1), 1 / (discriminators * batch), dtype=torch.float64)
            return cls(everything, everything, even.expand(everything.shape))
        fakes = torch.stack([even_mixture(generators, batch, options.batch_size, table("fakes", member))
                             for member in range(discriminators)])
        deal = whole if options.feature_matching else dealt  # that loss is of a whole minibatch
        return cls(fakes, *deal(generators, discriminators, batch, table("judges")))


def batch_sizes(options: Options) -> tuple[int, int]:
    """Images that each discriminator trains on in an iteration, and that it judges for the generators."""
    meetings = Meetings.drawn(options, lambda *key: torch.Generator())
    labelled = options.label_batch if options.semi else 0
    trained = options.batch_size + meetings.fakes.shape[1] if options.generators else 0
    return trained + labelled + options.unlabelled_batch, meetings.judged.shape[1]


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
        judged: (K_r, n) the same of `Meetings.judged`.
        generators, weights: (K_r, n) who made these, and what their scores count.
    """

    def __init__(
        self, ranks: Ranks, made: Tensor, meetings: Meetings, generators: list[range], discriminators: list[range],
        batch: int,
    ):
        self.made, own = made, slice(discriminators[ranks.rank].start, discriminators[ranks.rank].stop)
        fakes, judged = meetings.fakes, meetings.judged
        self.generators, self.weights = judged[own] // batch, meetings.weights[own]
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


def even_mixture(generators: int, batch: int, count: int, source: torch.Generator) -> Tensor:
    """Numbers of `count` fakes (all where there are fewer), as many of each generator, or one more: (F,)."""
    places = torch.rand(generators, batch, generator=source).argsort(1)  # each row a random order
    numbers = places + batch * torch.arange(generators)[:, None]
    return numbers[torch.randperm(generators, generator=source)].T.flatten()[:count]


def dealt(generators: int, discriminators: int, batch: int, source: torch.Generator) -> tuple[Tensor, Tensor]:
    """`judged` and `weights`: all fakes dealt like cards; each discriminator scores a share of each generator's.

    From a random fake on, round by round, to the discriminators in a random order: each fake to as many of them in
    succession as `judges` says. The last round is completed with fakes that have been dealt already. All scores of a
    fake count the same.
    """
    pool, each = generators * batch, judges(discriminators)
    rounds = -(-pool * each // discriminators)
    first = torch.randint(pool, (1,), generator=source)
    numbers = (first + torch.arange(rounds * discriminators) // each) % pool
    weights = 1 / (batch * times(numbers, pool))
    order = torch.randperm(discriminators, generator=source)
    return numbers.view(rounds, discriminators).T[order], weights.view(rounds, discriminators).T[order]


def whole(generators: int, discriminators: int, batch: int, source: torch.Generator) -> tuple[Tensor, Tensor]:
    """`judged` and `weights`: the whole minibatch of each generator to one random discriminator.

    Where the numbers do not divide, some generators get two, and with more discriminators than generators all several.
    """
    share = -(-generators // discriminators)
    order = torch.randperm(generators, generator=source)
    judged = order.repeat(-(-discriminators * share // generators))[: discriminators * share]
    judges = torch.randperm(discriminators, generator=source)
    judged = judged.view(share, discriminators).T[judges]
    weights = 1 / (batch * times(judged, generators))
    numbers = judged[:, :, None] * batch + torch.arange(batch)
    return numbers.flatten(1), weights.repeat_interleave(batch, 1)


def judges(discriminators: int) -> int:
    """How many of them score each fake under mixture coupling: half, and no more than `MOST_JUDGES`."""
    return min(-(-discriminators // 2), MOST_JUDGES)


def times(numbers: Tensor, size: int) -> Tensor:
    """How often each of the numbers, all below `size`, is among them: of the same shape, float64."""
    ones = torch.ones(numbers.numel(), dtype=torch.float64)
    return ones.new_zeros(size).index_add_(0, numbers.flatten(), ones)[numbers]
