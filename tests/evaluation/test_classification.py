"""Classification figures against numbers worked out by hand."""

import math

import pytest
import torch

from bayesgan.basics.randomness import keyed_generator
from bayesgan.ensemble import Ensemble
from bayesgan.evaluation.classification import Predictive, classification_figures, predictive_entropy, reliability
from bayesgan.networks import NETWORKS, NetworkSizes

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


def test_predictive_averages_probabilities_and_measures_disagreement():
    """Two sure classifiers that contradict each other: entropy log 2, all of it mutual information."""
    sure = [Predictive(p, predictive_entropy(p), 1) for p in (torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]))]
    both = Predictive.mean(sure)
    assert both.probabilities.tolist() == [[0.5, 0.5]] and both.classifiers == 2
    assert both.entropy.item() == pytest.approx(math.log(2)) == both.mutual_information.item()
    unsure = Predictive(torch.tensor([[0.5, 0.5]]), torch.tensor([math.log(2)]), 6)
    assert unsure.mutual_information.item() == pytest.approx(0)
    assert Predictive.mean([both, unsure]).mean_entropy.item() == pytest.approx(0.75 * math.log(2))


def test_predictive_of_an_ensemble_is_the_mean_of_its_members_softmax():
    sizes = NetworkSizes((5,), latent=2, generator_width=4, discriminator_width=4, layers=1, outputs=3)
    ensemble = Ensemble(lambda: NETWORKS["mlp"][1](sizes), 2, lambda m: keyed_generator(0, m))
    data = torch.randn(2300, 5)  # more than two chunks
    logits, _ = ensemble.forward(data.expand(2, -1, -1), train=False)
    each = logits.detach().double().softmax(-1)
    whole = Predictive.of(ensemble, data)
    assert (whole.probabilities - each.mean(0)).abs().max() < 1e-6
    assert (whole.mean_entropy - predictive_entropy(each).mean(0)).abs().max() < 1e-6
    assert (Predictive.of(ensemble, data, 1).probabilities - each[1]).abs().max() < 1e-6


def test_the_floor_of_ece_is_what_a_calibrated_classifier_scores():
    """359 images of ten classes: mean ECE of labels drawn from the probabilities themselves, which is far from 0."""
    source = torch.Generator().manual_seed(0)
    probabilities = (2 * torch.randn(359, 10, generator=source)).softmax(1)
    drawn = [torch.multinomial(probabilities, 1, generator=source)[:, 0] for _ in range(200)]
    figures = [classification_figures(probabilities, labels) for labels in drawn]
    floor, measured = figures[0].ece_floor, [one.ece for one in figures]
    assert floor > 0.04 and floor == pytest.approx(sum(measured) / 200, rel=0.05)
    assert classification_figures(probabilities.repeat(100, 1), drawn[0].repeat(100)).ece_floor < floor / 5
    sure = torch.eye(3, dtype=torch.float64)
    assert classification_figures(sure, torch.arange(3)).ece_floor == 0
