"""Generators, scores and data in the forms that people have them in; and what a resampler says of a poor critic."""

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from bayesgan import Resampler
from bayesgan.experiments.mixture1d import generate, log_ratio


def real(n, seed=0):
    source = torch.Generator().manual_seed(seed)
    centres = torch.randint(4, (n,), generator=source)
    return (centres + 0.25 * torch.randn(n, generator=source))[:, None]


def floats(n, source):
    return generate(n, source).float()


REAL = real(4000)
LABELS = torch.zeros(4000)
FORMS = {
    "array": REAL.numpy().astype(np.float64),
    "pair": (REAL, LABELS),
    "TensorDataset": TensorDataset(REAL, LABELS),
    "loader": DataLoader(TensorDataset(REAL, LABELS), 900),
    "loader of inputs": DataLoader(REAL, 900),
}


@pytest.mark.parametrize("form", FORMS)
def test_real_data_in_every_plain_form(form):
    plain, given = (Resampler.calibrated(floats, log_ratio, data, ratio="score") for data in (REAL, FORMS[form]))
    assert torch.equal(plain.sample(50), given.sample(50))


def test_numpy_generators_and_scores():
    plain = Resampler.calibrated(floats, log_ratio, REAL, ratio="score")
    arrays = Resampler.calibrated(lambda n, source: floats(n, source).numpy(), lambda x: log_ratio(x).numpy(), REAL,
                                  ratio="score")
    assert torch.equal(plain.sample(50), arrays.sample(50))
    labelled = Resampler.calibrated(lambda n, source: (floats(n, source), torch.zeros(n)), log_ratio, REAL,
                                    ratio="score")
    assert torch.equal(plain.sample(50), labelled.sample(50))


@pytest.mark.parametrize("form", [7, [REAL, LABELS[:5]], [REAL] * 3, DataLoader(TensorDataset(REAL[:0]), 9)])
def test_what_has_no_plain_meaning_is_refused(form):
    with pytest.raises(ValueError, match="^real"):
        Resampler.calibrated(floats, log_ratio, form, ratio="score")


def test_an_inverted_critic_is_turned_round_and_said():
    right, wrong = (Resampler.calibrated(floats, score, REAL, ratio="score")
                    for score in (log_ratio, lambda x: -log_ratio(x)))
    assert torch.equal(right.sample(200), wrong.sample(200))
    assert "the discriminator is inverted: generated data score above real ones" in str(wrong.diagnostics)
    assert "inverted" not in str(right.diagnostics)


def test_a_perfect_critic_is_said_to_see_an_artefact():
    shifted = Resampler.calibrated(lambda n, source: floats(n, source) % 1 + 100, lambda x: 50 - x, REAL, ratio="score")
    shifted.sample(50)
    assert "beyond nearly all generated ones: the ratio tells them apart by an artefact" in str(shifted.diagnostics)


@pytest.mark.parametrize(
    "score, words",
    [
        (lambda x: torch.zeros(len(x)), "the discriminator is constant: all .* scores are 0"),
        (lambda x: torch.where(x[:, 0] > 1, torch.inf, 0.0), "scores are infinite; return logits"),
        (lambda x: [1.0] * len(x), "scores must be arrays of numbers, got a list"),
    ],
)
def test_each_critic_of_no_use_is_told_which_it_is(score, words):
    with pytest.raises(ValueError, match=words):
        Resampler.calibrated(floats, score, REAL, ratio="score")


def test_a_resampler_says_what_it_holds_and_is_pickled():
    resampler = Resampler.calibrated(floats, log_ratio, REAL, method="mh")
    assert repr(resampler).startswith("Resampler(mh, budget 100, ratio ")
    again = pickle.loads(pickle.dumps(resampler))
    assert torch.equal(again.sample(50), resampler.sample(50)) and repr(again) == repr(resampler)


STORED = floats(64, torch.Generator().manual_seed(0)).repeat(100, 1)


@pytest.mark.parametrize(
    "generator, words",
    [
        (lambda n, source: STORED[:n], "the same data for every torch.Generator"),
        (lambda n, source: floats(min(n, 100), source), "must return .* data, got"),
        (lambda n, source: floats(-(-n // 64) * 64, source), "must return .* data, got"),
    ],
)
def test_generators_that_do_not_do_what_they_are_asked_for(generator, words):
    with pytest.raises(ValueError, match=words):
        Resampler.calibrated(generator, log_ratio, REAL, ratio="score")


def test_images_in_0_to_1_beside_real_ones_in_minus_1_to_1_are_refused():
    dark = torch.rand(100, 1, 8, 8) * 2 - 1
    with pytest.raises(ValueError, match="generated images have values in .* and real ones in .*; scale both alike"):
        Resampler.calibrated(lambda n, source: torch.rand(n, 1, 8, 8, generator=source), None, dark)
