"""The kinetic temperature of a player: known without gradient noise, known with it, and said where it is off."""

import pytest
import torch

from bayesgan.basics.randomness import keyed_generator
from bayesgan.ensemble import Ensemble
from bayesgan.sampler import SGHMC
from bayesgan.sampler.priors import Normal
from bayesgan.training.players import Player

DATA, LR, FRICTION = 100, 0.1, 0.1


def player(temperature, noise=0.0, steps=4000, correct=False):
    """Two networks of 21 weights moved by their prior, and by gradient noise of this sd on the sum scale."""
    ensemble = Ensemble(lambda: torch.nn.Linear(20, 1), 2, lambda member: keyed_generator(0, member))
    sampler = SGHMC.from_sgd(list(ensemble.parameters.items()), LR, 1 - FRICTION, DATA, temperature=temperature,
                             generator=keyed_generator(0, "noise"))
    one = Player("generator", ensemble, sampler, Normal(1.0, ensemble.scales), DATA)
    source = keyed_generator(0, "gradients")
    for step in range(steps):
        push = sum((p * torch.randn(p.shape, generator=source)).sum() for p in ensemble.parameters.values())
        if correct and step % 100 == 0:
            one.correct(temperature)
        one.move(push * noise / DATA, read=step > 0 and step % 10 == 0, gauge=step >= 500 and step % 10 == 0)
    return one


@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_without_gradient_noise_it_is_the_nominal_one(temperature):
    one = player(temperature)
    measured = one.kinetic_temperatures()
    assert measured["all"] == pytest.approx(temperature, rel=0.08)
    assert set(measured) == {"all", "weight", "bias"} and one.heat(temperature) == ""
    together = (20 * measured["weight"] + measured["bias"]) / 21
    assert measured["all"] == pytest.approx(together)


def test_gradient_noise_heats_by_the_known_amount_and_is_told_in_words():
    """T + eta V / (2 alpha), eta = lr / N: 0.1 + .001 · 100 / .2 = .6."""
    one = player(0.1, noise=10.0)
    assert one.kinetic_temperatures()["all"] == pytest.approx(0.6, rel=0.1)
    assert "the generators have a kinetic temperature of 0." in one.heat(0.1) and "0.1 was asked" in one.heat(0.1)


def test_before_the_first_reading_nothing_is_claimed():
    one = player(1.0, steps=500)
    assert one.kinetic_temperatures() == {} and one.heat(1.0) == ""


@pytest.mark.parametrize("noise", [5.0, 20.0])
def test_subtracted_gradient_noise_leaves_the_nominal_temperature(noise):
    """beta_hat = eta V/2 is .0125 and .2 where alpha T is .01: friction rises, and then the step falls as well."""
    hot, right = player(0.1, noise, 1500), player(0.1, noise, 6000, correct=True)
    assert hot.kinetic_temperatures()["all"] > 0.15
    assert right.kinetic_temperatures()["all"] == pytest.approx(0.1, rel=0.1) and right.heat(0.1) == ""
    own = right.corrections()["weight"]
    beta_hat = 0.0005 * noise**2
    wanted = beta_hat / 0.08
    assert own["alpha"] == pytest.approx(min(0.9, wanted), rel=0.15)
    assert own["eta_scale"] == pytest.approx(min(1.0, 0.9 / wanted), rel=0.1)
    assert own["beta_hat"] == pytest.approx(own["eta_scale"] * beta_hat, rel=0.1)
