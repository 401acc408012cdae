"""A small classifier and its chains, shared by the tests that sample a network's weights."""

import torch
from torch import nn

from bayesgan import PosteriorSampler


def sum_of_squares(outputs, targets):
    return -0.5 * ((outputs - targets) ** 2).sum()


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 3)).double()


def classes():
    source = torch.Generator().manual_seed(2)
    x = torch.randn(50, 2, dtype=torch.float64, generator=source)
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()


def classifier(model=None, **options):
    settings = {
        "mean_loss": nn.functional.cross_entropy,
        "num_data": 50,
        "lr": 0.02,
        "chains": 3,
        "burn_in": 4,
        "thin": 2,
    }
    if options.get("preconditioner"):
        settings["burn_in"] = 20
    return PosteriorSampler(model or network(), **{**settings, **options})
