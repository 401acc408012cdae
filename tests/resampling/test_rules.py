"""Selection rules against laws that are known, and the contract every registered rule keeps."""

import re

import numpy as np
import pytest
import torch

from bayesgan.basics.randomness import keyed_generator
from bayesgan.data.bundled import GRID_SCALE, gaussian_grid
from bayesgan.evaluation.clusters import grid_coverage
from bayesgan.experiments.mixture1d import generate, generated_density, log_ratio, real_density
from bayesgan.resampling import RULES, LatentProposal, Resampler, budgeted_rejection, metropolis_hastings
from bayesgan.resampling.rules.latent import LatentRule
from bayesgan.resampling.rules.mh import last_states
from bayesgan.resampling.rules.obrs import acceptance_probabilities
from tests.oracles import independence_chain_law, metropolis_hastings_loop

POOL_RULES = [name for name in RULES if not issubclass(RULES[name], LatentRule)]
CELLS = np.linspace(-2.5, 5.5, 4001)
MIDDLES = (CELLS[1:] + CELLS[:-1]) / 2
P, Q = (torch.from_numpy(f(MIDDLES) * np.diff(CELLS)) for f in (real_density, generated_density))
W = log_ratio(torch.from_numpy(MIDDLES)[:, None]).exp()


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_constant_added_to_all_log_ratios_changes_nothing():
    log_w = torch.randn(2000, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plain, moved = (metropolis_hastings(log_w + added, torch.Generator().manual_seed(1)) for added in (0, 1e8))
    assert (plain == moved).double().mean() > 0.99


def test_the_scan_equals_the_loop():
    log_w = 3 * torch.randn(10_000, 13, dtype=torch.float64, generator=source())
    log_w[:100, 3] = log_w[:100, 7]  # ties
    log_w[100:200, 5], log_w[200:300, 0] = -torch.inf, torch.inf
    challenges = torch.empty_like(log_w).exponential_(generator=source(1))
    expected = metropolis_hastings_loop(log_w, challenges)
    picked = last_states(log_w.numpy().T, challenges.numpy().T.copy())
    assert torch.equal(torch.from_numpy(picked), expected)
    picked = metropolis_hastings(log_w, source(1))  # draws of its own: the same law
    assert torch.equal(picked, metropolis_hastings(log_w, source(1)))
    assert not torch.equal(picked, metropolis_hastings(log_w, source(2)))
    shares = [part.bincount(minlength=13).double() / 1e4 for part in (picked, expected)]
    assert ((shares[0] - shares[1]).abs() < 5 * (2 * shares[1] / 1e4).sqrt() + 1e-3).all()


def test_a_chain_among_impossible_proposals_stays():
    log_w = torch.full((3, 5), -torch.inf)
    log_w[1, 0], log_w[2, 3] = 0.0, 0.0
    assert metropolis_hastings(log_w, source()).tolist()[1:] == [0, 3]


def rejection_law(k):
    """q min(c w, k), c found by bisection."""
    low, high = 0.0, 1e6
    for _ in range(200):
        c = (low + high) / 2
        low, high = (c, high) if (Q * (c * W).clamp_max(k)).sum() < 1 else (low, c)
    return Q * (c * W).clamp_max(k)


# total variation from the data, and mass at x > 2.5, after K proposals of the 1-D example with its exact ratio
@pytest.mark.parametrize("k, chain, rejection, chain_mass, rejection_mass", [
    (10, .190, .183, .066, .075), (100, .118, .106, .141, .158), (640, .057, .044, .201, .215),
    (10_000, .0073, .0033, .244, .248),
])
def test_laws_of_the_one_dimensional_example(k, chain, rejection, chain_mass, rejection_mass):
    """The exact law of the chain on a fine grid, and of optimal rejection, against published figures."""
    law = independence_chain_law(Q, W, k - 1)  # the start is the first of the k
    digits = 6e-4 if k < 10_000 else 6e-5
    assert (law - P).abs().sum() / 2 == pytest.approx(chain, abs=digits)
    assert law[MIDDLES > 2.5].sum() == pytest.approx(chain_mass, abs=6e-4)
    law = rejection_law(k)
    assert (law - P).abs().sum() / 2 == pytest.approx(rejection, abs=digits)
    assert law[MIDDLES > 2.5].sum() == pytest.approx(rejection_mass, abs=6e-4)


@pytest.mark.parametrize("method", ["mh", "obrs"])
@pytest.mark.parametrize("k", [10, 100])
def test_samples_follow_these_laws(method, k):
    """20,000 outputs in 20 cells, |z| < 5 in each."""
    n = 20_000
    drawn = Resampler(generate, log_ratio, method, k, chunk=200_000).sample(n)[:, 0].numpy()
    law = independence_chain_law(Q, W, k - 1) if method == "mh" else rejection_law(k)
    edges = np.linspace(-0.75, 3.75, 21)
    expected = np.histogram(MIDDLES, edges, weights=law.numpy())[0]
    z = (np.histogram(drawn, edges)[0] - n * expected) / np.sqrt(n * expected * (1 - expected) + 1)
    assert np.abs(z).max() < 5


def test_optimal_rejection_accepts_exactly_its_budget():
    log_w = 2 * torch.randn(5000, dtype=torch.float64, generator=source())
    for n in (1, 37, 500, 4999, 5000):
        share = acceptance_probabilities(log_w, n)
        assert share.sum() == pytest.approx(n, rel=1e-9) and share.max() <= 1 + 1e-12 and share.min() >= 0
        picked = budgeted_rejection(log_w, n, source(n))
        assert len(picked.unique()) == n and (picked[1:] > picked[:-1]).all() and picked.max() < 5000
    below = share < 1
    assert not below.any()  # with n = P everything is taken
    share = acceptance_probabilities(log_w, 500)
    scale = (share / log_w.exp())[share < 1]
    assert (scale.max() - scale.min()) < 1e-9 * scale.max()  # min(s w, 1) with one s


def test_optimal_rejection_picks_with_its_probabilities():
    log_w = torch.randn(60, dtype=torch.float64, generator=source())
    share, draws = acceptance_probabilities(log_w, 12), 4000
    counts = torch.zeros(60)
    for seed in range(draws):
        counts[budgeted_rejection(log_w, 12, source(seed))] += 1
    spread = (draws * share * (1 - share)).sqrt() + 1
    assert ((counts - draws * share) / spread).abs().max() < 5


@pytest.mark.parametrize("scale", [700.0, 5000.0])
def test_extreme_ratios_stay_finite(scale):
    log_w = torch.linspace(-scale, scale, 4000, dtype=torch.float64)[torch.randperm(4000, generator=source())]
    for n in (10, 1000):
        assert acceptance_probabilities(log_w, n).sum() == pytest.approx(n, rel=1e-6)
        assert len(budgeted_rejection(log_w, n, source()).unique()) == n
    assert log_w[budgeted_rejection(log_w, 10, source())].min() >= log_w.topk(200).values.min()
    log_w[::7] = -torch.inf
    for method in POOL_RULES:
        rule = RULES[method](percentile=50) if method == "drs" else RULES[method]()
        picked = rule.select(log_w[: rule.pool(40, 20)], 40, source()).picked
        assert log_w[picked].isfinite().all()


@pytest.mark.parametrize("method", POOL_RULES)
def test_a_constant_ratio_changes_nothing(method):
    """Outputs keep the generator's law: Kolmogorov-Smirnov at a level of 1e-6, and a warning says why."""
    settings = {"percentile": 0.0} if method == "drs" else {}
    resampler = Resampler(generate, lambda x: torch.zeros(len(x)), method, 10, **settings)
    drawn = np.sort(resampler.sample(5000, seed=1)[:, 0].numpy())
    cumulative = np.interp(drawn, CELLS[1:], Q.cumsum(0).numpy())
    assert np.abs(cumulative - np.arange(5000) / 5000).max() < 2.7 / 5000**0.5
    assert any("constant" in warning for warning in resampler.diagnostics.warnings)


@pytest.mark.parametrize("method", POOL_RULES)
def test_every_rule_brings_the_generator_nearer_to_the_data(method):
    settings = {"percentile": 98.0} if method == "drs" else {}
    resampler = Resampler(generate, log_ratio, method, 100, **settings)
    drawn = resampler.sample(4000)[:, 0].numpy()
    assert 1.5 * 0.018 < (drawn > 2.5).mean() < 0.25  # the missing mode, between the generator and the data
    again = Resampler(generate, log_ratio, method, 100, **settings).sample(4000)[:, 0].numpy()
    assert np.array_equal(drawn, again)


def test_a_perfect_ratio_on_the_grid():
    """25 Gaussians: a broad, uneven mixture and the exact ratio give JSD <= .0006 with 10,000 outputs."""
    modes = torch.from_numpy(gaussian_grid())
    weights = torch.linspace(1, 5, 25).double()
    weights /= weights.sum()

    def log_density(x, deviation, shares):
        distances = ((x[:, None] * GRID_SCALE - modes) ** 2).sum(-1)
        return torch.logsumexp(shares.log() - distances / (2 * deviation**2) - 2 * np.log(deviation), 1)

    def draw(n, generator):
        chosen = modes[torch.multinomial(weights, n, replacement=True, generator=generator)]
        return (chosen + 0.08 * torch.randn(n, 2, dtype=torch.float64, generator=generator)) / GRID_SCALE

    def ratio(x):
        return log_density(x, 0.05, torch.ones(25).double() / 25) - log_density(x, 0.08, weights)

    for method in ("mh", "obrs"):
        figures = grid_coverage(Resampler(draw, ratio, method, 100).sample(10_000))
        assert figures.divergence <= 0.0006 and figures.high_quality >= 0.999
        assert figures.mode_std == pytest.approx(0.05, abs=1e-3)


# a plane of two generators, one of which is wrong; the ratio corrects both towards N(0, I)
def latent_problem():
    def decoder(member, z):
        return z if member == 0 else z * 0.6 + torch.tensor([1.0, 0.0])

    def ratio(x):
        wrong = -((x - torch.tensor([1.0, 0.0])) ** 2).sum(1) / (2 * 0.36) - 2 * np.log(0.6)
        plain = -(x**2).sum(1) / 2
        return (plain - torch.logaddexp(plain, wrong) + np.log(2)).double()

    return LatentProposal(decoder, 2, torch.ones(2)), ratio


@pytest.mark.parametrize("method", [name for name in RULES if name not in POOL_RULES])
def test_latent_moves_keep_the_target(method):
    """mala and hmc: mean 0 and variance 1 within |z| < 5, local moves accepted; langevin and flow never refuse."""
    proposal, ratio = latent_problem()
    always = method in ("langevin", "flow")
    settings = {} if always else {"step": 0.5}
    resampler = Resampler(proposal, ratio, method, 60, **settings)
    drawn = resampler.sample(4000)
    if always:
        assert resampler.diagnostics.moves == {"local_acceptance": 1.0}
    else:
        assert drawn.mean(0).abs().max() < 5 / 4000**0.5 and (drawn.var(0) - 1).abs().max() < 5 * (2 / 4000) ** 0.5
        assert resampler.diagnostics.moves["local_acceptance"] > 0.5
        raw = proposal.decode(proposal.draw(4000, source()))
        assert raw.mean(0)[0] > 0.4  # what it was corrected from
    assert torch.equal(drawn, Resampler(proposal, ratio, method, 60, **settings).sample(4000))


@pytest.mark.parametrize("method, step", [("mala", 1.2), ("hmc", 1.1)])
def test_local_moves_need_their_acceptance_step(method, step):
    """w = exp(2 x), target N(2, 1), almost only local moves with a large step.

    Unadjusted, the variance would be 1.4 to 1.6.
    """
    proposal = LatentProposal(lambda member, z: z, 1, torch.ones(1))
    resampler = Resampler(proposal, lambda x: 2 * x[:, 0].double(), method, 150, step=step, local_steps=1000)
    drawn = resampler.sample(4000)
    assert 0.3 < resampler.diagnostics.moves["local_acceptance"] < 0.95
    assert abs(drawn.mean() - 2) < 5 / 4000**0.5 and abs(drawn.var() - 1) < 5 * (2 / 4000) ** 0.5


def test_a_latent_rule_without_a_local_move_is_no_rule():
    with pytest.raises(TypeError, match="abstract"):
        LatentRule()


def test_latent_moves_need_a_gradient():
    proposal, ratio = latent_problem()
    for method in ("mala", "hmc", "langevin", "flow"):
        with pytest.raises(ValueError, match="the log ratio has no gradient"):
            Resampler(proposal, lambda x: ratio(x).detach(), method, 10).sample(5)


def test_langevin_follows_the_gradient():
    """One generator, w = exp(2 x): the latent target is N(2, 1)."""
    proposal = LatentProposal(lambda member, z: z, 1, torch.ones(1))
    drawn = Resampler(proposal, lambda x: 2 * x[:, 0].double(), "langevin", 400, step=0.2).sample(2000)
    assert drawn.mean() == pytest.approx(2, abs=0.15) and drawn.std() == pytest.approx(1, abs=0.1)


def test_the_flow_goes_up_the_ratio_alone():
    """One generator, w = exp(2 x): z drifts by step²/2 · 2 a move and spreads by noise · step · sqrt(moves)."""
    proposal = LatentProposal(lambda member, z: z, 1, torch.ones(1))
    drawn = Resampler(proposal, lambda x: 2 * x[:, 0].double(), "flow", 50, step=0.2, noise=0.5).sample(4000)
    variance = 1 + 50 * (0.5 * 0.2) ** 2
    assert drawn.mean() == pytest.approx(50 * 0.04, abs=5 * (variance / 4000) ** 0.5)
    assert drawn.var() == pytest.approx(variance, rel=5 * (2 / 4000) ** 0.5)
    with pytest.raises(ValueError, match="noise must be at least 0"):
        RULES["flow"](noise=-1.0)


def test_start_real_never_outputs_the_real():
    """Real starts with a ratio no proposal can beat: chains restart, and every output is a proposal."""
    rule = RULES["mh"](start="real", stuck="restart")
    log_w = torch.randn(50 * 8, dtype=torch.float64, generator=source())
    selection = rule.select(log_w, 50, source(), torch.full((50,), 1e3).double())
    assert not selection.moved.any() and (selection.picked // 8 == torch.arange(50)).all()
    selection = rule.select(log_w, 50, source(), torch.full((50,), -1e3).double())
    assert selection.moved.all()
    with pytest.raises(ValueError, match="50 of 50 chains never moved; raise the budget"):
        RULES["mh"](start="real", stuck="raise").select(log_w, 50, source(), torch.full((50,), 1e3).double())


@pytest.mark.parametrize("make, words", [
    (lambda: RULES["mh"](start="real"), "would output real data"), (lambda: RULES["mh"](start="x"), "start must be"),
    (lambda: RULES["mh"](stuck="restart"), "is for start real"),
    (lambda: RULES["drs"](percentile=100), "percentile must be"),
    (lambda: RULES["isir"](candidates=0), "candidates must be"), (lambda: RULES["mala"](step=0), "step must be"),
    (lambda: RULES["hmc"](leapfrogs=0), "leapfrogs must be"),
    (lambda: budgeted_rejection(torch.tensor([0.0, -torch.inf, -torch.inf]), 2),
     "only 1 of 3 proposals have a positive ratio"),
    (lambda: RULES["best"], "unknown method 'best'"),
    (lambda: metropolis_hastings(torch.zeros(3, 1)), "log_w must be"),
    (lambda: metropolis_hastings(torch.full((1, 2), torch.nan)), "NaN"),
    (lambda: budgeted_rejection(torch.zeros(3), 4), "n must be in 1..3"),
    (lambda: budgeted_rejection(torch.zeros(3), 0), "n must be"),
    (lambda: budgeted_rejection(torch.tensor([0.0, torch.nan]), 1), "log_w holds NaN"),
    (lambda: RULES["drs"](percentile=0.0).select(torch.linspace(-20, 0, 100).double(), 50, source()),
     "raise the budget to about"),
])
def test_bad_input(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_rejection_tells_the_budget_that_would_do():
    """Of P proposals it accepts a; n outputs then take n P / a proposals, which is a budget of P / a whatever n is."""
    log_w = torch.linspace(-20, 0, 100, dtype=torch.float64)
    with pytest.raises(ValueError) as raised:
        RULES["drs"](percentile=0.0).select(log_w, 50, source())
    accepted, proposals, wanted, budget = map(int, re.findall(r"\d+", str(raised.value)))
    assert (proposals, wanted) == (100, 50) and 0 < accepted < 50
    assert (budget - 1) * accepted <= proposals < budget * accepted


def test_keyed_proposals_are_redrawn_alike(monkeypatch):
    """With no room to keep proposals, the winners are drawn again: the same outputs."""
    kept = Resampler(generate, log_ratio, "obrs", 50, chunk=700).sample(300, seed=4)
    monkeypatch.setattr("bayesgan.resampling.pool.KEPT", 0)
    assert torch.equal(kept, Resampler(generate, log_ratio, "obrs", 50, chunk=700).sample(300, seed=4))
    other = Resampler(generate, log_ratio, "obrs", 50, chunk=700).sample(300, seed=5)
    assert not torch.equal(kept, other)
    assert not torch.equal(keyed_generator(1).get_state(), keyed_generator(2).get_state())
