"""Settings, gradients and preconditioners that the chain takes, and those that it refuses in words."""

import copy
import math
import pickle

import pytest
import torch

from bayesgan import SGHMC
from bayesgan.sampler.schedules import ramp


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


@pytest.mark.parametrize(
    "key, words",
    [("lr", "use eta, which is lr / num_data"), ("momentum", "use alpha, which is 1 - momentum"),
     ("weight_decay", "use a prior"), ("betas", "use preconditioner="), ("etta", "use one of eta, alpha, temperature")],
)
def test_settings_of_other_optimisers_are_refused_by_name(key, words):
    with pytest.raises(ValueError, match=f"has no '{key}'; {words}"):
        SGHMC([{"params": [parameter()], key: 0.1}], 0.1)
    chain = SGHMC([parameter()], 0.1)
    with pytest.raises(ValueError, match=f"has no '{key}'; {words}"):
        chain.add_param_group({"params": [parameter()], key: 0.1})


@pytest.mark.parametrize("scheduler", [lambda chain: torch.optim.lr_scheduler.StepLR(chain, 10),
                                       torch.optim.lr_scheduler.ReduceLROnPlateau])
def test_a_scheduler_is_told_that_eta_is_a_function_of_the_step(scheduler):
    with pytest.raises(ValueError, match="has no '(lr|initial_lr)'; use eta.*It may be a function of the step"):
        chain = SGHMC([parameter()], 0.1)
        scheduler(chain).step(1.0)


@pytest.mark.parametrize("group, words", [({"alpha": 2.0}, "alpha must be in"), ({"eta": math.inf}, "eta must be pos"),
                                          ({"params": [torch.zeros(2, dtype=torch.int64)]}, "parameter 1 .*int64")])
def test_a_group_that_joins_is_checked_like_the_first(group, words):
    chain = SGHMC([parameter()], 0.1)
    with pytest.raises(ValueError, match=words):
        chain.add_param_group({"params": [parameter()], **group})
    assert len(chain.param_groups) == 1


def test_no_group_joins_a_preconditioner_that_does_not_know_it():
    with pytest.raises(ValueError, match="no parameters may join: the preconditioner is a list"):
        SGHMC([parameter()], 0.1, preconditioner=[torch.ones(2)]).add_param_group({"params": [parameter()]})
    chain = SGHMC([parameter(torch.ones(2))], 0.1, temperature=0.0, preconditioner="rmsprop")
    chain.step()
    chain.freeze_preconditioner()
    with pytest.raises(ValueError, match="the preconditioner is frozen"):
        chain.add_param_group({"params": [parameter()]})


def walk(chain, theta, steps=5):
    for _ in range(steps):
        theta.grad = theta.detach().clone()
        chain.step()
    return theta.detach().clone()


@pytest.mark.parametrize("through", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_copied_or_pickled_chain_goes_on_in_the_same_bits(through, dtype):
    theta = torch.ones(4, dtype=dtype, requires_grad=True)
    chain = SGHMC.from_sgd([theta], ramp(0.1, -1, 20), 0.9, 10, temperature=ramp(1.0, 2, 4))
    walk(chain, theta)
    other_theta, other = through((theta, chain))
    assert torch.equal(walk(chain, theta), walk(other, other_theta)) and other.steps == 10


def test_the_state_of_another_optimiser_is_refused_in_words():
    theta = parameter()
    with pytest.raises(ValueError, match="is of another optimiser, its settings are lr, .*SGHMC goes on from a state"):
        SGHMC([theta], 0.1).load_state_dict(torch.optim.Adam([theta]).state_dict())


def test_frozen_parameters_stay_and_one_that_wants_a_gradient_is_named():
    still, moving = torch.ones(3), parameter(torch.ones(2))
    chain = SGHMC([still, moving], 0.1)
    chain.step()
    assert torch.equal(still, torch.ones(3)) and not torch.equal(moving, torch.zeros(2))
    still.requires_grad_()
    with pytest.raises(ValueError, match=r"parameter 0 of shape \(3,\) has no gradient; call backward.*requires_grad_"):
        chain.step()
    with pytest.raises(ValueError, match="nothing to move"):
        SGHMC([torch.ones(3)], 0.1).step()


def test_coarse_weights_keep_the_law_of_a_float32_chain():
    """In bfloat16 itself steps of this size never move a weight: 60,000 data, learning rate .01."""
    variances = {}
    for dtype in (torch.bfloat16, torch.float64):
        theta = torch.ones(20_000, dtype=dtype, requires_grad=True)
        chain = SGHMC([theta], 1e-3, 0.5, generator=torch.Generator().manual_seed(0))
        for _ in range(300):
            theta.grad = 20 * (theta.detach() - 1)
            chain.step()
        variances[dtype] = theta.double().var().item()
    assert variances[torch.bfloat16] == pytest.approx(variances[torch.float64], rel=0.05)
    state = chain.state_dict()
    assert theta.dtype == torch.float64 and "position" not in state["state"][0]


def test_a_coarse_chain_is_stored_whole_and_follows_weights_that_are_set():
    def made():
        theta = torch.ones(50, dtype=torch.bfloat16, requires_grad=True)
        return theta, SGHMC([theta], 1e-4, generator=torch.Generator().manual_seed(1))

    theta, chain = made()
    walk(chain, theta)
    again, other = made()
    other.load_state_dict(chain.state_dict())
    with torch.no_grad():
        again.copy_(theta)
    assert torch.equal(walk(chain, theta, 200), walk(other, again, 200))
    with torch.no_grad():
        theta.fill_(7)
    assert (walk(chain, theta, 1) - 7).abs().max() < 0.1


def test_steps_that_rounding_swallows_are_refused():
    theta = parameter(torch.zeros(2))
    with torch.no_grad():
        theta.fill_(1)
    with pytest.raises(ValueError, match="does not move: steps of .* are lost in torch.float32 numbers of 1; raise et"):
        SGHMC([theta], 1e-20).step()


def test_rows_of_padding_stay_where_they_are():
    weight = torch.arange(12.0).view(4, 3).requires_grad_()
    chain = SGHMC([weight], 0.01, preconditioner="rmsprop", temperature=ramp(1.0, 5, 1))
    chain.hold(weight, torch.tensor([True, False, False, False])[:, None])
    for step in range(10):
        if step == 5:
            chain.freeze_preconditioner()
        weight.grad = weight.detach().clone()
        chain.step()
    assert torch.equal(weight[0], torch.arange(3.0)) and (weight[1:] != torch.arange(3.0, 12).view(3, 3)).all()
    again = torch.zeros(4, 3, requires_grad=True)
    other = SGHMC([again], 0.01)
    other.load_state_dict(chain.state_dict())
    again.grad = torch.ones(4, 3)
    other.step()
    assert (again[0] == 0).all() and (again[1:] != 0).all()


def test_a_row_that_is_held_later_stops_at_once():
    theta = torch.ones(3, 2, requires_grad=True)
    chain = SGHMC([theta], 0.1)
    walk(chain, theta)
    chain.hold(theta, torch.tensor([True, False, False])[:, None])
    before = theta.detach().clone()
    after = walk(chain, theta)
    assert torch.equal(after[0], before[0]) and (after[1:] != before[1:]).all()


@pytest.mark.parametrize("mask, words", [(torch.ones(3, 2), "truth values"), (torch.ones(3) > 0, "for rows give rows")])
def test_masks_that_are_none(mask, words):
    theta = torch.ones(3, 2, requires_grad=True)
    with pytest.raises(ValueError, match=words):
        SGHMC([theta], 0.1).hold(theta, mask)
    with pytest.raises(ValueError, match="a parameter of this SGHMC"):
        SGHMC([theta], 0.1).hold(torch.ones(3, 2), mask > 0)


def test_settings_of_other_optimisers_never_vanish():
    chain = SGHMC([parameter()], 0.1)
    with pytest.raises(ValueError, match="has no 'lr'; use eta"):
        chain.param_groups[0]["lr"] = 5.0
    chain.param_groups[0]["eta"] = 0.2
    with pytest.raises(ValueError, match="has no 'lr'; use eta"):
        SGHMC([parameter()], 0.1, lr=0.1)
    with pytest.raises(ValueError, match="has no 'weight_decay'; use a prior"):
        SGHMC.from_sgd([parameter()], 0.1, 0.9, 10, weight_decay=0.1)


def test_a_schedule_stays_that_of_the_constructor_and_schemes_do_not_mix():
    stored = SGHMC([parameter()], 0.1).state_dict()
    chain = SGHMC([parameter()], ramp(0.3, -1, 10))
    chain.load_state_dict(stored)
    assert callable(chain.param_groups[0]["eta"])
    with pytest.raises(ValueError, match="is of scheme 'symplectic' and this SGHMC of 'baoa'"):
        SGHMC([parameter()], 0.1, scheme="baoa").load_state_dict(stored)


def test_a_parameter_that_joins_a_preconditioner_too_late_is_named():
    one, late = parameter(torch.ones(2)), torch.zeros(2)
    chain = SGHMC([one, late], 0.1, temperature=0.0, preconditioner="rmsprop")
    chain.step()
    late.requires_grad_()
    with pytest.raises(ValueError, match="parameter 1 .*has seen no gradient to adapt its preconditioner to"):
        chain.freeze_preconditioner()
    late.requires_grad_(False)
    chain.freeze_preconditioner()
    late.requires_grad_().grad = torch.ones(2)
    with pytest.raises(ValueError, match="parameter 1 .*was frozen while the preconditioner adapted"):
        chain.step()
