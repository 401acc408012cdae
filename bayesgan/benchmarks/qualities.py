"""What `benchmark results` measures: clusters covered, points of high quality, a class score, errors. No clock here."""

from collections.abc import Callable

import torch
from torch import Tensor

from bayesgan.basics.randomness import keyed_generator
from bayesgan.benchmarks.competitors import Competitor
from bayesgan.data import Dataset, to_float
from bayesgan.evaluation.classification import CHUNK, predictive_entropy
from bayesgan.evaluation.clusters import clusters_found, grid_coverage
from bayesgan.evaluation.image_scores import fit, outputs
from bayesgan.resampling import Resampler
from bayesgan.resampling.ratio import DensityRatio
from bayesgan.resampling.ratios.boosting import Boosting
from bayesgan.resampling.ratios.task import Task

__all__ = ["boosted", "by_discriminators", "class_score", "clusters", "errors", "high_quality", "plain"]

Sampling = Callable[[Competitor, Dataset, int], Tensor]  # competitor, data and seed -> samples
Quality = Callable[[Competitor, Tensor], float]
SAMPLES = 2000
FITTED = 6000  # training points that a ratio is fitted on
BUDGET = 20  # proposals an output


def plain(competitor: Competitor, data: Dataset, seed: int) -> Tensor:
    """Samples of the generators as they are."""
    proposal = competitor.proposal()
    return proposal.decode(proposal.draw(SAMPLES, keyed_generator(seed, "judged")))


def by_discriminators(competitor: Competitor, data: Dataset, seed: int) -> Tensor:
    """Metropolis-Hastings with the calibrated discriminator (Turner et al. 2019)."""
    return resampled(competitor, competitor.scores, data, "mh", seed)


def boosted(competitor: Competitor, data: Dataset, seed: int) -> Tensor:
    """OBRS with a boosted density ratio, this project's."""
    real = data.train[torch.randperm(len(data.train), generator=keyed_generator(seed, "fitted on"))[:FITTED]]
    score, _ = Boosting().fit(Task(competitor.proposal(), real, data.calibration, None, "logit", None, seed))
    return resampled(competitor, score, data, "obrs", seed)


def resampled(competitor: Competitor, score: Callable, data: Dataset, method: str, seed: int) -> Tensor:
    proposal = competitor.proposal()
    ratio = DensityRatio.fit(score, data.calibration, proposal, seed=seed)
    return Resampler(proposal, ratio, method, BUDGET).sample(SAMPLES, seed)


def clusters(data: Dataset) -> Quality:
    """Clusters that have a quarter of an even share of the samples."""
    return lambda competitor, samples: float(clusters_found(samples, data))


def high_quality(data: Dataset) -> Quality:
    """Share of points within 4 sd of a mode, times the share of modes that have any."""
    def measure(competitor: Competitor, samples: Tensor) -> float:
        coverage = grid_coverage(samples)
        return coverage.high_quality * coverage.modes / len(data.classes)

    return measure


def class_score(data: Dataset, steps: int) -> Quality:
    """exp of the mutual information of image and class, by a classifier trained here for so many steps."""
    classifier = fit(data.train, data.train_labels, len(data.classes), steps, seed=0)

    def measure(competitor: Competitor, samples: Tensor) -> float:
        p = outputs(classifier, samples)[0].softmax(1)
        return (predictive_entropy(p.mean(0)) - predictive_entropy(p).mean()).exp().item()

    return measure


def errors(data: Dataset) -> Quality:
    """Test data that the discriminators' average prediction has wrong, in percent."""
    def measure(competitor: Competitor, samples: Tensor) -> float:
        parts = [competitor.logits(to_float(part)).double().softmax(-1).mean(0) for part in data.test.split(CHUNK)]
        return 100 * (torch.cat(parts).argmax(1) != data.test_labels).double().mean().item()

    return measure
