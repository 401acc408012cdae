"""Figures of class probabilities: accuracy, likelihood, calibration, uncertainty."""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from bayesgan.basics.errors import InputError
from bayesgan.basics.randomness import keyed_generator
from bayesgan.ensemble import Ensemble

__all__ = [
    "CHUNK",
    "ClassificationFigures",
    "Predictive",
    "classification_figures",
    "predictive_entropy",
    "reliability",
]

BINS = 15  # Guo et al. 2017
CHUNK = 256  # data that one network computes at a time, which bounds the memory of activations


@dataclass
class Predictive:
    """Class probabilities averaged over classifiers, and how much of their entropy is disagreement.

    Attributes:
        probabilities: (n, Y) float64, the mean over classifiers.
        mean_entropy: (n,) in nats, the mean over classifiers of each one's entropy.
        classifiers: How many.
    """

    probabilities: Tensor
    mean_entropy: Tensor
    classifiers: int

    @classmethod
    @torch.no_grad()
    def of(cls, ensemble: Ensemble, data: Tensor, member: int | None = None) -> "Predictive":
        """Of the members of an ensemble of discriminators (or one of them) on float data (n, ...)."""
        members = range(ensemble.members) if member is None else [member]
        total, entropy = 0, 0
        for index in members:
            parts = [ensemble.forward_member(index, part.to(ensemble.device))[0].cpu() for part in data.split(CHUNK)]
            probabilities = torch.cat(parts).double().softmax(-1)
            total, entropy = total + probabilities, entropy + predictive_entropy(probabilities)
        return cls(total / len(members), entropy / len(members), len(members))

    @classmethod
    def mean(cls, several: list["Predictive"]) -> "Predictive":
        """The average over the classifiers of all of them."""
        count = sum(one.classifiers for one in several)
        return cls(sum(one.probabilities * one.classifiers for one in several) / count,
                   sum(one.mean_entropy * one.classifiers for one in several) / count, count)

    @property
    def entropy(self) -> Tensor:
        """(n,) in nats: of the averaged probabilities, all uncertainty."""
        return predictive_entropy(self.probabilities)

    @property
    def mutual_information(self) -> Tensor:
        """(n,) in nats: between class and classifier, the part that more labels would remove (Houlsby et al. 2011)."""
        return (self.entropy - self.mean_entropy).clamp_min(0)


@dataclass(frozen=True)
class ClassificationFigures:
    """accuracy in [0, 1]; nll in nats per datum; brier in [0, 2]; ece in [0, 1] over 15 equal bins of confidence.

    ece_floor is the ECE that a perfectly calibrated classifier with these confidences has on so few data, on average.
    """

    accuracy: float
    nll: float
    brier: float
    ece: float
    ece_floor: float

    as_dict = asdict


def classification_figures(probabilities: Tensor, labels: Tensor) -> ClassificationFigures:
    """Figures of probabilities (n, Y), rows adding up to 1, against labels (n,)."""
    if probabilities.dim() != 2 or len(probabilities) != len(labels):
        raise InputError(f"probabilities must be (n, classes) for n labels, got {tuple(probabilities.shape)} and "
                         f"{len(labels)} labels")
    probabilities = probabilities.double()
    if len(labels) == 0 or labels.is_floating_point() or labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise InputError(f"labels must be whole numbers in 0..{probabilities.shape[1] - 1}, one a row; leave data "
                         "without a label out")
    one_hot = torch.nn.functional.one_hot(labels, probabilities.shape[1]).double()
    confidence, share, accuracy = reliability(probabilities, labels)
    return ClassificationFigures(
        accuracy=(probabilities.argmax(1) == labels).double().mean().item(),
        nll=-(probabilities[torch.arange(len(labels)), labels].clamp_min(1e-300)).log().mean().item(),
        brier=((probabilities - one_hot) ** 2).sum(1).mean().item(),
        ece=(share * (confidence - accuracy).abs()).sum().item(),
        ece_floor=ece_floor(probabilities),
    )


def ece_floor(probabilities: Tensor, rounds: int = 100) -> float:
    """Mean ECE if every prediction of (n, Y) were right as often as it claims, by simulation."""
    confidence = probabilities.double().max(1).values.cpu()
    bins, source, total = bin_of(confidence), keyed_generator(0, "ece floor"), 0.0
    for _ in range(rounds):
        right = torch.bernoulli(confidence.clamp(0, 1), generator=source)
        total += bins.bincount(confidence - right, minlength=BINS).abs().sum().item() / len(confidence)
    return total / rounds


def bin_of(confidence: Tensor) -> Tensor:
    """The bin, 0..14, of each confidence."""
    return (confidence * BINS).long().clamp_max(BINS - 1)


def reliability(probabilities: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean confidence, share of the data and accuracy in each of 15 equal bins of confidence; 0 in empty bins."""
    confidence, predicted = probabilities.double().max(1)
    bins = bin_of(confidence)
    counts = bins.bincount(minlength=BINS).double()
    per_bin = lambda values: bins.bincount(values, minlength=BINS) / counts.clamp_min(1)  # noqa: E731
    return per_bin(confidence), counts / counts.sum(), per_bin((predicted == labels).double())


def predictive_entropy(probabilities: Tensor) -> Tensor:
    """-sum p log p over the last axis, in nats: (..., Y) -> (...)."""
    return torch.special.entr(probabilities.double()).sum(-1)
