"""Priors against closed forms and automatic differentiation; schedules against their formulas."""

import math

import pytest
import torch
from torch import nn

from bayesgan import PosteriorSampler
from bayesgan.sampler import Cyclical, Laplace, Normal, Prior, StudentT, exponential_then_constant, polynomial, ramp

WEIGHTS = {"a": torch.tensor([[0.5, -2.0, 0.1]], dtype=torch.float64), "b": torch.tensor([3.0], dtype=torch.float64)}
SCALES = {"a": 0.5, "b": 2.0}


def test_log_densities_are_summed_closed_forms():
    normal = sum(-w**2 / (2 * s**2) - math.log(s * math.sqrt(2 * math.pi))
                 for s, w in [(1.5, 0.5), (1.5, -2.0), (1.5, 0.1), (6.0, 3.0)])
    assert Normal(3.0, SCALES).log_prob(WEIGHTS).item() == pytest.approx(normal, abs=1e-12)
    laplace = sum(-abs(w) / s - math.log(2 * s) for s, w in [(1.5, 0.5), (1.5, -2.0), (1.5, 0.1), (6.0, 3.0)])
    assert Laplace(3.0, SCALES).log_prob(WEIGHTS).item() == pytest.approx(laplace, abs=1e-12)
    nu = 5.0
    constant = math.lgamma((nu + 1) / 2) - math.lgamma(nu / 2) - 0.5 * math.log(nu * math.pi)
    student = sum(constant - math.log(s) - (nu + 1) / 2 * math.log1p((w / s) ** 2 / nu)
                  for s, w in [(1.5, 0.5), (1.5, -2.0), (1.5, 0.1), (6.0, 3.0)])
    assert StudentT(3.0, SCALES, degrees=nu).log_prob(WEIGHTS).item() == pytest.approx(student, abs=1e-12)


@pytest.mark.parametrize("kind", [Normal, Laplace, StudentT])
@pytest.mark.parametrize("scales", [None, SCALES])
def test_contract_gradients_are_added_and_scaled(kind, scales):
    prior = kind(0.7, scales)
    weights = {n: w.clone().requires_grad_() for n, w in WEIGHTS.items()}
    (-prior.log_prob(weights)).backward()
    expected = {n: 10 + 0.25 * w.grad for n, w in weights.items()}
    for w in weights.values():
        w.grad.fill_(10)
    prior.add_gradient(weights, 0.25)
    for n, w in weights.items():
        assert (w.grad - expected[n]).abs().max() < 1e-12


@pytest.mark.parametrize("kind", [Normal, Laplace, StudentT])
def test_bad_scales(kind):
    with pytest.raises(ValueError, match="degrees must be positive and finite"):
        StudentT(degrees=math.inf)
    for scale in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="scale must be a positive"):
            kind(scale)
    with pytest.raises(ValueError, match="degrees must be positive"):
        StudentT(degrees=0.0)


def test_schedules():
    falling = exponential_then_constant(2.0, 3.0, 10)
    assert [falling(0), falling(5), falling(10), falling(99)] == pytest.approx(
        [2, 2 * math.exp(-1.5), 2 * math.exp(-3), 2 * math.exp(-3)])
    assert polynomial(2.0, offset=4.0, power=1.0)(12) == pytest.approx(0.5)
    assert [ramp(0.6, 4, 3)(t) for t in (0, 3, 4, 5, 6, 7)] == pytest.approx([0, 0, 0.2, 0.4, 0.6, 0.6])
    cycle = Cyclical(0.3, 10, exploration=0.6)
    assert [cycle(0), cycle(5), cycle(10)] == pytest.approx([0.3, 0.15, 0.3]) and cycle(9) > 0
    assert [cycle.samples(t) for t in (0, 5, 6, 9, 10, 16)] == [False, False, True, True, False, True]


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: polynomial(1.0, offset=0.0), "offset must be positive"),
        (lambda: polynomial(1.0, power=0.5), "power must be"),
        (lambda: Cyclical(1.0, 1), "length must be at least 2"),
        (lambda: Cyclical(1.0, 4), "never samples"),
        (lambda: Cyclical(1.0, 5, 1.0), "exploration must be"),
    ],
)
def test_bad_schedules(make, words):
    with pytest.raises(ValueError, match=words):
        make()


class Around(Prior):
    """N(mean, 1) on every weight, and a pull of a network's weights towards each other."""

    def __init__(self, mean, pull=0.0):
        self.mean, self.pull = mean, pull

    def log_prob(self, weights):
        whole = torch.cat([weight.flatten() for weight in weights.values()])
        return -((whole - self.mean) ** 2).sum() / 2 - self.pull * whole.sum() ** 2 / 2


def test_a_prior_of_ones_own_is_differentiated_network_by_network():
    weights = {"w": torch.randn(3, 2, dtype=torch.float64, requires_grad=True)}
    weights["w"].grad = torch.ones_like(weights["w"])
    Around(torch.tensor(2.0), 5.0).add_gradient(weights, 0.25, networks=3)
    own = weights["w"].detach()
    assert torch.allclose(weights["w"].grad, 1 + 0.25 * (own - 2 + 5 * own.sum(1, keepdim=True)))


class Flat(Prior):
    def log_prob(self, weights):
        return torch.zeros(())


def test_a_flat_prior_adds_nothing_and_what_is_frozen_is_left_out():
    model = nn.Sequential(nn.Linear(2, 1, bias=False), nn.Linear(1, 1, bias=False))
    model[0].requires_grad_(False)
    model[1].weight.grad = torch.ones(1, 1)
    weights = dict(model.named_parameters())
    Flat().add_gradient(weights)
    assert model[1].weight.grad == 1
    Around(2.0).add_gradient(weights)
    assert torch.allclose(model[1].weight.grad, model[1].weight - 1) and model[0].weight.grad is None


def test_a_prior_of_ones_own_is_sampled_from_saved_and_told_from_another(tmp_path):
    """Without data the posterior is the prior, N(50, 1)."""
    def sampler(mean):
        return PosteriorSampler(nn.Linear(1, 1, bias=False), lambda o, t: 0 * o.sum(), 10, prior=Around(mean), lr=1.0,
                                friction=0.5, chains=8, burn_in=200, thin=20)

    data = torch.zeros(10, 1), torch.zeros(10, 1)
    first = sampler(torch.tensor(50.0)).run(data, 100, progress=False)
    drawn = torch.stack([draw.weights["weight"] for draw in first.draws])
    assert abs(drawn.mean() - 50) < 0.2 and abs(drawn.var() - 1) < 0.25
    first.save(tmp_path / "new" / "sampler.pt")
    assert sampler(torch.tensor(50.0)).load(tmp_path / "new" / "sampler.pt").step == first.step
    with pytest.raises(ValueError, match="saved with prior's mean"):
        sampler(torch.tensor(51.0)).load(tmp_path / "new" / "sampler.pt")


@pytest.mark.parametrize("given, words", [
    ((torch.ones(2),), "prior's scale must be a positive"), (("one",), "prior's scale must be a positive"),
    ((1.0, 0.5), "scales must be names"), ((1.0, {"weight": torch.ones(3)}), "scale of weight must be a positive"),
])
def test_scales_that_are_no_numbers(given, words):
    with pytest.raises(ValueError, match=words):
        Normal(*given)
