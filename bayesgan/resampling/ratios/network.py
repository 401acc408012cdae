"""Small networks that tell real from generated data through a view of them."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu, softplus

from bayesgan.basics.randomness import keyed_generator
from bayesgan.resampling.ratios.task import Task

__all__ = ["fit_network"]

NETWORKS = 8  # one alone picks what it errs on
WIDTH = 64
STEPS = 3000
BATCH = 256  # of real and as many of generated views
LOOK = 50  # steps between looks at data that are not fitted
PATIENCE = 10  # looks in a row that gain less than GAIN nats before it stops
GAIN = 1e-3
MOST = 2000  # real data, and as many generated; with more it finds artefacts in averages too


def fit_network(view: Callable[[Tensor], Tensor], task: Task, what: str) -> Callable[[Tensor], Tensor]:
    """Mean logit of eight networks of two hidden layers, stopped where the loss on `task.check` is least.

    Args:
        view: Data (n, ...) -> (n, ...).
        what: The views in words.

    Returns:
        score(data (n, ...)) -> (n,), differentiable.
    """
    real = task.views(view, task.some(MOST), what)
    check = task.views(view, task.check, what)
    mean, spread = real.mean(0), real.std(0)
    spread = spread.clamp_min(0.1 * float(spread.square().mean().sqrt()))  # or what hardly varies becomes an artefact

    def standardised(data: Tensor) -> Tensor:
        return (view(data).reshape(len(data), -1).float() - mean) / spread

    fake = task.fakes(standardised, len(real), "fitted against")
    check_fake = task.fakes(standardised, len(check), "checked against")
    real, check = (real - mean) / spread, (check - mean) / spread
    layers, source = [], keyed_generator(task.seed, "ratio")
    for inputs, outputs in pairwise((real.shape[1], WIDTH, WIDTH, 1)):
        weights = torch.randn(NETWORKS, inputs, outputs, generator=source) * (2 / inputs) ** 0.5
        layers.append([part.to(real.device).requires_grad_() for part in (weights, torch.zeros(NETWORKS, 1, outputs))])
    adam = torch.optim.AdamW([part for layer in layers for part in layer], lr=1e-3, weight_decay=1e-2)

    def logits(views: Tensor) -> Tensor:  # (n, F) or (networks, n, F) -> (networks, n)
        units = views.expand(NETWORKS, *views.shape[-2:])
        for number, (weights, biases) in enumerate(layers):
            units = torch.baddbmm(biases, leaky_relu(units, 0.2) if number else units, weights)
        return units[..., 0]

    best, kept, waited = torch.inf, None, 0
    for step in range(STEPS):
        source = keyed_generator(task.seed, "ratio", step)
        rows = [torch.randint(len(part), (NETWORKS, BATCH), generator=source).to(real.device) for part in (real, fake)]
        loss = softplus(-logits(real[rows[0]])).mean(1) + softplus(logits(fake[rows[1]])).mean(1)
        adam.zero_grad()
        loss.sum().backward()
        adam.step()
        if (step + 1) % LOOK == 0:
            with torch.no_grad():
                now = float(softplus(-logits(check).mean(0)).mean() + softplus(logits(check_fake).mean(0)).mean())
            waited = 0 if now < best - GAIN else waited + 1
            if now < best:
                best, kept = now, [[part.detach().clone() for part in layer] for layer in layers]
            if waited == PATIENCE:
                break
    layers[:] = kept
    highest = logits(check).mean(0).max()  # beyond what real data reach, a network has only its slopes

    def score(data: Tensor) -> Tensor:
        return logits(standardised(data)).mean(0).clamp(max=highest)

    return score
