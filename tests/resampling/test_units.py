"""What resampling finds depends neither on the units of columns nor on a critic's scale; bad input is one line."""

import math

import numpy as np
import pytest
import torch

from bayesgan import Resampler
from bayesgan.evaluation.classification import classification_figures
from bayesgan.resampling import DensityRatio, LatentProposal
from bayesgan.resampling.calibration import fit, log_odds
from bayesgan.resampling.guard import Guard, column_scales
from bayesgan.resampling.rules.drs import DiscriminatorRejection


def normal(n, shift, scale, seed):
    points = torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))
    return (points + torch.tensor([0.0, shift])) * torch.tensor([scale, 1.0])


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_distance_of_samples_is_the_same_in_other_units(scale):
    def distance(units):
        guard = Guard(normal(2000, 1.0, units, 0), normal(500, 1.0, units, 1), normal(500, 1.0, units, 2))
        return guard.distance(normal(500, 0.0, units, 3), "choosing").distance

    assert distance(scale) == pytest.approx(distance(1.0), rel=1e-3)


@pytest.mark.parametrize("constant", [7.0, 0.1])
def test_a_constant_column_counts_no_more_than_others(constant):
    """The computed deviation of 500 times .1 is not 0."""
    real = [torch.cat([normal(500, 1.0, 1.0, seed), torch.full((500, 1), constant)], 1) for seed in range(4)]
    assert column_scales(real[0].double().numpy()).max() < 2
    guard = Guard(*real[:3])
    assert guard.distance(real[3] + torch.tensor([0.0, 0, 1e-7]), "choosing").distance < 0.02
    assert guard.distance(real[3], "choosing").distance < 0.02
    assert guard.distance(real[3] + torch.tensor([0.0, 0, 30]), "choosing").distance > 0.3


@pytest.mark.parametrize("scale", [1.0, 1e7, 1e12])
def test_a_critic_of_any_scale_is_calibrated(scale):
    """Real N(1, 1) against N(0, 1): log w = x - 1/2."""
    real, fake = normal(4000, 1.0, 1.0, 0)[:, 1:], normal(4000, 0.0, 1.0, 1)[:, 1:]
    critic = [log_odds(part * scale, "wasserstein") for part in (real, fake)]
    x = torch.tensor([[-1.0], [0.5], [2.0]], dtype=torch.float64)
    found = fit("platt", *critic, "wasserstein")(log_odds(x * scale, "wasserstein"))
    assert torch.allclose(found, x[:, 0] - 0.5, atol=0.15)


def test_rejection_where_most_proposals_are_impossible():
    """One in ten can be real at all: of these about a fifth is accepted."""
    log_w = torch.full((20_000,), -math.inf, dtype=torch.float64)
    log_w[::10] = torch.randn(2000, generator=torch.Generator().manual_seed(0), dtype=torch.float64) / 10
    picked = DiscriminatorRejection().select(log_w, 100, torch.Generator().manual_seed(0)).picked
    assert len(picked) == 100 and (log_w[picked] > -math.inf).all()


def test_weights_of_generators_may_be_a_list_and_must_be_numbers():
    proposal = LatentProposal(lambda member, z: z, 2, [1.0, 3.0])
    assert proposal.weights.tolist() == [0.25, 0.75]
    assert LatentProposal(lambda member, z: z, 2, np.array([1, 1])).weights.tolist() == [0.5, 0.5]
    for wrong in ([1.0, math.inf], [0.0, 1], [], [[1.0]]):
        with pytest.raises(ValueError, match="must be a positive number"):
            LatentProposal(lambda member, z: z, 2, wrong)


def test_generated_numbers_without_an_axis_are_refused():
    with pytest.raises(ValueError, match=r"a row a datum, got \(\d+,\); add an axis"):
        Resampler(lambda n, source: torch.randn(n, generator=source), lambda data: data).sample(3)


@pytest.mark.parametrize("labels", [[0, -1], [0, 3], [0.0, 1.0]])
def test_labels_that_are_no_classes_are_refused(labels):
    with pytest.raises(ValueError, match=r"labels must be whole numbers in 0..2"):
        classification_figures(torch.full((2, 3), 1 / 3), torch.tensor(labels))


def test_whole_numbers_may_be_held_out_of_a_generator_of_floats():
    generate = lambda n, source: torch.randn(n, 2, generator=source).mul(3000).round()  # noqa: E731
    real, training = (torch.randn(200, 2).mul(3000).long() for _ in range(2))
    resampler = Resampler.calibrated(generate, lambda data: data[:, 0].float(), real, training=training)
    assert len(resampler.sample(5)) == 5


@pytest.mark.parametrize("training", [torch.randn(100, 3), torch.randn(100), torch.zeros(0, 2),
                                      torch.zeros(100, 2, dtype=torch.uint8)])
def test_training_data_that_are_unlike_are_refused(training):
    generate = lambda n, source: torch.randn(n, 2, generator=source)  # noqa: E731
    with pytest.raises(ValueError, match="training must "):
        Resampler(generate, lambda data: data[:, 0], training=training).sample(3)
    with pytest.raises(ValueError, match="training must "):
        Resampler.calibrated(generate, lambda data: data[:, 0], torch.randn(100, 2), training=training)


def test_scores_that_look_like_probabilities_are_warned_of():
    real = torch.randn(400, 1, generator=torch.Generator().manual_seed(0))
    make = lambda n, source: torch.randn(n, 1, generator=source)  # noqa: E731
    with pytest.warns(UserWarning, match="if they are probabilities, after a sigmoid") as caught:
        Resampler.calibrated(make, lambda x: torch.sigmoid(x[:, 0]), real, ratio="score")
    assert {one.filename for one in caught} == {__file__}


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("shift, count", [(0.05, 400), (0.1, 100)])
def test_an_exact_ratio_is_not_called_wrong(seed, shift, count):
    """p = N(shift, 1) and q = N(0, 1): the log ratio is shift x - shift² / 2, of AUC near .5 and found so by chance."""
    source = torch.Generator().manual_seed(seed)
    make = lambda n, own: torch.randn(n, 1, generator=own)  # noqa: E731
    real = torch.randn(count, 1, generator=source) + shift
    ratio = DensityRatio.fit(lambda x: shift * x[:, 0] - shift**2 / 2, real, make, calibration="none")
    resampler = Resampler(make, ratio, "obrs", 20)
    resampler.sample(200, seed)
    wrong = ("ranks generated data above", "the ratio is not calibrated", "is wrong in parts", "inverted", "constant")
    assert not [text for text in resampler.diagnostics.warnings if any(words in text for words in wrong)]


def test_a_generator_with_norms_in_training_mode_is_warned_of(recwarn):
    network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 2))

    def sampled(network):
        return Resampler(lambda n, source: network(torch.randn(n, 4, generator=source)), lambda x: x[:, 0]).sample(20)

    with pytest.warns(UserWarning, match="BatchNorm1d is in training mode") as told:
        sampled(network)
    assert told[0].filename == __file__
    sampled(network.eval())
    assert not recwarn


@pytest.mark.parametrize("shape", [(8, 8), (64,), (1, 8, 8)])
def test_images_on_another_scale_are_refused_however_they_lie(shape):
    levels = torch.randint(256, (400, *shape), generator=torch.Generator().manual_seed(0))

    def generate(n, source):
        return torch.rand(n, *shape, generator=source)

    with pytest.raises(ValueError, match="generated images have values in .* and real ones in -1..1"):
        Resampler.calibrated(generate, lambda x: x.flatten(1).mean(1), levels / 127.5 - 1)


@pytest.mark.parametrize("real", [
    (torch.rand(400, 64, generator=torch.Generator().manual_seed(0)) < 0.3).float(),
    torch.poisson(torch.full((400, 64), 4.0), generator=torch.Generator().manual_seed(0)),
])
def test_tables_of_whole_numbers_are_no_images(real):
    def generate(n, source):
        return real.mean() + 1.5 * real.std() * torch.randn(n, 64, generator=source)

    assert len(Resampler.calibrated(generate, lambda x: x.mean(1), real, ratio="score").sample(10)) == 10


@pytest.mark.parametrize("decoder, words", [
    (lambda z: z, r"decoder\(0, z \(\d+, 3\)\) failed"), (lambda member, z: z.numpy(), "must return a tensor"),
    (lambda member, z: z.sum(), "with a row a datum"), (lambda member, z: z @ torch.ones(2, 2), "the size of z, 3"),
    (3, "decoder must be a function"),
])
def test_decoders_that_cannot_decode_are_told_what_they_were_asked(decoder, words):
    with pytest.raises(ValueError, match=words):
        Resampler(LatentProposal(decoder, 3, [1.0]), lambda x: x[:, 0]).sample(10)


def test_a_ratio_is_fitted_to_numpys_arrays_as_to_tensors():
    def generate(n, source):
        return torch.randn(n, 2, generator=source)

    real = normal(400, 1.0, 1.0, 0)
    asked = torch.randn(5, 2)
    ratios = [DensityRatio.fit(lambda x: x[:, 1], held_out, generate)(asked)
              for held_out in (real, real.numpy(), (real, torch.zeros(400)))]
    assert torch.equal(ratios[0], ratios[1]) and torch.equal(ratios[0], ratios[2])
    with pytest.raises(ValueError, match="held-out data are in the training data too"):
        DensityRatio.fit(lambda x: x[:, 1], real, generate, training=real.numpy()[:50])


def gaussian(n, source):
    return torch.randn(n, 1, generator=source)


@pytest.mark.parametrize("slope", [5, 300, 1000])
def test_a_ratio_that_is_far_too_sure_is_called_wrong(slope):
    resampler = Resampler(gaussian, lambda x: slope * x[:, 0])
    resampler.sample(200)
    told = " ".join(resampler.diagnostics.warnings)
    assert "the ratio is wrong in parts of the pool" in told and "raise the budget" not in told


@pytest.mark.parametrize("method", ["obrs", "drs", "mh"])
def test_infinite_ratios_are_refused_and_zero_ones_are_not(method):
    with pytest.raises(ValueError, match="log ratios are infinite; return logits"):
        Resampler(gaussian, lambda x: torch.where(x[:, 0] > 0, torch.inf, x[:, 0]), method).sample(20)
    Resampler(gaussian, lambda x: torch.where(x[:, 0] > 0, -torch.inf, x[:, 0]), method).sample(20)


def test_groups_without_a_possible_proposal_are_told():
    resampler = Resampler(gaussian, lambda x: torch.where(x[:, 0] < 1.5, -torch.inf, x[:, 0]), "sir", 20)
    outputs = resampler.sample(1000)
    share = float((outputs < 1.5).float().mean())
    assert resampler.diagnostics.never_moved == pytest.approx(share) and 0.1 < share < 0.4


@pytest.mark.parametrize("seed", [-1, 2**32, 2**62])
def test_any_seed_will_do(seed):
    found = [Resampler.calibrated(lambda n, source: torch.randn(n, 2, generator=source), lambda x: x[:, 0],
                                  normal(400, 1.0, 1.0, 0), seed=seed, ratio="boosting").sample(10) for _ in range(2)]
    assert torch.equal(*found)


def test_chains_that_start_at_real_data_start_at_their_ratio():
    """Calibrated on half of them, it was another one."""
    real = normal(60, 2.0, 1.0, 0)[:, 1:]
    ratio = DensityRatio.fit(lambda x: 2 * x[:, 0] - 2, real, gaussian)
    resampler = Resampler(gaussian, ratio, "mh", start="real", stuck="restart")
    starts = resampler._real_starts(500, torch.Generator().manual_seed(0))
    assert set(starts.tolist()) <= set(ratio(ratio.real).tolist())
