"""Figures of class probabilities: accuracy, likelihood, calibration, uncertainty."""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from bayesgan.errors import InputError

__all__ = ["ClassificationFigures", "classification_figures", "predictive_entropy", "reliability"]

BINS = 15  # Guo et al. 2017


@dataclass(frozen=True)
class ClassificationFigures:
    """accuracy in [0, 1]; nll in nats per datum; brier in [0, 2]; ece in [0, 1] over 15 equal bins of confidence."""

    accuracy: float
    nll: float
    brier: float
    ece: float

    as_dict = asdict


def classification_figures(probabilities: Tensor, labels: Tensor) -> ClassificationFigures:
    """Figures of probabilities (n, Y), rows adding up to 1, against labels (n,)."""
    if probabilities.dim() != 2 or len(probabilities) != len(labels):
        raise InputError(f"probabilities must be (n, classes) for n labels, got {tuple(probabilities.shape)} and "
                         f"{len(labels)} labels")
    probabilities = probabilities.double()
    one_hot = torch.nn.functional.one_hot(labels, probabilities.shape[1]).double()
    confidence, share, accuracy = reliability(probabilities, labels)
    return ClassificationFigures(
        accuracy=(probabilities.argmax(1) == labels).double().mean().item(),
        nll=-(probabilities[torch.arange(len(labels)), labels].clamp_min(1e-300)).log().mean().item(),
        brier=((probabilities - one_hot) ** 2).sum(1).mean().item(),
        ece=(share * (confidence - accuracy).abs()).sum().item(),
    )


def reliability(probabilities: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean confidence, share of the data and accuracy in each of 15 equal bins of confidence; 0 in empty bins."""
    confidence, predicted = probabilities.double().max(1)
    bins = (confidence * BINS).long().clamp_max(BINS - 1)
    counts = bins.bincount(minlength=BINS).double()
    per_bin = lambda values: bins.bincount(values, minlength=BINS) / counts.clamp_min(1)  # noqa: E731
    return per_bin(confidence), counts / counts.sum(), per_bin((predicted == labels).double())


def predictive_entropy(probabilities: Tensor) -> Tensor:
    """-sum p log p over the last axis, in nats: (..., Y) -> (...)."""
    return torch.special.entr(probabilities.double()).sum(-1)
