"""Scores of small images with classifiers trained here, not Inception: coverage, class score, Frechet, two-sample."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bayesgan.basics.later import later
from bayesgan.basics.progress import Progress
from bayesgan.basics.randomness import keyed_generator
from bayesgan.data import to_float
from bayesgan.ensemble import Ensemble
from bayesgan.evaluation.classification import predictive_entropy
from bayesgan.networks import NETWORKS, NetworkSizes

__all__ = ["Judge", "classifier_network", "fit", "frechet", "outputs", "two_sample_auc"]

sqrtm = later("scipy.linalg", "sqrtm")
roc_auc_score = later("sklearn.metrics", "roc_auc_score")

CHUNK = 1000
SHOWN = 50  # steps from one state of a progress bar to the next
NEIGHBOUR = 3  # whose distance is the radius around a datum, for precision and recall


def classifier_network(shape: tuple[int, ...], classes: int) -> Callable[[], nn.Module]:
    """Makes a DCGAN discriminator for images of a shape (C, H, W), with 512 features and a logit a class."""
    sizes = NetworkSizes(shape, latent=1, generator_width=1, discriminator_width=32, layers=3, outputs=classes)
    return lambda: NETWORKS["dcgan"][1](sizes)


def fit(
    images: Tensor, labels: Tensor, classes: int, steps: int, seed: int, batch: int = 128,
    device: torch.device | str = "cpu", progress: Progress | None = None,
) -> Ensemble:
    """One DCGAN discriminator as a classifier of images (n, C, H, W), uint8 or in [-1, 1]; Adam, step falling to 0."""
    network = classifier_network(tuple(images.shape[1:]), classes)
    classifier = Ensemble(network, 1, lambda _: keyed_generator(seed, "judge"), device=device)
    adam = torch.optim.Adam(classifier.parameters.values(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 0.01, steps)
    for step in range(steps):
        rows = torch.randint(len(images), (batch,), generator=keyed_generator(seed, "judge", step))
        logits, _ = classifier.forward(to_float(images[rows].to(device))[None], train=True)
        loss = cross_entropy(logits[0], labels[rows].to(device))
        adam.zero_grad()
        loss.backward()
        adam.step()
        schedule.step()
        if progress is not None and (step + 1) % SHOWN == 0:
            progress.show(step + 1, f"loss {loss.item():.3f}")
    return classifier


@torch.no_grad()
def outputs(classifier: Ensemble, images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (n, Y) and features (n, F), float64."""
    parts = [classifier.forward_member(0, to_float(part.to(classifier.device))) for part in images.split(CHUNK)]
    return tuple(torch.cat(column).cpu().double() for column in zip(*parts))


class Judge:
    """A classifier of a data set's classes, trained on its labels.

    Attributes:
        accuracy: On the test images; a score means nothing without it.

    Args:
        reference: Images that Frechet distances are taken to; they must not be among the images scored, and be as many,
            since the distance falls with either.
    """

    def __init__(
        self,
        train: Tensor,
        labels: Tensor,
        test: Tensor,
        test_labels: Tensor,
        steps: int = 1500,
        seed: int = 0,
        reference: Tensor | None = None,
    ):
        self.classes = int(labels.max()) + 1
        self.classifier = fit(train, labels, self.classes, steps, seed)
        logits, features = outputs(self.classifier, test)
        self._features = features if reference is None else outputs(self.classifier, reference)[1]
        self.accuracy = (logits.argmax(1) == test_labels).double().mean().item()

    def scores(self, images: Tensor) -> dict:
        """Of images (n, C, H, W) in [-1, 1] or uint8.

        Returns:
            class_shares: Of the predicted classes; covered: how many have a quarter of an even share.
            class_score: exp(mean KL(p(y|x), p(y))), 1 to the number of classes (Salimans et al. 2016, this classifier).
            class_kl: KL of the predicted classes from an even share, in nats.
            frechet: Distance of Gaussians fitted to 512 features of images and of the reference (Heusel et al. 2017).
            precision, recall: Share of images among the reference's neighbours, and the other way round
                (Kynkäänniemi et al. 2019).
        """
        logits, features = outputs(self.classifier, images)
        p = logits.softmax(1)
        shares = p.argmax(1).bincount(minlength=self.classes).double() / len(p)
        divergence = predictive_entropy(p.mean(0)) - predictive_entropy(p).mean()
        return {
            "class_shares": shares.tolist(), "covered": int((shares >= 0.25 / self.classes).sum()),
            "class_kl": float(np.log(self.classes) - predictive_entropy(shares)),
            "class_score": divergence.exp().item(),
            "frechet": frechet(features.numpy(), self._features.numpy()),
            "precision": share_within(features, self._features), "recall": share_within(self._features, features),
        }


def share_within(points: Tensor, others: Tensor) -> float:
    """Share of points (n, F) nearer to one of the others (m, F) than that one's 3rd neighbour among the others."""
    radius = torch.cdist(others, others).kthvalue(NEIGHBOUR + 1, 1).values  # each is its own nearest
    return (torch.cdist(points, others) <= radius).any(1).double().mean().item()


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """|m_a - m_b|² + tr(S_a + S_b - 2 (S_a S_b)^½) of rows a (n, F) and b (m, F)."""
    covariances = [np.cov(rows, rowvar=False).reshape(2 * rows.shape[1:]) for rows in (a, b)]
    floor = 1e-6 * np.trace(covariances[1]) / b.shape[1]  # a root of what has one
    covariances = [covariance + floor * np.eye(b.shape[1]) for covariance in covariances]
    cross = sqrtm(covariances[0] @ covariances[1]).real
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * cross))


def two_sample_auc(real: Tensor, samples: Tensor, steps: int = 500, seed: int = 0) -> float:
    """AUC of a fresh classifier of real against sampled images on the halves not trained on; .5 is indistinguishable.

    The classifier two-sample test of Lopez-Paz & Oquab 2017, on as many real as sampled images.
    """
    count = min(len(real), len(samples))
    half = count // 2
    to_unit = [to_float(part[:count]) for part in (real, samples)]
    labels = torch.arange(2).repeat_interleave(half)
    judge = fit(torch.cat([part[:half] for part in to_unit]), labels, 2, steps, seed)
    logits, _ = outputs(judge, torch.cat([part[half:] for part in to_unit]))
    truth = np.repeat([0, 1], count - half)
    return float(roc_auc_score(truth, (logits[:, 1] - logits[:, 0]).numpy()))
