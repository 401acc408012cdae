"""Generators are judged through such noise as the discriminators learn with, or through none where features match."""

import pytest
import torch

from bayesgan.ensemble.stochastic import drawn_for
from bayesgan.objectives import OBJECTIVES, real_score
from bayesgan.options import load_data, resolve
from bayesgan.training.algorithm import Trainer

NOISY = {"num_gen": 2, "num_mcmc": 1, "num_disc": 2, "df_dim": 4, "z_dim": 3, "batch_size": 8, "num_layers": 2,
         "train_iter": 30, "noise": 0.7}


def run(**changes):
    options, _ = resolve({**NOISY, **changes}, "N" in changes)
    return Trainer(options, load_data(options))


@pytest.mark.parametrize("changes", [{}, {"objective": "wasserstein"}, {"N": 20, "feature_matching": False}])
def test_the_noise_of_judging_is_that_of_learning(changes):
    trainer, images = run(**changes), torch.rand(2, 5, 1, 8, 8) * 2 - 1
    ensemble = trainer.discriminators.ensemble
    found = trainer.judged(images, images)
    drawn = drawn_for(ensemble.network, images, trainer.sources("judging", trainer.discriminators), torch.float32)
    noise = drawn["noise.drawn"]
    assert noise.shape == images.shape and abs(noise.std() - 0.7) < 0.1
    state = {**ensemble.state(), "dropout.drawn": drawn.get("dropout.drawn", torch.ones(2, 5, 512))}
    logits, _ = ensemble.forward(images + noise, train=False, state=ensemble.state())
    if "dropout.drawn" in drawn:  # of the features alone
        features = ensemble.forward(images + noise, train=False)[1] * state["dropout.drawn"]
        logits = torch.baddbmm(state["logits.bias"][:, None], features, state["logits.weight"].transpose(1, 2))
    expected = OBJECTIVES[trainer.options.objective].generator(real_score(logits)[..., None])
    assert torch.allclose(found, expected, atol=1e-5)
    trainer.iteration = 1
    assert not torch.allclose(trainer.judged(images, images), found, atol=1e-3)


def test_features_are_matched_without_noise():
    trainer, images = run(N=20, feature_matching=True, gen_batch_size=5), torch.rand(2, 5, 1, 8, 8)
    assert trainer.judged(images, images).abs().max() == 0  # of the same images


def test_generators_learn_while_discriminators_see_noise():
    """With clean fakes these discriminators were fooled at once and for ever, as clean means real to them."""
    trainer = run(num_gen=1, num_disc=1, df_dim=16, batch_size=32, train_iter=400, burn_in=300, noise=1.0, lr=0.0005)
    losses = torch.stack([trainer.step().generators for _ in range(100)])[60:]
    assert losses.mean() > 0.5  # -log D of fakes; .14 when they were judged without noise
