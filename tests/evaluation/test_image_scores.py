"""Image scores on digits: what is known of real images, of one class, and of noise."""

import numpy as np
import pytest
import torch

from bayesgan.data import DATA_SETS, DataOptions, to_float
from bayesgan.evaluation.image_scores import Judge, frechet, two_sample_auc
from bayesgan.experiments.image_table import compare


@pytest.fixture(scope="module")
def digits():
    return DATA_SETS["digits"].load(DataOptions())


def test_real_images_score_best_and_a_missing_class_shows(digits):
    judge = Judge(digits.train, digits.train_labels, digits.test, digits.test_labels, steps=150)
    assert judge.accuracy > 0.9
    real, noise = judge.scores(digits.train), judge.scores(torch.randint(0, 256, digits.train.shape).to(torch.uint8))
    assert real["covered"] == 10 and 8 < real["class_score"] <= 10
    assert real["frechet"] < noise["frechet"] and real["class_score"] > noise["class_score"]
    some = judge.scores(digits.train[digits.train_labels < 5])
    assert some["covered"] == 5 and some["class_score"] < 5.5 and sum(some["class_shares"]) == pytest.approx(1)


def test_frechet_of_gaussians_is_known():
    """N(0, I) against N(m, s² I) in 3 dimensions: |m|² + 3 (s - 1)²."""
    random = np.random.default_rng(0)
    a, b = random.standard_normal((200_000, 3)), 2 * random.standard_normal((200_000, 3)) + np.array([1.0, 0, 0])
    assert frechet(a, b) == pytest.approx(4, abs=0.05)
    assert frechet(1e-5 * a, 1e-5 * b) == pytest.approx(1e-10 * frechet(a, b), rel=1e-6)  # whatever the unit
    assert frechet(a[:, :1], b[:, :1]) == pytest.approx(2, abs=0.05)


def test_two_sample_auc_is_half_for_the_same_law_and_one_for_another(digits):
    images = digits.train.float() / 127.5 - 1
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    same = two_sample_auc(images[order[:700]], images[order[700:1400]], steps=60)
    assert abs(same - 0.5) < 5 * (1 / (12 * 175)) ** 0.5  # sd of an AUC from 350 + 350 under equality is below this
    assert two_sample_auc(images[order[:700]], images[order[:700]].flip(2), steps=60) > 0.9


def test_real_images_are_not_scored_against_themselves(digits):
    """Frechet of n rows of N(0, I_d) to n others is about d²/(2n) whatever is real; to a set with them it is less."""
    random = np.random.default_rng(0)
    first, second = random.standard_normal((2, 1000, 64))
    assert frechet(first, np.concatenate([first, second])) < 0.5 * frechet(first, second)
    rows = compare({"noise": torch.rand(500, 1, 8, 8) * 2 - 1, "train": to_float(digits.train[:300])}, digits, 60)
    assert list(rows) == ["noise", "train", "real"]
    assert {row["images"] for row in rows.values()} == {len(digits.test) // 2}
    assert rows["real"]["frechet"] == pytest.approx(rows["train"]["frechet"], rel=0.5)
