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


class SmallNetworks:
    """Several networks of two hidden layers on standardised views; their mean logit is the ratio.

    Args:
        view: Data (n, ...) -> (n, ...).
        real: (m, F) views of real data, which standardise.
        source: Of the initial weights.
    """

    def __init__(self, view: Callable[[Tensor], Tensor], real: Tensor, source: torch.Generator):
        self.view, self.mean, spread = view, real.mean(0), real.std(0)
        # a least spread, or what hardly varies becomes an artefact
        self.spread = spread.clamp_min(0.1 * float(spread.square().mean().sqrt()))
        self.layers, self.highest = [], torch.inf
        for inputs, outputs in pairwise((real.shape[1], WIDTH, WIDTH, 1)):
            weights = torch.randn(NETWORKS, inputs, outputs, generator=source) * (2 / inputs) ** 0.5
            biases = torch.zeros(NETWORKS, 1, outputs)
            self.layers.append([part.to(real.device).requires_grad_() for part in (weights, biases)])

    def standardised(self, data: Tensor) -> Tensor:
        """(n, F) views of data."""
        return self.scaled(self.view(data).reshape(len(data), -1).float())

    def scaled(self, views: Tensor) -> Tensor:
        return (views - self.mean) / self.spread

    def logits(self, views: Tensor) -> Tensor:
        """(networks, n) for standardised views (n, F) or (networks, n, F)."""
        units = views.expand(NETWORKS, *views.shape[-2:])
        for number, (weights, biases) in enumerate(self.layers):
            units = torch.baddbmm(biases, leaky_relu(units, 0.2) if number else units, weights)
        return units[..., 0]

    def __call__(self, data: Tensor) -> Tensor:
        """(n,), differentiable."""
        return self.logits(self.standardised(data)).mean(0).clamp(max=self.highest)


def fit_network(view: Callable[[Tensor], Tensor], task: Task, what: str) -> SmallNetworks:
    """Mean logit of eight networks, stopped where the loss on `task.check` is least.

    Args:
        view: Data (n, ...) -> (n, ...).
        what: The views in words.
    """
    real = task.views(view, task.some(MOST), what)
    networks = SmallNetworks(view, real, keyed_generator(task.seed, "ratio"))
    real, check = networks.scaled(real), networks.scaled(task.views(view, task.check, what))
    fake = task.fakes(networks.standardised, len(real), "fitted against")
    check_fake = task.fakes(networks.standardised, len(check), "checked against")
    logits = networks.logits
    adam = torch.optim.AdamW([part for layer in networks.layers for part in layer], lr=1e-3, weight_decay=1e-2)
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
                best, kept = now, [[part.detach().clone() for part in layer] for layer in networks.layers]
            if waited == PATIENCE:
                break
    networks.layers = kept
    # beyond what real data reach, a network has only its slopes
    networks.highest = logits(check).mean(0).max().item()
    return networks
