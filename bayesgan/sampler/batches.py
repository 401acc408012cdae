"""Where the chains' minibatches come from: rows of arrays drawn with replacement, or a shuffling loader."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sized
from numbers import Integral

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from bayesgan.basics.arrays import as_tensor, first_of, refuse_not_finite
from bayesgan.basics.errors import InputError, warn

__all__ = ["Unpack", "batches_of", "inputs_of", "moments_of", "warn_of_other_data", "warn_of_rounding"]

FIXED_ORDER = "the loader must shuffle, or a chain sees the same rows in every pass; pass shuffle=True"
LOST = 0.01  # of the spread of inputs, that may be rounded away
SAME = 1e-5  # of the root mean square, up to which means are those of the same data in other precision
ROWS = 1000  # of data that are looked at together
TOO_MANY_REPEATS = 20  # batches at the place they had in the first pass, before the order counts as fixed

Batch = tuple[Tensor, Tensor]  # inputs and targets, each (chains, B, ...)
Sources = Callable[[str, torch.device | str], list[torch.Generator]]  # role, device -> each chain's present stream
Unpack = Callable[[object], tuple[Tensor, Tensor]]  # a batch as the user's loader gives it -> inputs, targets


def batches_of(
    data, size: int | None, num_data: int, sources: Sources, device: torch.device, unpack: Unpack | None
) -> Iterator[Batch]:
    """Minibatches of what `PosteriorSampler.sample` takes, one of its own for each chain.

    Raises:
        ValueError: If the data are no such thing, or do not fit num_data.
    """
    if isinstance(data, TensorDataset):
        data = data.tensors
    if isinstance(data, (tuple, list)) and data and all(isinstance(part, (Tensor, np.ndarray)) for part in data):
        if len(data) != 2:
            raise InputError(f"data must be inputs and targets, got {len(data)} arrays; give two")
        refuse_unpack(unpack)
        inputs, targets = (as_tensor(part, "data").to(device) for part in data)
        refuse_not_finite(inputs, "inputs of the data")
        refuse_not_finite(targets, "targets of the data")
        return tensor_batches(inputs, targets, size, num_data, sources)
    if size is not None:
        raise InputError(f"batch_size is for arrays, got {size} with a {type(data).__name__}; a loader has its own")
    if not isinstance(data, Iterable):
        raise InputError(f"data must be (inputs, targets) or a loader of such pairs, got {type(data).__name__}")
    return loader_batches(data, num_data, sources, unpack)


def moments_of(data) -> list[float]:
    """What tells one data set of arrays from another in whatever order: rows, means, mean squares; empty of loaders."""
    data = data.tensors if isinstance(data, TensorDataset) else data
    if not isinstance(data, (tuple, list)) or not all(isinstance(part, (Tensor, np.ndarray)) for part in data):
        return []
    found = []
    for part in data:
        array, total, square = as_tensor(part, "data"), 0.0, 0.0
        for rows in array.split(ROWS):
            rows = rows.double()
            total, square = total + float(rows.sum()), square + float(rows.square().sum())
        found += [len(array), total / max(1, array.numel()), square / max(1, array.numel())]
    return found


def warn_of_other_data(now: list[float], before: list[float]) -> None:
    """Warns where `moments_of` two data sets say that draws would be of two posteriors."""
    for (rows, mean, square), (others, other_mean, other_square) in zip(batched(now), batched(before), strict=True):
        size = math.sqrt(max(square, other_square))
        if rows != others or abs(mean - other_mean) > SAME * size or abs(square - other_square) > SAME * size**2:
            warn("these are other data than the chains have moved on so far: draws of two posteriors would be one "
                 "mixture; begin a new sampler")
            return


def batched(moments: list[float]) -> Iterator[tuple[float, ...]]:
    """Three by three."""
    return zip(moments[::3], moments[1::3], moments[2::3], strict=True)


def warn_of_rounding(data, dtype: torch.dtype) -> None:
    """Warns where inputs (N, ...) in double precision differ by little more than numbers of `dtype` can tell apart."""
    inputs = data.tensors if isinstance(data, TensorDataset) else data
    inputs = inputs[0] if isinstance(inputs, (tuple, list)) and inputs else None
    if not isinstance(inputs, (Tensor, np.ndarray)):
        return
    kept = dtype == torch.float64 and torch.is_tensor(inputs)  # numpy's doubles become floats for every model
    inputs = as_tensor(inputs, "data", doubles=True)
    if kept or inputs.dtype != torch.float64 or inputs.dim() == 0 or len(inputs) < 2:
        return
    columns = inputs.reshape(len(inputs), -1)
    spread, lost = columns.std(0), (columns - columns.float().double()).abs().amax(0)
    varies = columns.amax(0) > columns.amin(0)
    if bad := (varies & (lost > LOST * spread)).nonzero()[:, 0].tolist():
        at = bad[0]
        warn(f"inputs become float32, and values of column {at} near {columns[0, at]:.6g}, which differ by "
             f"{spread[at]:.3g}, are rounded by up to {lost[at]:.3g}; subtract their mean first")


def inputs_of(data, unpack: Unpack | None) -> Tensor:
    """Inputs (n, ...) alone, of an array or of a loader that keeps their order."""
    data = first_of(data, batches=False)
    if isinstance(data, (Tensor, np.ndarray)):
        refuse_unpack(unpack)
        return as_tensor(data, "inputs")
    bare = isinstance(data, (tuple, list)) and any(isinstance(part, (Tensor, np.ndarray)) for part in data)
    if not isinstance(data, Iterable) or bare:
        what = f"a {type(data).__name__} of {len(data)} arrays" if bare else type(data).__name__
        raise InputError(f"inputs must be one array or a loader, or a tuple (inputs, targets), got {what}; give one of "
                         "them")
    order = sampler_of(data) if sampler_of(data) is not None else getattr(data, "batch_sampler", None)
    endless = isinstance(getattr(data, "dataset", None), IterableDataset)  # which has an order of its own
    if order is not None and not endless and list(order) != list(order):
        raise InputError("the loader shuffles, and nobody could tell whose predictions came out; pass shuffle=False")
    parts = []
    for batch in data:
        if unpack is not None:
            batch = unpack(batch)
        parts.append(as_tensor(batch[0] if isinstance(batch, (tuple, list)) else batch, "batches"))
    if not parts:
        raise InputError("the loader has no batches; an iterator can be gone through only once: pass a DataLoader")
    return torch.cat(parts)


def refuse_unpack(unpack: Unpack | None) -> None:
    """Raises InputError for what would never be called."""
    if unpack is not None:
        raise InputError("unpack is for the batches of a loader, and these are arrays; give inputs and targets as the "
                         "model takes them")


def tensor_batches(
    inputs: Tensor, targets: Tensor, size: int | None, num_data: int, sources: Sources
) -> Iterator[Batch]:
    """For each chain its own `size` rows of (N, ...) tensors, drawn with replacement; all rows if size is None."""
    if len(inputs) != len(targets) or len(inputs) != num_data:
        raise InputError(
            f"inputs and targets must have num_data {num_data} rows, got {len(inputs)} and {len(targets)}; "
            "num_data is the size of the whole training set"
        )
    if size is not None and (not isinstance(size, Integral) or isinstance(size, bool) or not 1 <= size <= num_data):
        raise InputError(f"batch_size must be a whole number in 1..num_data {num_data}, got {size!r}; None uses all "
                         "rows")
    while True:
        own = sources("rows", inputs.device)
        if size is None:
            yield inputs.expand(len(own), *inputs.shape), targets.expand(len(own), *targets.shape)
        else:
            rows = torch.stack([torch.randint(num_data, (size,), generator=source, device=inputs.device)
                                for source in own])
            yield inputs[rows], targets[rows]


def sampler_of(loader):
    """What chooses the rows of a loader, None where that cannot be told."""
    batch_sampler = getattr(loader, "batch_sampler", None)
    sampler = getattr(loader if batch_sampler is None else batch_sampler, "sampler", None)
    return sampler.sampler if isinstance(sampler, BatchSampler) else sampler  # with batch_size=None


def loader_batches(
    loader: Iterable, num_data: int, sources: Sources, unpack: Unpack | None
) -> Iterator[Batch]:
    """Each chain takes one of the next minibatches, at random; a shorter one at the end of a pass is left out."""
    sampler = sampler_of(loader)
    if isinstance(sampler, SequentialSampler):
        raise InputError(FIXED_ORDER)
    if isinstance(sampler, WeightedRandomSampler):
        raise InputError("the loader draws some rows more often than others, which is another posterior; pass "
                         "shuffle=True, and weigh the likelihood's terms if that is what you mean")
    if isinstance(sampler, DistributedSampler) and sampler.num_replicas > 1:
        raise InputError(f"the loader's DistributedSampler gives each process a part of the data, {len(sampler)} rows, "
                         "and its chains would sample another posterior; pass shuffle=True in every process")
    # a random sampler may go through more or fewer rows in a pass than there are; others name the rows they go through
    sized = getattr(loader, "dataset", None) if sampler is None or isinstance(sampler, RandomSampler) else sampler
    known = isinstance(sized, Sized)
    if known and num_data != len(sized):
        raise InputError(f"num_data must be the {len(sized)} rows of the loader's data, got {num_data}")
    size, first, repeats = None, [], 0  # of the first pass: a sum of each batch; batches since then at the same place
    if isinstance(sampler, (RandomSampler, SubsetRandomSampler)):
        repeats = None  # it is known to shuffle
    waiting: list[tuple[Tensor, Tensor]] = []
    for turn in itertools.count():
        rows = place = odd = 0
        for place, batch in enumerate(loader, 1):
            inputs, targets = pair_of(batch, unpack)
            if inputs.device.type == "cpu":  # elsewhere a look would wait for the device
                refuse_not_finite(inputs, f"inputs of batch {place} of the loader")
                refuse_not_finite(targets, f"targets of batch {place} of the loader")
            rows, size = rows + len(inputs), size or len(inputs)
            if odd or len(inputs) > size:
                raise InputError(f"batches must have one size, the last of a pass aside, got {odd or len(inputs)} rows "
                                 f"among batches of {size}; rows in others would never be trained on")
            if rows > num_data and not known:
                raise InputError(
                    f"num_data must be the rows of one pass through the loader, at least {rows}, got {num_data}"
                )
            if repeats is not None and len(inputs) < num_data:
                total = fingerprint(inputs) + fingerprint(targets)
                if turn == 0:
                    first.append(total)
                else:
                    repeats = repeats + 1 if place <= len(first) and first[place - 1] == total else None
                if repeats == TOO_MANY_REPEATS:
                    raise InputError(FIXED_ORDER)
            if len(inputs) != size:
                odd = len(inputs)
                continue
            if waiting and inputs.shape != waiting[0][0].shape:
                raise InputError(f"inputs of all batches must have one shape, got {tuple(waiting[0][0].shape[1:])} and "
                                 f"{tuple(inputs.shape[1:])} a datum; pad them")
            waiting.append((inputs, targets))
            own = sources("batches", "cpu")
            if len(waiting) == len(own):
                order = torch.randperm(len(own), generator=own[0])
                yield tuple(torch.stack(part) for part in zip(*(waiting[i] for i in order)))
                waiting = []
        if not place:
            raise InputError("the loader has no batches; an iterator can be gone through only once: pass a DataLoader")
        if rows <= num_data - size and not known:
            raise InputError(f"num_data must be the {rows} rows of one pass through the loader, got {num_data}")


def fingerprint(part: Tensor) -> float:
    """A number that tells batches apart, also those with the same rows in another order."""
    flat = part.reshape(len(part), -1).double()
    return (flat * torch.arange(1, flat.numel() + 1, device=flat.device).view_as(flat).sqrt()).sum().item()


def pair_of(batch, unpack: Unpack | None) -> tuple[Tensor, Tensor]:
    """Inputs and targets of one batch of a loader.

    Raises:
        ValueError: If the batch is no pair of arrays of one length, or `unpack` does not make one of it.
    """
    given = batch
    if unpack is not None:
        batch = unpack(batch)
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        maker = "unpack must return" if unpack is not None else "batches must be"
        example = ""
        if unpack is None and isinstance(given, dict) and len(given) > 1:
            one, other = list(given)[:2]
            example = f"; for example unpack=lambda batch: (batch[{one!r}], batch[{other!r}])"
        what = f"{type(batch).__name__} of {len(batch)}" if isinstance(batch, (tuple, list, dict)) else (
            type(batch).__name__)
        raise InputError(f"{maker} pairs (inputs, targets), got a {what}; say with unpack= which they are{example}")
    inputs, targets = (as_tensor(part, "batches") for part in batch)
    if inputs.dim() == 0 or targets.dim() == 0 or len(inputs) != len(targets):
        raise InputError(f"inputs and targets of a batch must have as many rows, got {tuple(inputs.shape)} and "
                         f"{tuple(targets.shape)}")
    return inputs, targets
