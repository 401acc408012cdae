"""The unsupervised posteriors of Saatchi & Wilson 2017 (eqs. 1, 2) and the usual maximum-likelihood alternatives.

Every loss is the MEAN over a minibatch of minus a log-likelihood term; N times it is the potential on the sum scale.
Scores l are log-odds of being real: D = sigmoid(l).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from bayesgan.basics.registry import Registry

__all__ = ["OBJECTIVES", "Objective", "feature_matching", "real_score"]


@dataclass(frozen=True)
class Objective:
    """Two losses on scores, reduced over the last axis, and how strongly the critic's slope is held at 1.

    Attributes:
        discriminator: (real scores (..., B), fake scores (..., F)) -> (...); real and fake count 1 : 1.
        generator: fake scores (..., F) -> (...).
        gradient_penalty: Weight of mean (|∇_x l| - 1)² between real and fake images; 0 for none.
        score: What its discriminators' scores are to resampling, one of `resampling.SCORES`.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]
    gradient_penalty: float = 0.0
    score: str = "logit"


OBJECTIVES: Registry[Objective] = Registry("objective")

# -log D(x) - log(1 - D(G(z))), and -log D(G(z)) for the generator: Algorithm 1's likelihoods
OBJECTIVES.register("standard")(
    Objective(
        discriminator=lambda real, fake: softplus(-real).mean(-1) + softplus(fake).mean(-1),
        generator=lambda fake: softplus(-fake).mean(-1),
    )
)

# Mao et al. 2017, targets 1 and 0: Gaussian likelihoods of unit variance on the score
OBJECTIVES.register("least_squares")(
    Objective(
        discriminator=lambda real, fake: ((real - 1) ** 2).mean(-1) / 2 + (fake**2).mean(-1) / 2,
        generator=lambda fake: ((fake - 1) ** 2).mean(-1) / 2,
        score="least_squares",
    )
)

# Gulrajani et al. 2017, eq. 3; as a potential it makes a Gibbs posterior, not a likelihood's
OBJECTIVES.register("wasserstein")(
    Objective(
        discriminator=lambda real, fake: fake.mean(-1) - real.mean(-1),
        generator=lambda fake: -fake.mean(-1),
        gradient_penalty=10.0,
        score="wasserstein",
    )
)


def real_score(logits: Tensor) -> Tensor:
    """Log-odds of real from K class logits with the fake logit fixed at 0: (..., K) -> (...)."""
    return torch.logsumexp(logits, -1)


def feature_matching(real: Tensor, fake: Tensor) -> Tensor:
    """Squared distance of the mean features (Salimans et al. 2016, section 3.1): (..., B, F), (..., B', F) -> (...)."""
    return ((real.mean(-2) - fake.mean(-2)) ** 2).sum(-1)
