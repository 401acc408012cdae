"""Small networks that tell real from generated data through a view of them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from bayesgan.basics.randomness import keyed_generator
from bayesgan.ensemble import Ensemble
from bayesgan.resampling.ratios.task import Task

__all__ = ["fit_network"]

NETWORKS = 2
WIDTH = 128
STEPS = 3000
BATCH = 256  # of real and as many of generated views
LOOK = 50  # steps between looks at data that are not fitted
PATIENCE = 10  # looks without gain before it stops
MOST = 2000  # real data, and as many generated; with more it finds artefacts in averages too


def fit_network(view: Callable[[Tensor], Tensor], task: Task, what: str) -> Callable[[Tensor], Tensor]:
    """Mean logit of two networks of two hidden layers, stopped where the loss on `task.check` is least.

    Args:
        view: Data (n, ...) -> (n, ...).
        what: The views in words.

    Returns:
        score(data (n, ...)) -> (n,), differentiable.
    """
    real = task.views(view, task.some(MOST), what)
    check = task.views(view, task.check, what)
    mean, spread = real.mean(0), real.std(0).clamp_min(1e-6)

    def standardised(data: Tensor) -> Tensor:
        return (view(data).reshape(len(data), -1).float() - mean) / spread

    fake = task.fakes(standardised, len(real), "fitted against")
    check_fake = task.fakes(standardised, len(check), "checked against")
    real, check = (real - mean) / spread, (check - mean) / spread
    networks = Ensemble(
        lambda: nn.Sequential(nn.Linear(real.shape[1], WIDTH), nn.LeakyReLU(0.2), nn.Linear(WIDTH, WIDTH),
                              nn.LeakyReLU(0.2), nn.Linear(WIDTH, 1)),
        NETWORKS, lambda member: keyed_generator(task.seed, "ratio", member), device=real.device,
    )
    adam = torch.optim.AdamW(networks.parameters.values(), lr=1e-3, weight_decay=1e-2)

    def logits(views: Tensor) -> Tensor:  # (n, F) or (networks, n, F) -> (networks, n)
        return networks.forward(views.expand(NETWORKS, *views.shape[-2:]), train=False)[..., 0]

    best, kept, waited = torch.inf, None, 0
    for step in range(STEPS):
        source = keyed_generator(task.seed, "ratio", NETWORKS, step)
        rows = [torch.randint(len(part), (NETWORKS, BATCH), generator=source).to(real.device) for part in (real, fake)]
        loss = softplus(-logits(real[rows[0]])).mean(1) + softplus(logits(fake[rows[1]])).mean(1)
        adam.zero_grad()
        loss.sum().backward()
        adam.step()
        if (step + 1) % LOOK == 0:
            with torch.no_grad():
                now = float(softplus(-logits(check).mean(0)).mean() + softplus(logits(check_fake).mean(0)).mean())
            waited = 0 if now < best else waited + 1
            if now < best:
                best, kept = now, {name: tensor.clone() for name, tensor in networks.state().items()}
            if waited == PATIENCE:
                break
    networks.load_state(kept)
    highest = logits(check).detach().mean(0).max()  # beyond what real data reach, a network has only its slopes

    def score(data: Tensor) -> Tensor:
        seen = standardised(data)
        return torch.stack([networks.forward_member(k, seen)[:, 0] for k in range(NETWORKS)]).mean(0).clamp(max=highest)

    return score
