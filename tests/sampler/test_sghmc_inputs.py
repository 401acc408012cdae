"""Settings, gradients and preconditioners that the chain takes, and those that it refuses in words."""

import math

import pytest
import torch

from bayesgan import SGHMC


def parameter(gradient=None):
    theta = torch.zeros(2, requires_grad=True)
    theta.grad = gradient
    return theta


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"alpha": 0.0}, "alpha must be in"), ({"alpha": 1.5}, "alpha must be in"), ({"eta": 0.0}, "eta must be pos"),
        ({"eta": -1.0}, "eta must be pos"), ({"eta": math.nan}, "eta must be pos"),
        ({"temperature": -0.1}, "temperature must be 0"), ({"beta_hat": 0.2}, "alpha . temperature"),
        ({"beta_hat": -1.0}, "beta_hat must be 0"), ({"scheme": "euler"}, "unknown scheme"),
        ({"preconditioner": "adam"}, "unknown preconditioner"), ({"preconditioner": [torch.ones(3)]}, "one tensor of"),
        ({"preconditioner": [torch.tensor([1.0, 0.0])]}, "must be positive everywhere"),
    ],
)
def test_bad_settings_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        SGHMC([parameter()], **{"eta": 0.1, **settings})


def test_bad_num_data_is_refused():
    with pytest.raises(ValueError, match="num_data must be positive"):
        SGHMC.from_sgd([parameter()], lr=0.1, momentum=0.9, num_data=0)


@pytest.mark.parametrize("gradient, words", [(None, "has no gradient"), (torch.tensor([0.0, math.inf]), "non-finite"),
                                             (torch.tensor([math.nan, 0.0]), "non-finite")])
def test_bad_gradients_are_named(gradient, words):
    good, bad = parameter(torch.zeros(2)), parameter(gradient)
    with pytest.raises(ValueError, match=f"parameter 1 .*{words}"):
        SGHMC([good, bad], 0.1).step()
    with pytest.raises(ValueError, match=f"parameter bad .*{words}"):
        SGHMC([("good", good), ("bad", bad)], 0.1).step()
    assert torch.equal(good, torch.zeros(2))  # nothing moved


def test_where_a_check_waits_for_the_device_it_comes_every_twentieth_step():
    """As on a GPU: a gradient that was bad at step 5 is found at step 20, through the weights it spoilt."""
    theta = parameter(torch.zeros(2))
    chain = SGHMC([theta], 0.1)
    assert chain.check_every == 1  # of a CPU
    chain.check_every = 20
    for step in range(20):
        theta.grad = torch.full((2,), math.nan) if step == 5 else theta.detach().clone()
        chain.step()
    theta.grad = theta.detach().clone()
    with pytest.raises(ValueError, match="non-finite gradient at step 20 or shortly before"):
        chain.step()


def test_sampling_with_an_adapting_preconditioner_is_refused():
    chain = SGHMC([parameter(torch.ones(2))], 0.1, preconditioner="rmsprop")
    with pytest.raises(ValueError, match="freeze_preconditioner"):
        chain.step()
    with pytest.raises(ValueError, match="has seen no gradient"):
        chain.freeze_preconditioner()


def test_a_preconditioner_may_be_a_list_or_a_tuple_and_nothing_else():
    moved = []
    for kind in (list, tuple):
        weight = torch.ones(3, requires_grad=True)
        chain = SGHMC([weight], 0.1, temperature=0.0, preconditioner=kind([torch.full((3,), 2.0)]))
        weight.sum().backward()
        chain.step()
        moved.append(weight.detach().clone())
    assert torch.equal(*moved) and torch.allclose(moved[0], torch.full((3,), 0.8))
    with pytest.raises(ValueError, match="unknown preconditioner"):
        SGHMC([torch.ones(3, requires_grad=True)], 0.1, preconditioner=torch.ones(3))
