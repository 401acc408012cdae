"""Verdicts on samples that were made to deserve them."""

import numpy as np
import pytest
import torch

from bayesgan.data import DATA_SETS, DataOptions, Dataset, to_float
from bayesgan.evaluation.verdicts import Verdict, Yardstick


@pytest.fixture(scope="module")
def mixture():
    data = DATA_SETS["synthetic"].load(DataOptions())
    return data, Yardstick(data)


@pytest.fixture(scope="module")
def gaussian():
    """N(0, I) in 20 dimensions, without classes."""
    points = torch.from_numpy(np.random.default_rng(0).standard_normal((6000, 20)).astype(np.float32))
    data = Dataset("gaussian", points[:4000], points[4000:])
    return data, Yardstick(data)


def test_real_data_have_converged(mixture, gaussian):
    for data, yardstick in (mixture, gaussian):
        verdict = yardstick.verdict(data.test)
        assert verdict.word == "converged" and verdict.distance < yardstick.floor < 0.05
        assert verdict.diversity == pytest.approx(1) and verdict.clusters == (10 if data.classes else None)


def test_the_mean_has_collapsed_at_distance_one(gaussian):
    data, yardstick = gaussian
    verdict = yardstick.verdict(data.test.mean(0).expand(yardstick.count, -1))
    assert verdict.word == "collapsed" and verdict.diversity == 0
    assert verdict.distance == pytest.approx(1, abs=0.01)  # the ridge of `frechet`


@pytest.mark.parametrize("scale, shift, word", [
    (0.45, 0, "collapsed"), (0.7, 0, "converged"), (1, 0.4, "converged"), (1, 0.6, "not converged"),
    (0.6, 0.5, "not converged"),
])
def test_moved_and_shrunk_data_are_as_far_as_they_were_moved(gaussian, scale, shift, word):
    """N(m, s² I) is (|m|² + D (1 - s)²) / D from N(0, I), and s as diverse."""
    data, yardstick = gaussian
    verdict = yardstick.verdict(data.test * scale + shift)
    assert verdict.word == word and verdict.diversity == pytest.approx(scale, abs=1e-4)
    assert verdict.distance == pytest.approx(shift**2 + (1 - scale) ** 2, abs=0.02)


def test_a_mixture_of_few_clusters_has_collapsed_however_diverse(mixture):
    data, yardstick = mixture
    for kept, word in ((4, "collapsed"), (9, "converged")):
        samples = data.train[data.train_labels < kept]
        verdict = yardstick.verdict(samples[torch.randperm(len(samples))[: yardstick.count]])
        assert (verdict.word, verdict.clusters) == (word, kept) and verdict.diversity > 0.5


def test_a_few_odd_images_hide_no_collapse():
    """And noise in single pixels none: such images differ, but not in anything that real ones differ in."""
    data = DATA_SETS["digits"].load(DataOptions()).only([3])
    yardstick, real = Yardstick(data), to_float(data.test)
    same = real[:1].repeat(yardstick.count, 1, 1, 1)
    same[:3] = -same[:3]
    assert yardstick.verdict(same).word == "collapsed"
    assert yardstick.verdict(real).word == "converged" and yardstick.verdict(real).clusters is None


def test_what_is_not_finite_has_diverged(gaussian):
    data, yardstick = gaussian
    samples = data.test.clone()
    samples[5, 3] = float("inf")
    assert yardstick.verdict(samples) == Verdict("diverged")
