"""Classification figures against numbers worked out by hand."""

import math

import pytest
import torch

from bayesgan.evaluation.classification import classification_figures, predictive_entropy, reliability

PROBABILITIES = torch.tensor([[0.8, 0.2], [0.6, 0.4], [0.1, 0.9], [0.45, 0.55]], dtype=torch.float64)
LABELS = torch.tensor([0, 1, 1, 1])


def test_figures_by_hand():
    figures = classification_figures(PROBABILITIES, LABELS)
    assert figures.accuracy == 0.75
    assert figures.nll == pytest.approx(-(math.log(0.8) + math.log(0.4) + math.log(0.9) + math.log(0.55)) / 4)
    assert figures.brier == pytest.approx((2 * 0.04 + 2 * 0.36 + 2 * 0.01 + 2 * 0.2025) / 4)
    # four different bins of 1/15, so each datum's |confidence - right| counts a quarter
    assert figures.ece == pytest.approx((0.2 + 0.6 + 0.1 + 0.45) / 4)


def test_data_of_one_bin_are_averaged_before_the_difference():
    probabilities = torch.tensor([[0.71, 0.29], [0.72, 0.28]])
    assert classification_figures(probabilities, torch.tensor([0, 1])).ece == pytest.approx(0.715 - 0.5, abs=1e-6)
    confidence, share, accuracy = reliability(probabilities, torch.tensor([0, 1]))
    assert share.sum() == 1 and share[10] == 1 and accuracy[10] == 0.5 and confidence[10].item() == pytest.approx(0.715)


def test_certain_and_wrong_stays_finite():
    assert math.isfinite(classification_figures(torch.tensor([[1.0, 0.0]]), torch.tensor([1])).nll)


def test_entropy():
    values = predictive_entropy(torch.tensor([[1.0, 0.0], [0.5, 0.5]]))
    assert values.tolist() == pytest.approx([0, math.log(2)])


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"got \(4, 2\) and 3 labels"):
        classification_figures(PROBABILITIES, LABELS[:3])
