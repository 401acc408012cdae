"""Losses of an iteration that take more than scores: the generators', judged by every discriminator, and slopes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bayesgan.ensemble import Ensemble
from bayesgan.objectives import OBJECTIVES, feature_matching, real_score
from bayesgan.options import Options

__all__ = ["Losses", "generator_losses", "slope_penalty"]

Sources = Sequence[torch.Generator]  # one a discriminator


@dataclass
class Losses:
    """Mean losses of one iteration, priors left out.

    Of one process among several: its discriminators (K_r,), and its discriminators' part in those of all generators
    (I,). Put together by `Trainer.mean`: discriminators (K,), generators (I,).
    """

    discriminators: Tensor
    generators: Tensor


def generator_losses(
    options: Options, discriminators: Ensemble, real: Tensor, images: Tensor, sources: Sources
) -> Tensor:
    """The generators' losses at each of these images (K_r, n, ...), by each discriminator's view: (K_r, n).

    Seen through such noise, drawn from `sources`, as they learn with: otherwise what has no noise looks real to them,
    and generators learn nothing. With feature matching, which compares with real images, nothing has noise; images are
    whole minibatches then, and a minibatch's loss stands at each of its images.
    """
    noise = sources if discriminators.random and not options.feature_matching else None
    logits, features = discriminators.forward(images, train=noise is not None, freeze=True, noise=noise)
    if not options.feature_matching:
        return OBJECTIVES[options.objective].generator(real_score(logits)[..., None])
    with torch.no_grad():
        _, target = discriminators.forward(real, train=False, freeze=True)
    losses = feature_matching(target.unsqueeze(1), features.unflatten(1, (-1, options.gen_batch)))
    return losses.repeat_interleave(options.gen_batch, 1)


def slope_penalty(discriminators: Ensemble, real: Tensor, fake: Tensor, sources: Sources) -> Tensor:
    """sum_k mean (|∇_x l_k(x)| - 1)² at random points between real and fake (Gulrajani et al. 2017, alg. 1)."""
    count = min(real.shape[1], fake.shape[1])
    share = torch.stack([torch.rand(count, generator=source, device=real.device) for source in sources])
    share = share.view(*share.shape, *[1] * (real.dim() - 2))
    # of all generators: full coupling has their fakes in order
    drawn = torch.stack([own[torch.randperm(len(own), generator=source, device=real.device)[:count]]
                         for own, source in zip(fake, sources, strict=True)])
    points = (share * real[:, :count] + (1 - share) * drawn).requires_grad_()
    logits, _ = discriminators.forward(points, train=False)
    (slope,) = torch.autograd.grad(real_score(logits).sum(), points, create_graph=True)
    return ((slope.flatten(2).norm(dim=-1) - 1) ** 2).mean(-1).sum()
