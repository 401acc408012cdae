"""Step sizes that change: the momentum is rescaled with them, and a cycle's draws have the temperature they claim."""

import pytest
import torch

from bayesgan.sampler import SGHMC, Cyclical, exponential_then_constant


def variances(schedule, steps, scheme="symplectic", curvature=1.0, chains=40_000, temperature=None):
    """Var θ after each step of a chain on curvature θ²/2 started at its law."""
    weights = torch.nn.Parameter(torch.randn(chains, generator=torch.Generator().manual_seed(0)) / curvature**0.5)
    temperature = temperature or (lambda step: float(schedule.samples(step)))
    chain = SGHMC([weights], schedule, 0.1, temperature=temperature, scheme=scheme,
                  generator=torch.Generator().manual_seed(1))
    found = []
    for _ in range(steps):
        weights.grad = curvature * weights.detach()
        chain.step()
        found.append(weights.detach().var().item() * curvature)
    return found


@pytest.mark.parametrize("scheme", ["symplectic", "baoa"])
def test_collected_draws_of_a_cycle_are_warm_and_none_is_hot(scheme):
    """Before: the first draw had .019 of the variance, the last 1.378 of it."""
    cycle = Cyclical(0.02, 400, exploration=0.5)
    found = variances(cycle, 800, scheme)
    sampling = [value for step, value in enumerate(found) if cycle.samples(step)]
    collected = [value for step, value in enumerate(found) if cycle.collects(step)]
    assert sampling[0] < 0.1, "the cycle explores cold, or this test shows nothing"
    assert min(collected) > 0.9 and max(collected) < 1.05
    assert collected[-1] == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("scheme", ["symplectic", "baoa"])
@pytest.mark.parametrize("factor", [10.0, 0.1])
def test_a_jump_of_the_step_size_leaves_the_law_as_it_is(scheme, factor):
    start = 0.02 / max(factor, 1)
    found = variances(lambda step: start if step < 100 else start * factor, 160, scheme, temperature=lambda step: 1.0)
    assert max(abs(value - 1) for value in found[60:]) < 0.05


def test_a_falling_step_size_keeps_the_law():
    found = variances(exponential_then_constant(0.05, 4.0, 300), 400, "baoa", temperature=lambda step: 1.0)
    assert max(abs(value - 1) for value in found[50:]) < 0.05


def test_what_is_collected_in_a_cycle():
    cycle = Cyclical(0.1, 10, exploration=0.6)
    assert [cycle.samples(step) for step in range(10)] == [False] * 6 + [True] * 4
    assert [cycle.collects(step) for step in range(10)] == [False] * 8 + [True] * 2
    assert [Cyclical(0.1, 10, 0.9, 0.9).collects(step) for step in range(10)] == [False] * 9 + [True]
    with pytest.raises(ValueError, match=r"discard must be in \[0, 1\), got 1"):
        Cyclical(0.1, 10, discard=1)
