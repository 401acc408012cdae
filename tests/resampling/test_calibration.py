"""Calibrations on problems whose density ratio is known, and what every registered one must keep."""

import math

import pytest
import torch

from bayesgan.resampling.calibration import CALIBRATIONS, fit, log_odds, slope_interval
from bayesgan.resampling.diagnostics import Calibration, Diagnostics, calibration_figures


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def gaussians(n, seed=0, shift=1.0):
    """Real N(shift, 1), generated N(0, 1): log p/q = shift x - shift²/2."""
    x = torch.randn(2, n, 1, dtype=torch.float64, generator=source(seed))
    return x[0] + shift, x[1]


def truth(x):
    return x[:, 0] - 0.5


@pytest.mark.parametrize("name", [name for name in CALIBRATIONS if name != "none"])
def test_every_calibration_recovers_the_ratio_from_a_distorted_score(name):
    """Scores 3 l + 2 come back as l; isotonic up to its steps."""
    real, fake = gaussians(20_000)

    def distort(x):
        return 3 * (x - 0.5) + 2

    ratio = fit(name, distort(real), distort(fake))
    x = torch.linspace(-1.5, 2.5, 50, dtype=torch.float64)[:, None]
    tolerance = {"isotonic": 0.35, "beta": 0.25}.get(name, 0.1)
    assert (ratio(distort(x)) - truth(x)).abs().max() < tolerance
    fresh = torch.cat(gaussians(20_000, seed=1))
    labels = torch.cat([torch.ones(20_000), torch.zeros(20_000)])
    before = calibration_figures(distort(fresh)[:, 0], labels)
    after = calibration_figures(ratio(distort(fresh)), labels, 40_000)
    assert after.log_loss < before.log_loss - 0.1 and after.ece < 0.02 and abs(after.z) < 5


@pytest.mark.parametrize("name", CALIBRATIONS)
def test_every_calibration_is_finite_where_the_discriminator_is_sure(name):
    """D in {0, 1} and separable data: finite odds that still rank."""
    real, fake = log_odds(torch.ones(50, 2), "probability"), log_odds(torch.zeros(50, 2), "probability")
    ratio = fit(name, real, fake)
    assert ratio(torch.cat([real, fake])).isfinite().all() and ratio(real).min() > ratio(fake).max()


@pytest.mark.parametrize("name", CALIBRATIONS)
def test_unequal_numbers_are_accounted_for(name):
    """Three generated a real one: the odds of the classifier are off by log 3, the ratio is not."""
    real, fake = gaussians(10_000)[0], gaussians(30_000)[1]
    shift = math.log(3) if name == "none" else 0
    ratio = fit(name, real - 0.5 - shift, fake - 0.5 - shift)
    x = torch.tensor([[0.0], [0.5], [1.0]]).double()
    assert (ratio(x - 0.5 - shift) - truth(x)).abs().max() < (0.35 if name == "isotonic" else 0.15)


def test_members_in_any_order_give_the_same_ratio():
    real, fake = gaussians(2000)
    noise = torch.randn(4000, 3, dtype=torch.float64, generator=source(5))
    real, fake = real + noise[:2000], fake + noise[2000:]
    x = torch.randn(100, 3, dtype=torch.float64, generator=source(6))
    for name in CALIBRATIONS:
        one, other = fit(name, real, fake)(x), fit(name, real.flip(1), fake.flip(1))(x.flip(1))
        assert (one - other).abs().max() < 1e-4, name


def test_a_vector_weighs_the_better_discriminator():
    real, fake = gaussians(20_000)
    useless = torch.randn(40_000, 1, dtype=torch.float64, generator=source(9))
    real, fake = torch.cat([real, useless[:20_000]], 1), torch.cat([fake, useless[20_000:]], 1)
    labels = torch.cat([torch.ones(20_000), torch.zeros(20_000)])
    both = torch.cat([real, fake])
    loss = {n: calibration_figures(fit(n, real, fake)(both), labels).log_loss for n in ("platt", "vector")}
    assert loss["vector"] < loss["platt"] - 0.02


@pytest.mark.parametrize("call, words", [
    (lambda r, f: fit("platt", r[:19], f), "needs at least 20 real and generated data, got 19"),
    (lambda r, f: fit("platt", r * 0 + 2, f * 0 + 2), "the discriminator is constant: all 80 scores are 2"),
    (lambda r, f: fit("none", r, f, "wasserstein"), "which wasserstein scores are not"),
    (lambda r, f: fit("splines", r, f), "unknown calibration 'splines'"),
    (lambda r, f: log_odds(r, "probability"), "probabilities must lie in"),
    (lambda r, f: log_odds(r, "odds"), "kind must be one of"),
])
def test_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call(*gaussians(40))


def test_z_has_unit_variance():
    """Platt fitted on n_cal and checked on n_test, many times: the sd of z is 1 within its own error."""
    values = []
    for seed in range(300):
        real, fake = gaussians(400, seed=seed + 10)
        ratio = fit("platt", real[:200], fake[:200])
        labels = torch.cat([torch.ones(200), torch.zeros(200)])
        values.append(calibration_figures(ratio(torch.cat([real[200:], fake[200:]])), labels, 400).z)
    z = torch.tensor(values)
    assert abs(z.mean()) < 5 / 300**0.5 and abs(z.std() - 1) < 5 / 600**0.5


def test_figures_by_hand():
    odds = torch.tensor([0.0, math.log(3), -math.log(3), math.log(3)])
    figures = calibration_figures(odds, torch.tensor([1.0, 1.0, 0.0, 0.0]))
    assert figures.brier == pytest.approx((0.25 + 2 * 0.0625 + 0.5625) / 4)
    assert figures.log_loss == pytest.approx(-(math.log(0.5) + 2 * math.log(0.75) + math.log(0.25)) / 4)
    assert figures.z == pytest.approx((2 - 2.25) / (2 * 0.03125 + 2 * 0.125) ** 0.5)
    assert isinstance(figures, Calibration)


def test_acceptance_is_twice_one_minus_auc_and_the_mean_weight_is_one():
    """For the exact ratio of two Gaussians: E min(1, w'/w) = 2 (1 - AUC), AUC = Phi(1/sqrt 2), E_q[w] = 1."""
    real, fake = gaussians(100_000)
    result = Diagnostics(10, 100, "mh")
    result.held_out(truth(real), truth(fake))
    result.of_pool(truth(fake))
    auc = 0.5 * (1 + math.erf(0.5))
    assert result.acceptance_by_auc == pytest.approx(2 * (1 - auc), abs=0.006)
    assert result.acceptance == pytest.approx(2 * (1 - auc), abs=0.006)
    assert result.mean_weight == pytest.approx(1, abs=0.03) and result.ess_share == pytest.approx(1 / math.e, abs=0.05)
    pairs = (truth(fake[:1000])[None] - truth(real[:1000])[:, None]).clamp_max(0).exp().mean()
    small = Diagnostics(10, 100, "mh")
    small.held_out(truth(real[:1000]), truth(fake[:1000]))
    assert small.acceptance == pytest.approx(pairs.item(), abs=1e-9)


def test_warnings_say_what_is_wrong():
    result = Diagnostics(
        100, 10, "mh", mean_weight=1.9, ess_share=1 / 1400, acceptance=0.2, acceptance_by_auc=1.1, bound=0.3,
        before=Calibration(0.2, 0.6, 0.1, 9.0), after=Calibration(0.2, 0.6, 0.1, 9.0), never_moved=0.4, duplicates=0.2,
        nearest=0.1, nearest_real=1.0, moves={"local_acceptance": 0.01},
    )
    result.conclude()
    text = str(result)
    for words in ("mean weight is 1.90", "calibration z is 9.0", "differ: the ratio is not calibrated",
                  "worse than none", "raise the budget, by this pool to about 2000", "40% of the chains never moved",
                  "20% of the outputs repeat", "the generator copies", "lower the step"):
        assert words in text
    assert "no rule can come nearer" not in text  # moves in the latent space are not one of K
    pool = Diagnostics(100, 10, "mh", bound=0.3)
    pool.conclude()
    assert "no rule can come nearer than 0.30" in str(pool)
    quiet = Diagnostics(100, 10, "obrs", mean_weight=1.0, ess_share=0.5)
    quiet.conclude()
    assert quiet.warnings == []


def test_an_all_real_block_has_the_odds_of_its_size():
    """30 real data above everything else: odds (30 + 1/2) / (1/2) = 61, not twice the size of the whole sample."""
    source = torch.Generator().manual_seed(0)
    below = torch.randn(2, 1000, generator=source).double()
    real = torch.cat([below[0], torch.full((30,), 9.0).double()])
    fake = torch.cat([below[1], torch.full((30,), 8.0).double()])
    ratio = fit("isotonic", real[:, None], fake[:, None])
    assert ratio(torch.tensor([[9.0]])).exp().item() == pytest.approx(61, rel=1e-6)
    values = ratio(torch.linspace(-4, 10, 500)[:, None])
    assert (values.diff() >= 0).all(), "still monotone"


def test_isotonic_weights_of_an_exact_critic_average_to_one():
    """q = N(0, 1), p = N(2, 1): with one edge for every block the mean weight was 4.95, and grew with the data."""
    means = []
    for seed in range(20):
        source = torch.Generator().manual_seed(seed)
        real, fake, fresh = torch.randn(3, 400, 1, generator=source).double()
        ratio = fit("isotonic", 2 * (real + 2), 2 * fake)
        means.append(ratio(2 * fresh).exp().mean().item())
    assert 0.8 < sum(means) / 20 < 1.6


@pytest.mark.parametrize("kind, coded", [("least_squares", lambda p: p), ("least_squares_signed", lambda p: 2 * p - 1)])
def test_an_exact_least_squares_critic_is_log_odds_before_any_calibration(kind, coded):
    """q = N(0, 1), p = N(2, 1): log p/q = 2x - 2, the critic's optimum p/(p+q) or (p-q)/(p+q)."""
    x = torch.linspace(-1.5, 3.5, 101).double()
    critic = coded(torch.sigmoid(2 * x - 2))
    assert (log_odds(critic, kind) - (2 * x - 2)).abs().max() < 1e-9
    assert log_odds(torch.tensor([-9.0, 9.0]), kind).isfinite().all()


def test_the_interval_of_a_slope_holds_the_slope():
    """Scores 2 l: the slope is 1/2; 90 % intervals hold it in most of 20 repetitions, and shrink like 1/sqrt(n)."""
    inside, widths = 0, {}
    for size in (300, 4800):
        for seed in range(20):
            source = torch.Generator().manual_seed(seed)
            real, fake = torch.randn(2, size, 1, generator=source).double()
            slope, low, high = slope_interval(2 * (2 * (real + 2) - 2), 2 * (2 * fake - 2), seed)
            assert low < slope < high
            inside += size == 300 and low < 0.5 < high
            widths.setdefault(size, []).append(high - low)
            if size == 4800 and seed == 4:
                break
    assert inside >= 14
    assert sum(widths[300]) / 20 == pytest.approx(4 * sum(widths[4800]) / 5, rel=0.3)
