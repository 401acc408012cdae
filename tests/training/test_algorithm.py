"""Algorithm 1 against the plain loop over pairs, its scaling, its phases, and restarts."""

import dataclasses

import pytest
import torch

from bayesgan.basics.errors import Diverged
from bayesgan.data import DATA_SETS, DataOptions, some, to_float
from bayesgan.options import resolve
from bayesgan.training.algorithm import Trainer
from bayesgan.training.losses import Losses
from bayesgan.training.meetings import Meetings
from bayesgan.training.minibatches import latent_draw
from bayesgan.training.players import Player
from tests.oracles import pair_losses

TINY = {
    "num_gen": 3,
    "num_mcmc": 1,
    "num_disc": 2,
    "df_dim": 8,
    "z_dim": 4,
    "batch_size": 16,
    "gen_batch_size": 16,
    "train_iter": 12,
    "num_layers": 2,
}


def trainer(**changes):
    options, _ = resolve({**TINY, **changes})
    return Trainer(options, DATA_SETS[options.dataset].load(DataOptions()))


def test_full_coupling_equals_the_loop_over_all_pairs():
    whole = trainer(coupling="full", network="mlp")
    real = whole.real_batches()
    latent = latent_draw(16, 4, whole.sources("latent", whole.generators))
    expected_d, _ = pair_losses(whole, real, whole.generators.ensemble.forward(latent, train=False).detach())
    losses = whole.step()
    assert (losses.discriminators - expected_d).abs().max() < 1e-5
    # generators meet the moved discriminators
    fresh = trainer(coupling="full", network="mlp")
    fakes = fresh.generators.ensemble.forward(latent, train=False).detach()
    fresh.discriminators.ensemble.load_state(whole.discriminators.ensemble.state())
    _, expected_g = pair_losses(fresh, real, fakes)
    assert (losses.generators - expected_g).abs().max() < 1e-5


def test_full_coupling_gradients_are_those_of_the_pair_loop():
    """The images' gradients, summed over discriminators, give each generator the loop's gradient."""
    whole = trainer(coupling="full", network="mlp", ml=False)
    real, latent = whole.real_batches(), torch.randn(3, 16, 4)
    fakes = whole.generators.ensemble.forward(latent, train=True)
    whole.generators.move = lambda loss, gradient=None, **readings: loss.backward(gradient)
    whole._move_generators(real, fakes, whole.shown(fakes))
    ours = {name: p.grad.clone() for name, p in whole.generators.ensemble.parameters.items()}
    for p in whole.generators.ensemble.parameters.values():
        p.grad = None
    fakes = whole.generators.ensemble.forward(latent, train=True)
    logits = [whole.discriminators.ensemble.forward(fakes[i].expand(2, *fakes[i].shape), train=False)[0][..., 0]
              for i in range(3)]
    sum(-torch.nn.functional.logsigmoid(score).mean() for score in logits).backward()
    for name, p in whole.generators.ensemble.parameters.items():
        assert (ours[name] - p.grad).abs().max() < 1e-5 * max(1, p.grad.abs().max()), name


COUNTS = [(1, 1), (3, 2), (2, 3), (4, 2), (3, 5), (1, 20)]  # 16 fakes of each generator


@pytest.mark.parametrize("feature_matching", [False, True])
@pytest.mark.parametrize("num_gen, num_disc", COUNTS)
def test_mixture_coupling_is_unbiased(num_gen, num_disc, feature_matching):
    """Every fake's weights add up to 1/B_g each time, and over many draws each discriminator gets its share of each."""
    mixed = trainer(num_gen=num_gen, num_disc=num_disc, feature_matching=feature_matching)
    share, draws = torch.zeros(num_disc, 16 * num_gen, dtype=torch.float64), 2000
    for iteration in range(draws):
        mixed.iteration = iteration
        meetings = Meetings.drawn(mixed.options, mixed.table)
        now = torch.zeros_like(share).scatter_add_(1, meetings.judged, meetings.weights)
        assert (now.sum(0) - 1 / 16).abs().max() < 1e-12
        share += now / draws
    spread = (1 / num_disc * (1 - 1 / num_disc) / draws) ** 0.5
    assert ((16 * share - 1 / num_disc).abs() <= 5 * spread + 1e-6).all()


@pytest.mark.parametrize("num_gen, num_disc, judges", [
    (1, 1, 1), (3, 2, 1), (2, 3, 2), (4, 4, 2), (3, 5, 3), (1, 20, 5),
])
def test_each_discriminator_scores_a_share_of_each_generators_fakes(num_gen, num_disc, judges):
    mixed = trainer(num_gen=num_gen, num_disc=num_disc)
    for mixed.iteration in range(20):
        judged = Meetings.drawn(mixed.options, mixed.table).judged
        assert judged.shape == (num_disc, -(-16 * num_gen * judges // num_disc))  # each fake so often, rounded up
        counts = torch.stack([(own // 16).bincount(minlength=num_gen) for own in judged])
        assert (counts - 16 * judges / num_disc).abs().max() < 2
        scores = torch.stack([(judged == fake).sum(1) for fake in range(16 * num_gen)])
        assert (scores.count_nonzero(1) >= judges).all()  # different ones
        assert (scores.sum(1) > judges).sum() < num_disc  # what completes the last round


@pytest.mark.parametrize("batch_size", [5, 16, 30, 64])
def test_each_discriminator_sees_an_even_mixture(batch_size):
    mixed, seen, draws = trainer(batch_size=batch_size), torch.zeros(2, 48), 1000
    for mixed.iteration in range(draws):
        fakes = Meetings.drawn(mixed.options, mixed.table).fakes
        assert all(len(own.unique()) == min(batch_size, 48) for own in fakes)
        counts = torch.stack([(own // 16).bincount(minlength=3) for own in fakes])
        assert (counts.amax(1) - counts.amin(1)).max() <= 1
        seen.scatter_add_(1, fakes, torch.ones(fakes.shape))
    share = min(1.0, batch_size / 48)
    assert ((seen / draws - share).abs() <= 5 * (share * (1 - share) / draws) ** 0.5 + 1e-6).all()


def test_the_potentials_are_on_the_sum_scale_with_the_prior_added_once():
    """eta times the sampler's scaled gradient is lr times the gradient of (N · mean loss - log prior) / N."""
    one = trainer(network="mlp", optimizer="sgd", prior_std=0.7, lr_decay=0.0)
    before = {n: p.detach().clone() for n, p in one.discriminators.ensemble.parameters.items()}
    real, fakes = one.real_batches(), torch.zeros(3, 16, 1, 8, 8)
    one._move_discriminators(real, one.shown(fakes))
    copy = trainer(network="mlp", optimizer="sgd", prior_std=0.7)
    logits, _ = copy.discriminators.ensemble.forward(torch.cat([real, fakes[:2]], 1), train=False)
    size = len(one.data.train)
    mean = torch.nn.functional.softplus(-logits[:, :16, 0]).mean(1) + torch.nn.functional.softplus(
        logits[:, 16:, 0]
    ).mean(1)
    potential = size * mean.sum() - copy.discriminators.prior.log_prob(copy.discriminators.ensemble.parameters)
    potential.backward()
    for name, p in one.discriminators.ensemble.parameters.items():
        step = p.detach() - before[name]
        expected = -one.options.lr / size * copy.discriminators.ensemble.parameters[name].grad
        assert (step - expected).abs().max() < 1e-6 * max(1.0, expected.abs().max() / one.options.lr), name


def test_the_generators_potential_counts_pseudo_count_data_and_its_prior():
    one = trainer(network="mlp", optimizer="sgd", prior_std=0.7, lr_decay=0.0, pseudo_count=37, num_disc=1)
    before = {n: p.detach().clone() for n, p in one.generators.ensemble.parameters.items()}
    latent = torch.randn(3, 16, 4)
    fakes = one.generators.ensemble.forward(latent, train=True)
    one._move_generators(one.real_batches(), fakes, one.shown(fakes))
    copy = trainer(network="mlp", optimizer="sgd", prior_std=0.7, num_disc=1)
    fakes = copy.generators.ensemble.forward(latent, train=True)
    logits, _ = copy.discriminators.ensemble.forward(fakes.flatten(0, 1)[None], train=False)
    mean = torch.nn.functional.softplus(-logits[0, :, 0]).unflatten(0, (3, 16)).mean(1)
    (37 * mean.sum() - copy.generators.prior.log_prob(copy.generators.ensemble.parameters)).backward()
    for name, p in one.generators.ensemble.parameters.items():
        expected = -one.options.lr / 37 * copy.generators.ensemble.parameters[name].grad
        assert (p.detach() - before[name] - expected).abs().max() < 1e-6 * max(
            1.0, expected.abs().max() / one.options.lr
        )


def test_the_step_size_falls_in_burn_in_and_stays_while_sampling():
    run = trainer(train_iter=40, burn_in=20, lr=0.01, lr_decay=2.0)
    eta = run.generators.sampler.param_groups[0]["eta"]
    size = len(run.data.train)
    assert eta(0) * size == pytest.approx(0.01) and eta(10) * size == pytest.approx(0.01 * 2.718281828 ** -1)
    assert eta(20) == eta(39) == pytest.approx(0.01 * 2.718281828 ** -2 / size)


def test_feature_matching_compares_with_the_real_features():
    run = trainer(feature_matching=True, num_gen=1, num_disc=1, network="mlp")
    real, fakes = run.real_batches(), run.generators.ensemble.forward(torch.randn(1, 16, 4), train=True)
    means = [run.discriminators.ensemble.forward(x, train=False)[1].mean(1)[0] for x in (real, fakes)]
    expected = ((means[0] - means[1]) ** 2).sum()
    assert run._move_generators(real, fakes, run.shown(fakes))[0].item() == pytest.approx(expected.item(), rel=1e-4)


def test_the_slope_penalty_is_weighted_by_ten():
    run = trainer(wasserstein=True, num_disc=1)
    seen = {}
    run.discriminators.move = lambda loss, **readings: seen.update(discriminator=loss.item())
    run.slope_penalty = lambda real, fake: torch.tensor(3.0)
    losses = run._move_discriminators(run.real_batches(), run.shown(torch.zeros(3, 16, 1, 8, 8)))
    assert seen["discriminator"] == pytest.approx(losses.sum().item() + 30.0, rel=1e-5)


def test_nothing_is_frozen_at_temperature_zero():
    """A maximum-likelihood run optimises to the end as it began."""
    run = trainer(ml=True)
    for _ in range(12):
        run.step()
    assert not run.generators.sampler.frozen and not run.discriminators.sampler.frozen


def test_phases():
    run = trainer(train_iter=20, burn_in=8, ramp=4, temperature=0.5)
    assert [run.temperature(t) for t in (0, 7, 8, 9, 11, 19)] == [0, 0, 0.125, 0.25, 0.5, 0.5]
    frozen = []
    for _ in range(10):
        run.step()
        frozen.append(run.generators.sampler.frozen)
    assert frozen == [False] * 8 + [True] * 2
    kept = run.generators.sampler.state[run.generators.ensemble.parameters["project.weight"]]["preconditioner"].clone()
    run.step()
    assert torch.equal(
        kept, run.generators.sampler.state[run.generators.ensemble.parameters["project.weight"]]["preconditioner"]
    )


def test_restart_gives_the_same_bits(tmp_path):
    whole = trainer()
    for _ in range(10):
        whole.step()
    for cut in (3, 8):
        first = trainer()
        for _ in range(cut):
            first.step()
        torch.save(first.state_dict(), tmp_path / "state.pt")
        second = trainer()
        second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        for _ in range(10 - cut):
            second.step()
        for group in ("generators", "discriminators"):
            ours, theirs = getattr(whole, group).ensemble.state(), getattr(second, group).ensemble.state()
            assert all(torch.equal(t, theirs[name]) for name, t in ours.items())


def test_ml_has_no_prior_and_no_noise():
    run = trainer(ml=True)
    assert (run.options.generators, run.options.discriminators) == (1, 1)
    assert run.generators.prior is None and run.discriminators.prior is None
    states = []
    for seed in (1, 2):
        one = trainer(ml=True)
        one.generators.sampler.generator = lambda step, seed=seed: [torch.Generator().manual_seed(seed)]
        for _ in range(12):
            one.step()
        states.append(one.generators.ensemble.state()["project.weight"])
    assert torch.equal(*states)


def test_wasserstein_slope_penalty():
    """A linear critic with slope of norm 3 pays (3 - 1)² wherever it is looked at."""
    run = trainer(wasserstein=True, network="mlp")
    direction = torch.zeros(64)
    direction[5] = 3.0
    run.discriminators.ensemble.forward = lambda x, train, noise=None: ((x.flatten(2) @ direction).unsqueeze(-1), None)
    penalty = run.slope_penalty(torch.randn(2, 16, 1, 8, 8), torch.randn(2, 9, 1, 8, 8))
    assert penalty.item() == pytest.approx(2 * 4.0, rel=1e-5)


def test_a_diverged_member_is_named_with_its_iteration():
    run = trainer()
    good = Losses(torch.zeros(2), torch.zeros(3))
    bad = dataclasses.replace(good, generators=torch.tensor([0.0, float("nan"), 0.0]))
    run.check([good, good], first=40)
    with pytest.raises(Diverged, match="generator 1 became non-finite at iteration 42"):
        run.check([good, good, bad, bad], first=40)


@pytest.mark.parametrize("changes", [{"dataset": "gaussians25"}, {"feature_matching": True}, {"engine": "vmap"},
                                     {"optimizer": "sgd"}, {"gen_batch_size": 4}, {"objective": "least_squares"},
                                     {"wasserstein": True}, {"coupling": "full"}, {"classes": [0, 1]}])
def test_every_variant_trains_with_finite_losses(changes):
    options, _ = resolve({**TINY, **changes})
    data = DATA_SETS[options.dataset].load(DataOptions())
    run = Trainer(options, data.only(options.classes) if options.classes else data)
    for _ in range(12):
        losses = run.step()
    assert losses.discriminators.isfinite().all() and losses.generators.isfinite().all()
    assert losses.generators.shape == (3,) and losses.discriminators.shape == (2,)


def moved(steps, state=None, **changes):
    whole = trainer(network="mlp", train_iter=400, burn_in=20, ramp=5, **changes)
    if state is not None:
        whole.load_state_dict(state)
    while whole.iteration < steps:
        whole.step()
    return whole


def test_gradient_noise_is_read_from_the_end_of_burn_in_and_subtracted_or_not():
    left, taken = moved(260, gradient_noise="ignore"), moved(260, gradient_noise="subtract")
    assert all(not player.corrections() for player in left.players)
    for player in taken.players:
        assert set(player.corrections()) == set(player.ensemble.parameters)
        assert all(own["beta_hat"] <= 0.8 * own["alpha"] + 1e-9 for own in player.corrections().values())
    name = next(iter(taken.generators.ensemble.parameters))
    weights = [one.generators.ensemble.parameters[name] for one in (left, taken)]
    assert not torch.equal(*weights)
    assert set(taken.kinetic_temperatures()) == {"generators", "discriminators"}
    assert trainer(ml=True).kinetic_temperatures() == {}


def test_no_reading_pairs_a_momentum_with_a_friction_it_was_not_made_with(monkeypatch):
    """Between a correction and the next reading there is at least one step."""
    read, corrected = [], []
    monkeypatch.setattr(Player, "_read", lambda self, gauge: read.append(self.sampler.steps))
    monkeypatch.setattr(Player, "correct", lambda self, temperature: corrected.append(self.sampler.steps))
    moved(260, gradient_noise="subtract")
    assert 200 in read and set(corrected) >= {101, 201} and not set(read) & set(corrected)


@pytest.mark.parametrize("at", [105, 230])
def test_readings_and_corrections_are_part_of_a_checkpoint(at):
    whole, half = moved(260), moved(at)
    resumed = moved(260, state=half.state_dict())
    assert resumed.kinetic_temperatures() == whole.kinetic_temperatures()
    for one, other in zip(whole.players, resumed.players):
        assert one.corrections() == other.corrections()
        pairs = zip(one.ensemble.state().values(), other.ensemble.state().values())
        assert all(torch.equal(*pair) for pair in pairs)


def test_a_checkpoint_without_readings_goes_on_without_them():
    state = moved(105).state_dict()
    del state["readings"]
    assert moved(110, state=state).iteration == 110


def test_the_noise_of_a_checkpoint_of_older_versions_is_left_out():
    state = moved(25).state_dict()
    for sampler in state["samplers"].values():
        assert "generator" not in sampler["sghmc"]
        sampler["sghmc"]["generator"] = torch.zeros(16, dtype=torch.uint8)  # as a GPU's
    one, other = moved(28, state=state), moved(28)
    pairs = zip(one.states()["generators"].values(), other.states()["generators"].values())
    assert all(torch.equal(*pair) for pair in pairs)


def test_the_noise_of_a_member_is_its_own():
    """Members that start alike, see the same and differ in noise alone part when the temperature rises."""
    run = trainer(network="mlp", train_iter=400, burn_in=20, ramp=5)
    sources = run.generators.sampler.generator
    numbers = [[torch.randn(3, generator=source) for source in sources(step)] for step in (30, 31, 30)]
    assert all(torch.equal(*pair) for pair in zip(numbers[0], numbers[2]))
    flat = torch.stack([part for step in numbers[:2] for part in step])
    assert len(flat.unique(dim=0)) == len(flat) == 6


def test_losses_on_data_are_those_of_the_networks_as_they_are():
    run = trainer(network="mlp", train_iter=40)
    for _ in range(15):
        run.step()
    before = {name: tensor.clone() for name, tensor in run.discriminators.ensemble.state().items()}
    found = [run.losses_on(part) for part in (run.data.train, run.data.test)]
    fakes = torch.cat([
        run.generators.ensemble.forward_member(member, torch.randn(
            86, 4, generator=run.random("fixed noise", member, iteration=0))) for member in range(3)])
    for part, losses in zip((run.data.train, run.data.test), found):
        for member in range(2):
            real, fake = (run.discriminators.ensemble.forward_member(member, images)[0][:, 0]
                          for images in (to_float(some(part, 256)), fakes))
            expected = torch.nn.functional.softplus(-real).mean() + torch.nn.functional.softplus(fake).mean()
            assert losses[member].item() == pytest.approx(expected.item(), rel=1e-5)
    assert all(torch.equal(before[name], tensor) for name, tensor in run.discriminators.ensemble.state().items())
    assert torch.equal(found[0], run.losses_on(run.data.train))


def test_several_steps_of_the_discriminators_keep_the_schedules_and_see_other_data():
    run, seen = trainer(network="mlp", d_steps=3, train_iter=40, burn_in=20, g_lr=0.002, d_lr=0.004), []
    run._move_discriminators = lambda real, shown, move=run._move_discriminators: (
        seen.append((run.turn, real, shown.images)) or move(real, shown))
    for _ in range(2):
        run.step()
    assert (run.iteration, run.generators.sampler.steps, run.discriminators.sampler.steps) == (2, 2, 6)
    assert [turn for turn, _, _ in seen] == [2, 1, 0] * 2
    assert len({real.sum().item() for _, real, _ in seen}) == len({fake.sum().item() for _, _, fake in seen}) == 6
    size = len(run.data.train)
    rates = [player.sampler.param_groups[0]["eta"] for player in run.players]
    assert rates[0](0) * size == pytest.approx(0.002) and rates[1](0) * size == pytest.approx(0.004)
    assert rates[1](3 * 10) / rates[1](0) == pytest.approx(rates[0](10) / rates[0](0))  # an iteration has three
    assert run.discriminators.sampler.param_groups[0]["temperature"](3 * 20 - 1) == 0
    assert run.discriminators.sampler.param_groups[0]["temperature"](3 * 20) > 0


def test_several_steps_of_the_discriminators_resume_bit_for_bit():
    whole, half = (moved(steps, d_steps=2) for steps in (30, 22))
    resumed = moved(30, state=half.state_dict(), d_steps=2)
    for group, weights in whole.states().items():
        assert all(torch.equal(tensor, resumed.states()[group][name]) for name, tensor in weights.items())
