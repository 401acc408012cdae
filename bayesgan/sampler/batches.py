"""Where the chains' minibatches come from: rows of tensors drawn with replacement, or a shuffling loader."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor
from torch.utils.data import SequentialSampler

from bayesgan.basics.errors import InputError

__all__ = ["loader_batches", "tensor_batches"]

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
    if isinstance(getattr(loader, "sampler", None), SequentialSampler):
        raise InputError("the loader must shuffle, or a chain sees the same rows in every pass; pass shuffle=True")
    size = None
    waiting: list[tuple[Tensor, Tensor]] = []
    while True:
        empty = True
        for batch in loader:
            if not (isinstance(batch, (tuple, list)) and len(batch) == 2 and all(map(torch.is_tensor, batch))):
                raise InputError(f"batches must be pairs of tensors (inputs, targets), got {type(batch).__name__}; "
                                 "wrap the loader")
            inputs, targets = batch
            empty, size = False, size or len(inputs)
            if len(inputs) > num_data:
                raise InputError(f"num_data must be at least the batch's {len(inputs)} rows, got {num_data}; it is the "
                                 "size of the whole training set")
            if len(inputs) != size:
                continue
            waiting.append((inputs, targets))
            if len(waiting) == chains:
                order = torch.randperm(chains, generator=random("batches", "cpu"))
                yield tuple(torch.stack(part) for part in zip(*(waiting[i] for i in order)))
                waiting = []
        if empty:
            raise InputError("the loader has no batches; an iterator can be gone through only once: pass a DataLoader")
