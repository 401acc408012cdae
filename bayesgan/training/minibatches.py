"""What both players are shown in an iteration: latent draws, real images, labelled images, and how many of each."""

import torch
from torch import Tensor

from bayesgan.data import Dataset, distorted, shifted, to_float
from bayesgan.options import Options

__all__ = ["batch_sizes", "labelled_batches", "latent_draw", "real_batches", "unlabelled_batch"]


def latent_draw(members: int, count: int, size: int, generator: torch.Generator) -> Tensor:
    """z, (members, count, size), standard normal."""
    return torch.randn(members, count, size, generator=generator, device=generator.device)


def real_batches(options: Options, data: Dataset, members: int, generator: torch.Generator) -> Tensor:
    """An independent minibatch of real data for each member, drawn with replacement: (members, B, ...)."""
    shape = (members, options.batch_size)
    rows = torch.randint(len(data.train), shape, generator=generator, device=data.train.device)
    images = to_float(data.train[rows])
    return shifted(images, options.shift, generator) if options.shift else images


def labelled_batches(
    options: Options, data: Dataset, rows: Tensor, members: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A minibatch for each member of the labelled images `rows` (N,): (members, S, ...), (members, S).

    All N where the minibatch holds them, else drawn with replacement.
    """
    count = options.label_batch
    if count < len(rows):
        drawn = torch.randint(len(rows), (members, count), generator=generator, device=rows.device)
        rows = rows[drawn]
    else:
        rows = rows.expand(members, -1)
    images = to_float(data.train[rows])
    return shifted(images, options.shift, generator) if options.shift else images, data.train_labels[rows]


def unlabelled_batch(
    options: Options, data: Dataset, members: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Training images, drawn with replacement, for teacher and students.

    Returns:
        Their rows (U,), the images as the teacher sees them (U, ...), and distorted for each member (members, U, ...).
    """
    rows = torch.randint(len(data.train), (options.unlabelled_batch,), generator=generator, device=data.train.device)
    images = to_float(data.train[rows])
    seen = shifted(images, options.shift, generator) if options.shift else images
    return rows, seen, distorted(images.expand(members, *images.shape), options.distort, generator)


def batch_sizes(options: Options) -> tuple[int, int]:
    """Images that each discriminator trains on in an iteration, and that it judges for the generators."""
    pool, full = options.generators * options.gen_batch, options.coupling == "full"
    labelled = options.label_batch if options.semi else 0
    fakes = pool if full else min(options.batch_size, pool)
    trained = options.batch_size + fakes + labelled + options.unlabelled_batch
    return trained, pool if full else options.gen_batch * -(-options.generators // options.discriminators)
