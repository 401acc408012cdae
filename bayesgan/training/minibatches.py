"""What both players are shown in an iteration: latent draws, real images, labelled images."""

from collections.abc import Sequence

import torch
from torch import Tensor

from bayesgan.data import Dataset, distorted, shifted, to_float
from bayesgan.options import Options

__all__ = ["distorted_batches", "labelled_batches", "latent_draw", "real_batches", "unlabelled_batch"]

GENTLE = 0.3  # of the distortions, once a run settles

Sources = Sequence[torch.Generator]  # one a member: what it sees depends on no other member


def latent_draw(count: int, size: int, sources: Sources) -> Tensor:
    """z, (members, count, size), standard normal."""
    return torch.stack([torch.randn(count, size, generator=source, device=source.device) for source in sources])


def real_batches(options: Options, data: Dataset, sources: Sources) -> Tensor:
    """A minibatch of real data for each member, drawn with replacement: (members, B, ...)."""
    return images_of(options, data, [drawn(len(data.train), options.batch_size, source) for source in sources], sources)


def labelled_batches(options: Options, data: Dataset, rows: Tensor, sources: Sources) -> tuple[Tensor, Tensor]:
    """A minibatch for each member of the labelled images `rows` (N,): (members, S, ...), (members, S).

    All N where the minibatch holds them, else drawn with replacement.
    """
    some = options.label_batch < len(rows)
    each = [rows[drawn(len(rows), options.label_batch, source)] if some else rows for source in sources]
    return images_of(options, data, each, sources), data.train_labels[torch.stack(each)]


def unlabelled_batch(options: Options, data: Dataset, source: torch.Generator) -> tuple[Tensor, Tensor]:
    """Training images for the teacher, drawn with replacement: their rows (U,), and as it sees them (U, ...)."""
    rows = drawn(len(data.train), options.unlabelled_batch, source)
    return rows, images_of(options, data, [rows], [source])[0]


def distorted_batches(
    options: Options, data: Dataset, rows: Tensor, sources: Sources, settled: bool = False
) -> Tensor:
    """The training images `rows` (U,) as each member, a student, sees them: (members, U, ...)."""
    images, strength = to_float(data.train[rows]), options.distort * (GENTLE if settled else 1)
    return torch.stack([distorted(images, strength, source) for source in sources])


def drawn(size: int, count: int, source: torch.Generator) -> Tensor:
    return torch.randint(size, (count,), generator=source, device=source.device)


def images_of(options: Options, data: Dataset, each: list[Tensor], sources: Sources) -> Tensor:
    """The training images of every member's rows (B,), each set shifted by its own source: (members, B, ...)."""
    images = to_float(data.train[torch.stack(each)])
    if not options.shift:
        return images
    return torch.stack([shifted(own, options.shift, source) for own, source in zip(images, sources, strict=True)])
