"""Terms of the semi-supervised posterior that know classes: of labelled images, and of those a teacher is sure of."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, softplus

from bayesgan.objectives.gan import real_score

__all__ = ["consistency_loss", "labelled_loss"]


def labelled_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """-mean log D(x = y), the fake class included with logit 0: (..., S, K), (..., S) -> (...).

    Saatchi & Wilson 2017, section 2.2: K classes and the fake.

    D(x = y) = exp(l_y) / (1 + sum_c exp(l_c)), so the loss is mean softplus(l) - l_y with l = logsumexp of the logits.
    """
    own = torch.gather(logits, -1, labels.unsqueeze(-1)).squeeze(-1)
    return (softplus(real_score(logits)) - own).mean(-1)


def consistency_loss(logits: Tensor, classes: Tensor, sure: Tensor) -> Tensor:
    """-mean 1[sure] E log p(class | real): (K, U, Y) of distorted images, (U, Y) probabilities, (U,) bool -> (K,).

    Sohn et al. 2020 (FixMatch), eq. 4, whose classes are certain. Unlike the labelled term it leaves the fake class
    out: a distorted image need not look real.
    """
    members, count, _ = logits.shape
    classes = classes.to(logits).repeat(members, 1)
    each = cross_entropy(logits.flatten(0, 1), classes, reduction="none").view(members, count)
    return (each * sure).mean(1)
