"""Where the chains' minibatches come from: rows of tensors drawn with replacement, or a shuffling loader."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sized

import torch
from torch import Tensor
from torch.utils.data import RandomSampler, SequentialSampler

from bayesgan.basics.errors import InputError

__all__ = ["loader_batches", "tensor_batches"]

FIXED_ORDER = "the loader must shuffle, or a chain sees the same rows in every pass; pass shuffle=True"
TOO_MANY_REPEATS = 20  # batches at the place they had in the first pass, before the order counts as fixed

Batch = tuple[Tensor, Tensor]  # inputs and targets, each (chains, B, ...)
Random = Callable[[str, torch.device | str], torch.Generator]  # role, device -> its stream at the present step


def tensor_batches(inputs: Tensor, targets: Tensor, size: int | None, num_data: int, chains: int, random: Random
                   ) -> Iterator[Batch]:
    """For each chain its own `size` rows of (N, ...) tensors, drawn with replacement; all rows if size is None."""
    if len(inputs) != len(targets) or len(inputs) != num_data:
        raise InputError(
            f"inputs and targets must have num_data {num_data} rows, got {len(inputs)} and {len(targets)}; "
            "num_data is the size of the whole training set"
        )
    if size is not None and not 1 <= size <= num_data:
        raise InputError(f"batch_size must be in 1..num_data {num_data}, got {size}; None uses all rows")
    while True:
        if size is None:
            yield inputs.expand(chains, *inputs.shape), targets.expand(chains, *targets.shape)
        else:
            rows = torch.randint(
                num_data, (chains, size), generator=random("rows", inputs.device), device=inputs.device
            )
            yield inputs[rows], targets[rows]


def loader_batches(loader: Iterable, num_data: int, chains: int, random: Random) -> Iterator[Batch]:
    """Each chain takes one of the next minibatches, at random; batches shorter than the first are left out."""
    batch_sampler = getattr(loader, "batch_sampler", None)
    sampler = getattr(loader if batch_sampler is None else batch_sampler, "sampler", None)
    if isinstance(sampler, SequentialSampler):
        raise InputError(FIXED_ORDER)
    # a random sampler may go through more or fewer rows in a pass than there are; others name the rows they go through
    sized = getattr(loader, "dataset", None) if sampler is None or isinstance(sampler, RandomSampler) else sampler
    known = isinstance(sized, Sized)
    if known and num_data != len(sized):
        raise InputError(f"num_data must be the {len(sized)} rows of the loader's data, got {num_data}")
    size, first, repeats = None, [], 0  # of the first pass: a sum of each batch; batches since then at the same place
    waiting: list[tuple[Tensor, Tensor]] = []
    for turn in itertools.count():
        rows = place = 0
        for place, batch in enumerate(loader, 1):
            if not (isinstance(batch, (tuple, list)) and len(batch) == 2 and all(map(torch.is_tensor, batch))):
                raise InputError(
                    f"batches must be pairs of tensors (inputs, targets), got {type(batch).__name__}; wrap the loader"
                )
            inputs, targets = batch
            rows, size = rows + len(inputs), size or len(inputs)
            if rows > num_data and not known:
                raise InputError(
                    f"num_data must be the rows of one pass through the loader, at least {rows}, got {num_data}"
                )
            if repeats is not None and len(inputs) < num_data:
                total = inputs.double().sum().item()
                if turn == 0:
                    first.append(total)
                else:
                    repeats = repeats + 1 if place <= len(first) and first[place - 1] == total else None
                if repeats == TOO_MANY_REPEATS:
                    raise InputError(FIXED_ORDER)
            if len(inputs) != size:
                continue
            waiting.append((inputs, targets))
            if len(waiting) == chains:
                order = torch.randperm(chains, generator=random("batches", "cpu"))
                yield tuple(torch.stack(part) for part in zip(*(waiting[i] for i in order)))
                waiting = []
        if not place:
            raise InputError("the loader has no batches; an iterator can be gone through only once: pass a DataLoader")
        if rows <= num_data - size and not known:
            raise InputError(f"num_data must be the {rows} rows of one pass through the loader, got {num_data}")

