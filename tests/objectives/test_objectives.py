"""Losses against the formulas written out, and the contract every registered objective keeps."""

import math

import pytest
import torch

from bayesgan.objectives import OBJECTIVES, feature_matching, labelled_loss, real_score


def scores(*shape, seed=0):
    return 3 * torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_contract(name):
    """Means over the last axis; the generator wants higher scores, the discriminator real up and fake down."""
    objective = OBJECTIVES[name]
    real, fake = scores(4, 9).requires_grad_(), scores(4, 6, seed=1).requires_grad_()
    loss = objective.discriminator(real, fake)
    assert loss.shape == (4,) and torch.allclose(loss, objective.discriminator(real.repeat(1, 2), fake.repeat(1, 3)))
    low, high = torch.tensor([0.2]), torch.tensor([0.4])
    assert objective.discriminator(high, low) < objective.discriminator(low, high)
    assert objective.generator(high) < objective.generator(low)
    assert objective.generator(fake).shape == (4,)
    assert objective.discriminator(torch.full((3,), 800.0), torch.full((3,), -800.0)).isfinite()


def test_standard_is_algorithm_1():
    real, fake = scores(5), scores(7, seed=1)
    log_d = lambda s: torch.log(torch.sigmoid(s))  # noqa: E731
    expected = -(log_d(real).mean() + torch.log(1 - torch.sigmoid(fake)).mean())
    assert OBJECTIVES["standard"].discriminator(real, fake).item() == pytest.approx(expected.item(), abs=1e-12)
    assert OBJECTIVES["standard"].generator(fake).item() == pytest.approx(-log_d(fake).mean().item(), abs=1e-12)
    assert OBJECTIVES["standard"].discriminator(torch.zeros(2), torch.zeros(2)).item() == pytest.approx(math.log(4))


def test_least_squares_and_wasserstein():
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 2.0])
    assert OBJECTIVES["least_squares"].discriminator(real, fake).item() == pytest.approx((0 + 4) / 4 + (0 + 4) / 4)
    assert OBJECTIVES["least_squares"].generator(fake).item() == pytest.approx((1 + 1) / 4)
    assert OBJECTIVES["wasserstein"].discriminator(real, fake).item() == pytest.approx(1 - 2)
    assert OBJECTIVES["wasserstein"].generator(fake).item() == pytest.approx(-1)
    assert OBJECTIVES["wasserstein"].gradient_penalty == 10


def test_real_score_is_the_log_odds_of_the_classes_against_a_fake_logit_of_zero():
    logits = scores(6, 4)
    p_fake = torch.softmax(torch.cat([torch.zeros(6, 1), logits], 1), 1)[:, 0]
    assert torch.allclose(real_score(logits), torch.log((1 - p_fake) / p_fake))
    assert torch.allclose(real_score(logits[:, :1]), logits[:, 0])


def test_feature_matching():
    real, fake = scores(2, 8, 3), scores(2, 5, 3, seed=1)
    expected = [((real[k].mean(0) - fake[k].mean(0)) ** 2).sum() for k in range(2)]
    assert torch.allclose(feature_matching(real, fake), torch.stack(expected))


def test_labelled_loss_is_the_softmax_over_all_classes_and_fake():
    logits = torch.randn(2, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[0, 1, 2, 0, 1], [2, 2, 1, 0, 0]])
    with_fake = torch.cat([torch.zeros(2, 5, 1).double(), logits], -1)  # fake first, logit 0
    expected = [torch.nn.functional.cross_entropy(with_fake[k], labels[k] + 1) for k in range(2)]
    assert (labelled_loss(logits, labels) - torch.stack(expected)).abs().max() < 1e-12
