"""The processes of one run, each with members of its own: who has which, and the few ways in which they talk.

Started by torchrun, or by whatever sets RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT. `Ranks()` is a process alone.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from bayesgan.basics.errors import InputError, reason

__all__ = ["Agreed", "RankLost", "Ranks", "connected", "environment_number", "rank_here", "ranks_started"]

Result = TypeVar("Result")
CONNECTING = 600.0  # seconds in which all processes must have started


class RankLost(RuntimeError):
    """Another process died, or did not answer in time."""


class Agreed(InputError):
    """Bad input that all processes know of; the first of them tells."""


def ranks_started() -> int:
    """How many processes the environment says there are."""
    return environment_number("WORLD_SIZE", 1)


def rank_here() -> int:
    """Which of them this is."""
    return environment_number("RANK", 0) if ranks_started() > 1 else 0


def environment_number(name: str, default: int) -> int:
    value = os.environ.get(name, str(default))
    if not value.isdecimal():
        raise InputError(f"{name} must be a whole number, got {value!r}; start the processes with torchrun")
    return int(value)


class Ranks:
    """One of `size` processes; alone by default.

    Attributes:
        rank: This process, 0 ... size - 1.
        size: How many there are.
        sent, talked: Bytes that this process has sent in `exchange`, and seconds it took, waiting for others included.
    """

    def __init__(self, group: dist.ProcessGroup | None = None):
        self.group = group
        self.rank = 0 if group is None else dist.get_rank(group)
        self.size = 1 if group is None else dist.get_world_size(group)
        self.sent, self.talked = 0, 0.0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes what all share."""
        return self.rank == 0

    def shares(self, count: int, ascending: bool = True) -> list[range]:
        """Who has which of `count` members: as even as can be, the smaller shares first or last."""
        cut = (lambda r: r * count // self.size) if ascending else (lambda r: -(-r * count // self.size))
        return [range(cut(rank), cut(rank + 1)) for rank in range(self.size)]

    def share(self, count: int) -> range:
        """Which of them this process has."""
        return self.shares(count)[self.rank]

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        if self.size > 1:
            with answering():
                dist.all_reduce(values, group=self.group)
        return values

    def gathered(self, own: Result) -> list[Result]:
        """What each process has given, small things, in the order of ranks. Also where all wait for each other."""
        if self.size == 1:
            return [own]
        found: list = [None] * self.size
        with answering():
            dist.all_gather_object(found, own, group=self.group)
        return found

    def objects_at_first(self, own: Result) -> list[Result] | None:
        """What each process has given, of any size and kind, brought to the first process; None elsewhere."""
        if self.size == 1:
            return [own]
        found: list | None = [None] * self.size if self.first else None
        with answering():
            dist.gather_object(own, found, dist.get_global_rank(self.group, 0), group=self.group)
        return found

    def most(self, own: int) -> int:
        """The largest number of all processes."""
        if self.size == 1:
            return own
        number = torch.tensor(own)
        with answering():
            dist.all_reduce(number, dist.ReduceOp.MAX, group=self.group)
        return int(number)

    def whole(self, own: Tensor) -> Tensor:
        """The leading axes of all processes one after the other, where this one's is; for small tensors."""
        return own if self.size == 1 else torch.cat([part.to(own.device) for part in self.gathered(own.cpu())])

    def exchange(self, rows: Tensor, give: list[int], get: list[int]) -> Tensor:
        """Sends the first give[0] of `rows` (n, ...) to rank 0, the next give[1] to rank 1, ...; returns what came.

        Args:
            get: How many come from each rank.
        """
        if self.size == 1:
            return rows
        found, begun = rows.new_empty(sum(get), *rows.shape[1:]), time.perf_counter()
        with answering():
            dist.all_to_all_single(found, rows.contiguous(), get, give, group=self.group)
        self.sent += (len(rows) - give[self.rank]) * rows[:1].nbytes
        self.talked += time.perf_counter() - begun
        return found

    def at_first(self, own: Tensor) -> list[Tensor] | None:
        """Tensors of any size, all brought to the first process; None elsewhere."""
        if self.size == 1:
            return [own]
        shapes = self.gathered(own.shape)
        with answering():
            if not self.first:
                dist.send(own.contiguous(), 0, group=self.group)
                return None
            found = [own]
            for rank, shape in enumerate(shapes[1:], 1):
                found.append(own.new_empty(shape))
                dist.recv(found[-1], rank, group=self.group)
        return found

    def from_first(self, call: Callable[[], Result]) -> Result:
        """Calls on the first process alone, and gives every process the result; bad input there ends all."""
        return self.gathered(self.together(lambda: call() if self.first else None))[0]

    def together(self, call: Callable[[], Result]) -> Result:
        """Calls on every process; bad input on any of them ends all.

        Raises:
            ValueError: The first one's, naming the rank if it is not everybody's.
        """
        if self.size == 1:
            return call()
        result = error = None
        try:
            result = call()
        except InputError as raised:
            error = str(raised)
        errors = self.gathered(error)
        for rank, found in enumerate(errors):
            if found is not None:
                alone = "" if all(other == found for other in errors) else f"rank {rank}: "
                raise Agreed(alone + found)
        return result

    def within(self, seconds: float) -> "Ranks":
        """The same processes; one that does not answer for so long counts as lost."""
        return self if self.size == 1 else Ranks(dist.new_group(timeout=timedelta(seconds=seconds)))

    def agree(self, **own) -> None:
        """Raises InputError where processes differ in what must be the same, naming the first difference."""
        everybody = self.gathered(own)
        for name, value in everybody[0].items():
            for rank, other in enumerate(everybody):
                if other.get(name) != value:
                    raise Agreed(f"all ranks must have the same {name}, rank 0 has {value} and rank {rank} "
                                 f"{other.get(name)}; start them with one command, code and data")


@contextmanager
def answering():
    """Turns what torch.distributed raises when a process is gone into `RankLost`."""
    try:
        yield
    except RuntimeError as error:
        why = re.sub(r"^\[[^]]*\] *", "", str(error).strip() or type(error).__name__)  # without gloo's file and line
        raise RankLost(f"another rank died or did not answer ({re.split('[.] |[.]?$', why, maxsplit=1)[0]})") from None


@contextmanager
def connected() -> Iterator[Ranks]:
    """The processes that torchrun started, connected as long as this lasts: GPUs by NCCL, all else by gloo."""
    if ranks_started() == 1:
        yield Ranks()
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    try:
        dist.init_process_group(backend, timeout=timedelta(seconds=CONNECTING))
    except (RuntimeError, ValueError) as error:
        raise InputError(f"the {ranks_started()} ranks cannot be connected ({reason(error)}); start them "
                         "with torchrun") from None
    try:
        yield Ranks(dist.group.WORLD)
    finally:
        dist.destroy_process_group()
