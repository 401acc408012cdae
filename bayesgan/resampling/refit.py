"""Discriminators trained on against the generators as they now stand: the last thing before calibration.

In training each discriminator chases moving generators. Against a frozen mixture the same network comes much closer to
the density ratio, and no selection rule can repair a blunt one.
"""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.nn.functional import softplus

from bayesgan.basics.errors import InputError
from bayesgan.basics.randomness import keyed_generator

__all__ = ["refit"]


def refit(
    score: Callable[[Tensor], Tensor],
    parameters: Iterable[Tensor],
    real: Callable[[Tensor], Tensor],
    size: int,
    generate: Callable[[int, torch.Generator], Tensor],
    *,
    steps: int = 2000,
    batch_size: int = 256,
    lr: float = 1e-3,
    seed: int = 0,
) -> list[float]:
    """Plain classification of real against generated data with Adam, its step falling to 0 along a cosine; in place.

    Args:
        score: score(data (n, ...)) -> logits of being real, (n,) or (n, K) for K discriminators; differentiable.
        parameters: What `score` learns.
        real: real(rows) -> data, for rows in 0..size-1.
        size: Real data there is.
        generate: generate(n, generator) -> data of the frozen mixture.
        steps: Minibatches.
        batch_size: Of real and, as many again, of generated data.
        lr: At the start.
        seed: Of minibatches and generated data.

    Returns:
        The mean loss of each tenth of the steps, in nats; log 4 = 1.386 is chance.

    Raises:
        ValueError: If steps or batch_size are below 1, or a loss is not finite.
    """
    if steps < 1 or batch_size < 1:
        raise InputError(f"refitting needs at least 1 step and 1 datum a batch, got {steps} and {batch_size}")
    adam = torch.optim.Adam(list(parameters), lr=lr)
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: (1 + math.cos(math.pi * step / steps)) / 2)
    losses = []
    for step in range(steps):
        source = keyed_generator(seed, "refit", step)
        with torch.no_grad():
            data = real(torch.randint(size, (batch_size,), generator=source))
            fake = generate(batch_size, source).to(data)
        logits = score(torch.cat([data, fake]))
        per_discriminator = softplus(-logits[:batch_size]).mean(0) + softplus(logits[batch_size:]).mean(0)
        adam.zero_grad()
        per_discriminator.sum().backward()
        adam.step()
        schedule.step()
        losses.append(per_discriminator.detach().mean())
    means = [part.mean().item() for part in torch.stack(losses).tensor_split(min(10, steps))]
    if not math.isfinite(means[-1]):
        raise InputError(f"refitting diverged with lr {lr}; lower it")
    return means
