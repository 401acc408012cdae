"""Which ratio makes samples better? Cases whose answer is known, and what a distance must say of known laws."""

import math

import numpy as np
import pytest
import torch

from bayesgan import Resampler
from bayesgan.resampling import PLAIN, RATIOS
from bayesgan.resampling.guard import Guard, energy
from bayesgan.resampling.registry import Ratio


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def clusters(n, generator, share, artefact):
    """Two informative coordinates near ±1, a third that only tells who made them."""
    sign = (torch.rand(n, 2, generator=generator) < share).float() * 2 - 1
    noise = torch.randn(n, 3, generator=generator) * torch.tensor([0.3, 0.3, 0.02])
    return torch.cat([sign, torch.full((n, 1), artefact)], 1) + noise


def halves(n, generator, share, artefact):
    """Images of 8x8, 8 bits, bright on the left or on the right; generated ones have a faint checkerboard."""
    left = (torch.rand(n, 1, 1, 1, generator=generator) < share).float()
    column = torch.linspace(1, 0, 8).expand(1, 1, 8, 8)
    images = left * column + (1 - left) * column.flip(3) - 0.5 + 0.1 * torch.randn(n, 1, 8, 8, generator=generator)
    board = (torch.arange(8)[:, None] + torch.arange(8)) % 2 - 0.5
    return (((images + artefact * board).clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def is_left(images):
    return images[..., :4].mean((1, 2, 3)) > images[..., 4:].mean((1, 2, 3))


def test_the_energy_distance_of_two_normals():
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| with X - Y ~ N(1, 2); the last column, all zero, adds nothing."""
    x, y = np.random.default_rng(0).normal(size=(2, 2000, 1))
    folded = 2 * math.exp(-1 / 4) / math.sqrt(math.pi) + math.erf(1 / 2)
    truth = 2 * folded - 4 / math.sqrt(math.pi)
    a, b = (np.column_stack([points, np.zeros(2000)]) for points in (x + 1, y))
    whole, half = energy(a, b, [np.arange(2000), np.arange(1000)])
    assert whole == pytest.approx(truth, abs=0.03) and half == pytest.approx(truth, abs=0.05)
    same = []
    for seed in range(100):
        parts = np.random.default_rng(seed).normal(size=(2, 100, 2)) * [1, 0]
        same += energy(*parts, [np.arange(100)])
    assert abs(np.mean(same)) < 5 * np.std(same) / 10, "unbiased"


@pytest.mark.parametrize("law", [clusters, halves])
def test_a_distance_grows_with_the_fault_and_is_the_floor_without(law):
    def draw(seed, share=0.5):
        return law(800, source(seed), share, 0.0)

    guard = Guard(law(3000, source(), 0.5, 0.0), draw(1), draw(2))
    assert guard.count == 800
    good, worse = guard.distance(draw(3), "choosing"), guard.distance(draw(4, 0.2), "choosing")
    assert abs(good.distance - guard.floor) < 6 * good.spread
    assert good.gain_over(worse) > 3 > worse.gain_over(good)


@pytest.mark.parametrize("score", [None, lambda x: torch.sin(1e4 * x.sum(1))])
def test_a_perfect_generator_is_sampled_plainly(score):
    """Nothing to gain, and a score that is shuffled: auto says so and gives the generator's data."""
    resampler = Resampler.calibrated(lambda n, generator: clusters(n, generator, 0.5, 0.0), score,
                                     clusters(1600, source(7), 0.5, 0.0))
    assert resampler.expected.ratio == PLAIN and "as they are" in resampler.expected.words
    assert resampler.expected.gap_closed == 0 and not resampler.expected.helps
    assert set(resampler.expected.tried) >= {PLAIN, "boosting", "components"}
    drawn = resampler.sample(50)
    assert drawn.shape == (50, 3) and resampler.diagnostics.warnings == [resampler.expected.words]
    with pytest.raises(ValueError, match="no ratio helps: there is nothing to select by"):
        resampler.with_method("mh")


def test_ratios_that_were_not_tried_are_named_with_the_reason():
    """With 100 held-out data and no training data none that learns can be fitted."""
    few = Resampler.calibrated(lambda n, generator: clusters(n, generator, 0.5, 0.0), lambda x: x[:, 0],
                               clusters(100, source(7), 0.5, 0.0))
    few.sample(5)
    assert set(few.expected.tried) == {PLAIN, "score"}
    text, content = str(few.diagnostics), few.diagnostics.as_dict()["expected"]["left_out"]
    why = "ratio boosting needs at least 40 other held-out data"
    assert f"left out: {why}" in text and any(reason.startswith(why) for reason in content)
    assert "features=" not in text  # which nobody asked for


def test_a_ratio_of_ones_own_that_says_nothing_of_a_users_function_takes_part(monkeypatch):
    class First(Ratio):
        learns = False

        def fit(self, task):
            return lambda x: x[:, 0], "logit"

    monkeypatch.setitem(RATIOS._entries, "first", First)
    auto = Resampler.calibrated(lambda n, generator: clusters(n, generator, 0.5, 0.0), None,
                                clusters(100, source(7), 0.5, 0.0))
    assert set(auto.expected.tried) == {PLAIN, "first"}


def test_an_artefact_is_not_taken_for_quality():
    """The sharp ratio separates perfectly and picks by the artefact; the one on what matters restores the shares.

    The artefact, 15 standard deviations of its column, stays the most of the gap whatever is picked.
    """
    real, training = clusters(3000, source(7), 0.5, 0.0), clusters(8000, source(8), 0.5, 0.0)

    def generate(n, generator):
        return clusters(n, generator, 0.25, 0.3)

    def sharp(x):
        return 200 * (0.15 - x[:, 2])

    auto = Resampler.calibrated(generate, sharp, real, training=training, features=lambda x: x[:, :2])
    assert auto.expected.ratio == "features" and auto.expected.helps and auto.expected.gap_closed > 0.04
    shares = (auto.sample(2000)[:, :2] > 0).double().mean(0)
    assert (shares - 0.5).abs().max() < 0.05
    assert not any("artefact" in text for text in auto.diagnostics.warnings)
    explicit = Resampler.calibrated(generate, sharp, real, ratio="score")
    assert explicit.expected.ratio == "score" and not explicit.expected.helps
    explicit.sample(100)
    assert explicit.diagnostics.separated > 0.9
    words = " ".join(explicit.diagnostics.warnings)
    assert "ratio score makes samples" in words and "artefact" in words
    assert "raise the budget" not in words and "refit" not in words


def test_a_coarse_view_of_images_does_not_see_a_checkerboard():
    real = halves(2000, source(7), 0.5, 0.0)

    def generate(n, generator):
        return halves(n, generator, 0.2, 0.2)

    def sharp(x):
        board = (torch.arange(8)[:, None] + torch.arange(8)) % 2 - 0.5
        return -50 * (x * board).mean((1, 2, 3)) + 0.25

    auto = Resampler.calibrated(generate, sharp, real)
    assert auto.budget == 20 and auto.expected.ratio in ("coarse", "components")
    assert auto.expected.tried["coarse"].gain_over(auto.expected.tried[PLAIN]) > 3
    assert auto.expected.tried["score"].gain_over(auto.expected.tried[PLAIN]) < 3
    assert is_left(auto.sample(1000)).double().mean() == pytest.approx(0.5, abs=0.08)
    content = auto.diagnostics.as_dict()["expected"]
    assert content["ratio"] == auto.expected.ratio and content["gap_closed"] == auto.expected.gap_closed > 0


def test_few_held_out_data_are_used_unjudged():
    def generate(n, generator):
        return clusters(n, generator, 0.5, 0.0)

    few = Resampler.calibrated(generate, lambda x: x[:, 0], clusters(60, source(), 0.5, 0.0), ratio="score")
    assert few.expected is None and few.sample(5).shape == (5, 3)


def test_what_is_constant_in_real_data_is_no_artefact_in_a_coarse_view():
    """A border of pure black that the generator misses by a grey level: once that was all the networks saw."""
    def framed(n, generator, share, level):
        images = torch.nn.functional.pad(halves(n, generator, share, 0.0), (4, 4, 4, 4), value=-1.0)
        return images + level * torch.rand(images.shape, generator=generator) * (images == -1)

    resampler = Resampler.calibrated(lambda n, generator: framed(n, generator, 0.2, 0.02), None,
                                     framed(2000, source(7), 0.5, 0.0), ratio="coarse")
    assert resampler.expected.gap_closed > 0.5


def test_a_ratio_that_cannot_be_sampled_from_leaves_the_others():
    def generate(n, generator):
        return clusters(n, generator, 0.25, 0.0)

    auto = Resampler.calibrated(generate, lambda x: 1e5 * x[:, 2], clusters(2000, source(7), 0.5, 0.0), method="drs",
                                percentile=0.0)
    assert auto.expected.ratio in ("boosting", "components", PLAIN)
    without = Resampler.calibrated(generate, None, clusters(2000, source(7), 0.5, 0.0))
    assert "score" not in without.expected.tried and without.expected.helps
    other = without.with_method("mh")
    other.sample(50)
    assert not any("use ratio auto" in text for text in other.diagnostics.warnings)
