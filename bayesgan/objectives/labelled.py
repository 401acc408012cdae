"""The labelled term of the semi-supervised posterior (Saatchi & Wilson 2017, section 2.2): K classes and the fake."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from bayesgan.objectives.gan import real_score

__all__ = ["labelled_loss"]


def labelled_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """-mean log D(x = y), the fake class included with logit 0: (..., S, K), (..., S) -> (...).

    D(x = y) = exp(l_y) / (1 + sum_c exp(l_c)), so the loss is mean softplus(l) - l_y with l = logsumexp of the logits.
    """
    own = torch.gather(logits, -1, labels.unsqueeze(-1)).squeeze(-1)
    return (softplus(real_score(logits)) - own).mean(-1)
