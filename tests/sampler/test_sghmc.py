"""The chain against its exact discrete law, against torch.optim.SGD, and against itself after a restart."""

import math

import pytest
import torch

from bayesgan import SGHMC
from bayesgan.sampler import RMSprop, sghmc_step, stationary_moments
from bayesgan.sampler.noise import fill_normal
from tests.targets import GRID, law_z_scores

LIMIT = 5.0  # |z|: a false alarm in 1.7 million comparisons


@pytest.mark.parametrize("scheme", ["symplectic", "baoa"])
@pytest.mark.parametrize("alpha, eta, curvature, temperature", GRID)
def test_keeps_its_exact_law(scheme, alpha, eta, curvature, temperature):
    z = law_z_scores(alpha, eta, curvature, temperature, scheme)
    assert max(map(abs, z)) < LIMIT, z


@pytest.mark.parametrize("scheme", ["symplectic", "baoa"])
def test_a_constant_preconditioner_scales_the_step_not_the_target(scheme):
    z = law_z_scores(0.3, 0.1, 2.0, 1.0, scheme, preconditioner=3.0)
    assert max(map(abs, z)) < LIMIT, z


def test_forgets_where_it_started():
    source = torch.Generator()
    source.seed()
    theta = torch.full((65_536,), 10.0, dtype=torch.float64, requires_grad=True)
    chain = SGHMC([theta], eta=0.5, alpha=0.3, generator=source)
    for _ in range(300):
        theta.grad = theta.detach().clone()
        chain.step()
    law = stationary_moments(0.3, 0.5, 1.0)
    n = theta.numel()
    assert abs(theta.mean().item()) / math.sqrt(law.var_theta / n) < LIMIT
    assert abs((theta**2).mean().item() - law.var_theta) / (law.var_theta * math.sqrt(2 / n)) < LIMIT


def test_gradient_noise_heats_the_chain_by_the_known_amount_and_beta_hat_takes_it_out():
    alpha, eta, variance = 0.3, 0.1, 4.0
    # noise of variance V adds eta² V to v's variance at each step, as 2 eta alpha T does: T_eff = T + eta V/(2 alpha)
    hot = stationary_moments(alpha, eta, 1.0, 1.0 + eta * variance / (2 * alpha))
    assert max(map(abs, law_z_scores(alpha, eta, 1.0, 1.0, expected=hot, gradient_noise=variance))) < LIMIT
    corrected = law_z_scores(alpha, eta, 1.0, 1.0, gradient_noise=variance, beta_hat=eta * variance / 2)
    assert max(map(abs, corrected)) < LIMIT


@pytest.mark.parametrize("alpha", [0.1, 0.5])
def test_baoa_with_beta_hat_keeps_the_law_of_theta_and_the_gauge_reads_it(alpha):
    """Exact second-moment recursion of the step itself; with the noise left as for v, Var θ was 1.42 of its target."""
    eta, curvature, variance = 0.01, 2.5, 20.0 * alpha
    beta_hat = eta * variance / 2
    columns = []  # the step is linear: its matrix on (θ, v, gradient noise, injected noise) from unit vectors
    for unit in torch.eye(4, dtype=torch.float64):
        theta, v, gradient_noise, noise = (part.clone().reshape(1) for part in unit)
        gradient = curvature * theta + gradient_noise
        sghmc_step(theta, v, gradient, noise, eta=eta, alpha=alpha, beta_hat=beta_hat, scheme="baoa")
        columns.append(torch.cat([theta, v]))
    a = torch.stack(columns, 1)
    keep, sources = a[:, :2], a[:, 2:] @ torch.diag(torch.tensor([variance, 1.0]).double()) @ a[:, 2:].T
    moments = torch.zeros(2, 2, dtype=torch.float64)
    for _ in range(20_000):
        moments = keep @ moments @ keep.T + sources
    assert moments[0, 0].item() * curvature == pytest.approx(1, abs=0.03)
    gauge = moments[1, 1].item() / eta + beta_hat * (4 - 3 * alpha) / (4 - 2 * alpha)
    assert gauge == pytest.approx(1, abs=0.03)


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 1)).double()


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_temperature_zero_is_sgd_with_momentum(momentum):
    ours, theirs = network(), network()
    x = torch.randn(20, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    chain = SGHMC.from_sgd(ours.parameters(), lr=0.05, momentum=momentum, num_data=1000, temperature=0.0)
    sgd = torch.optim.SGD(theirs.parameters(), lr=0.05, momentum=momentum)
    for _ in range(50):
        for net, optimiser in ((ours, chain), (theirs, sgd)):
            optimiser.zero_grad()
            ((net(x) - x.sum(1, keepdim=True)) ** 2).mean().backward()
            optimiser.step()
        for a, b in zip(ours.parameters(), theirs.parameters()):
            assert (a - b).abs().max() < 1e-12


def test_from_sgd_samples_the_sum_scale_posterior():
    """Mean gradients with num_data N and sum gradients with eta = lr/N are the same chain, noise included."""
    ends = []
    for mean_scale in (True, False):
        theta = torch.zeros(100, dtype=torch.float64, requires_grad=True)
        source = torch.Generator().manual_seed(3)
        chain = (SGHMC.from_sgd([theta], lr=0.1, momentum=0.8, num_data=50, generator=source) if mean_scale
                 else SGHMC([theta], eta=0.1 / 50, alpha=1 - 0.8, generator=source))
        for _ in range(20):
            theta.grad = (theta.detach() - 1) * (1 if mean_scale else 50)
            chain.step()
        ends.append(theta.detach())
    assert (ends[0] - ends[1]).abs().max() < 1e-12


def test_schedules_are_read_at_every_step():
    theta = torch.zeros(1, requires_grad=True)
    seen = []
    chain = SGHMC([theta], eta=lambda t: seen.append(t) or 0.1 / (1 + t), temperature=lambda t: 0.0)
    seen.clear()
    for _ in range(3):
        theta.grad = torch.ones(1)
        chain.step()
    assert list(dict.fromkeys(seen)) == [0, 1, 2]


@pytest.mark.parametrize("preconditioner", [None, "rmsprop"])
def test_stop_save_load_continue_is_never_having_stopped(preconditioner, tmp_path):
    def make(seed):
        theta = [torch.ones(5, requires_grad=True), torch.ones(2, 3, requires_grad=True)]
        heat = lambda step: 0.0 if step < 4 else 1.0  # noqa: E731
        return theta, SGHMC(theta, 0.01, temperature=heat, preconditioner=preconditioner,
                            generator=torch.Generator().manual_seed(seed))

    def advance(theta, chain, begin, end):
        for step in range(begin, end):
            if step == 4:
                chain.freeze_preconditioner()
            for p in theta:
                p.grad = p.detach() ** 3
            chain.step()

    whole, chain = make(1)
    advance(whole, chain, 0, 12)
    for cut in (2, 7):
        first, chain = make(1)
        advance(first, chain, 0, cut)
        torch.save([chain.state_dict(), [p.detach() for p in first]], tmp_path / "state.pt")
        state, weights = torch.load(tmp_path / "state.pt", weights_only=True)
        second, chain = make(99)
        with torch.no_grad():
            for p, w in zip(second, weights):
                p.copy_(w)
        chain.load_state_dict(state)
        advance(second, chain, cut, 12)
        assert all(torch.equal(a, b) for a, b in zip(whole, second))


def test_every_parameter_coordinate_and_step_has_noise_of_its_own():
    """With friction 1 and no force, a step is its noise: correlations over parameters, coordinates and steps vanish."""
    theta = [torch.zeros(65_536, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    chain = SGHMC(theta, eta=0.5, alpha=1.0)
    moves = []
    for _ in range(2):
        for p in theta:
            p.grad = torch.zeros_like(p)
        before = [p.detach().clone() for p in theta]
        chain.step()
        moves += [p.detach() - b for p, b in zip(theta, before)]
    series = torch.stack([*moves, moves[0].roll(1)])  # 2 steps x 2 parameters, and neighbouring coordinates
    correlation = torch.corrcoef(series) - torch.eye(5, dtype=torch.float64)
    assert (correlation.abs() * 65_536**0.5).max() < LIMIT, correlation
    assert ((series.var(1) - 1.0) / (2 / 65_536) ** 0.5).abs().max() < LIMIT  # 2 eta alpha T = 1


def test_blocks_of_noise_have_streams_of_their_own_whatever_the_cores(monkeypatch):
    monkeypatch.setattr("bayesgan.sampler.noise.BLOCK", 1000)
    monkeypatch.setattr("bayesgan.sampler.noise.LARGE", 1000)
    source, draws = torch.Generator(), []
    source.seed()
    start = source.get_state()
    for count in (1, 4):
        monkeypatch.setattr("torch.get_num_threads", lambda count=count: count)
        source.set_state(start)
        draws.append([fill_normal(torch.empty(1, 100_500, dtype=torch.float64), [source])[0] for _ in range(2)])
    assert all(torch.equal(a, b) for a, b in zip(*draws))
    blocks = torch.cat([draw[:100_000] for draw in draws[0]]).view(200, 1000)  # of two steps
    correlation = torch.corrcoef(blocks) - torch.eye(200, dtype=torch.float64)
    assert (correlation.abs() * 1000**0.5).max() < LIMIT + 1  # 19,900 pairs
    assert (
        abs(blocks.mean()) * blocks.numel() ** 0.5 < LIMIT
        and abs(blocks.var() - 1) * (blocks.numel() / 2) ** 0.5 < LIMIT
    )


@pytest.mark.parametrize("preconditioner", [None, 3.0])
def test_the_law_holds_with_noise_in_blocks(preconditioner, monkeypatch):
    monkeypatch.setattr("bayesgan.sampler.noise.BLOCK", 5000)
    monkeypatch.setattr("bayesgan.sampler.noise.LARGE", 5000)
    z = law_z_scores(0.3, 0.1, 2.0, 1.0, preconditioner=preconditioner)
    assert max(map(abs, z)) < LIMIT, z


def test_a_preconditioner_changed_in_place_moves_and_shakes_alike():
    """With friction 1 and no force a step is noise of variance 2 eta T C."""
    diagonal = torch.ones(65_536)
    theta = torch.zeros(65_536, requires_grad=True)
    chain = SGHMC([theta], eta=0.5, alpha=1.0, preconditioner=[diagonal])
    for factor in (1.0, 4.0):
        diagonal.fill_(factor)
        before, theta.grad = theta.detach().clone(), torch.zeros(65_536)
        chain.step()
        assert abs((theta.detach() - before).var().item() / factor - 1) / (2 / 65_536) ** 0.5 < LIMIT


def test_without_a_generator_two_samplers_draw_different_noise():
    ends = []
    for _ in range(2):
        theta = torch.zeros(10, requires_grad=True)
        chain = SGHMC([theta], 0.1)
        theta.grad = torch.zeros(10)
        chain.step()
        ends.append(theta.detach())
    assert not torch.equal(*ends)


def test_the_global_generator_is_not_touched():
    before = torch.get_rng_state()
    theta = torch.zeros(10, requires_grad=True)
    chain = SGHMC([theta], 0.1)
    theta.grad = torch.zeros(10)
    chain.step()
    assert torch.equal(before, torch.get_rng_state())


def test_rmsprop_at_temperature_zero_is_its_recursion():
    """V ← decay V + (1-decay) g²;  v ← (1-alpha) v - eta g / (sqrt(V / (1-decay^t)) + 1e-8);  θ ← θ + v."""
    eta, alpha, decay = 0.01, 0.3, 0.9
    theta = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    chain = SGHMC([theta], eta, alpha, temperature=0.0, preconditioner=RMSprop(decay))
    position, velocity, square = torch.zeros(3, 4, dtype=torch.float64)
    source = torch.Generator().manual_seed(6)
    for t in range(1, 40):
        gradient = torch.randn(4, dtype=torch.float64, generator=source)
        theta.grad = gradient.clone()
        chain.step()
        square = decay * square + (1 - decay) * gradient**2
        velocity = (1 - alpha) * velocity - eta * gradient / ((square / (1 - decay**t)).sqrt() + 1e-8)
        position = position + velocity
        assert (theta.detach() - position).abs().max() < 1e-12


def test_freezing_keeps_the_preconditioner_and_applies_the_floor():
    theta = torch.zeros(2, requires_grad=True)
    chain = SGHMC([theta], 0.1, temperature=0.0, preconditioner=RMSprop(floor=0.5))
    theta.grad = torch.tensor([2.0, 0.0])
    chain.step()
    chain.freeze_preconditioner()
    assert torch.allclose(chain.state[theta]["preconditioner"], torch.tensor([1 / 2.5, 1 / 0.5]))
    theta.grad = torch.tensor([100.0, 100.0])
    chain.step()
    assert torch.allclose(chain.state[theta]["preconditioner"], torch.tensor([1 / 2.5, 1 / 0.5]))


@pytest.mark.parametrize("stiffness, scheme", [(0.0, "symplectic"), (3.5, "symplectic"), (4.0, "baoa")])
def test_unstable_settings_have_no_law(stiffness, scheme):
    with pytest.raises(ValueError, match="eta . curvature must be in"):
        stationary_moments(0.3, stiffness, 1.0, scheme=scheme)


def test_from_chen_is_eq_13_of_the_paper():
    """θ += eps M⁻¹ r;  r += -eps ∇U - eps C M⁻¹ r + N(0, 2 (C - B̂) eps), with the same noise, to 1e-12."""
    eps, friction, mass, estimate = 0.1, 0.8, 2.5, 0.3
    theta = torch.ones(1000, dtype=torch.float64, requires_grad=True)
    chain = SGHMC.from_chen([theta], eps, friction, mass, estimate, generator=torch.Generator().manual_seed(4))
    source = torch.Generator().manual_seed(4)
    position, r = torch.ones(1000, dtype=torch.float64), torch.zeros(1000, dtype=torch.float64)
    for _ in range(30):
        theta.grad = 3 * theta.detach()
        chain.step()
        noise = math.sqrt(2 * (friction - estimate) * eps) * torch.randn(1000, generator=source, dtype=torch.float64)
        r = r - eps * 3 * position - eps * friction / mass * r + noise
        position = position + eps / mass * r
        assert (theta.detach() - position).abs().max() < 1e-12
    with pytest.raises(ValueError, match="M must be positive"):
        SGHMC.from_chen([theta], eps, friction, 0.0)


def test_halving_eta_halves_the_symplectic_bias():
    """Measured on 65,536 chains at 60 times each: the closed form says 2.06, a scheme of another order 4 or 1."""
    bias = {}
    for eta in (0.2, 0.1):
        law = stationary_moments(0.3, eta, 1.0)
        source = torch.Generator()
        source.seed()
        theta = (law.var_theta**0.5 * torch.randn(65_536, dtype=torch.float64, generator=source)).requires_grad_()
        chain = SGHMC([theta], eta, 0.3, generator=source)
        variances = []
        for step in range(60 * 15):
            theta.grad = theta.detach().clone()
            chain.step()
            if step >= 100 and step % 15 == 0:
                variances.append((theta.detach() ** 2).mean())
        bias[eta] = torch.stack(variances).mean().item() - 1
    # each mean of some 53 variances has an error of at most sqrt(2/65536/53 · 3), correlation included: .0014
    assert abs(bias[0.2] / bias[0.1] - 2.06) < 5 * 0.0014 / bias[0.1] * 2
    assert stationary_moments(0.3, 0.02, 1.0, scheme="baoa").var_theta == 1
