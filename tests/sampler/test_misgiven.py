"""What people give by mistake and would make a confident, wrong posterior; each with its known answer or its words."""

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Normal as Gaussian
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset

from bayesgan import SGHMC, PosteriorSampler
from bayesgan.report.mixing import mixing
from bayesgan.sampler import Cyclical, Normal, kinetic_temperature, ramp, stationary_moments
from bayesgan.sampler.diagnostics import converge, diagnose
from tests.sampler.helpers import classes, classifier

ROWS = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
SEVERAL = (torch.rand(40, 3, generator=torch.Generator().manual_seed(1)) < 0.5).float()
PIXELS = torch.randint(2, (40, 4, 4), generator=torch.Generator().manual_seed(2))


def sampled(model, data, **likelihood):
    return PosteriorSampler(model, num_data=40, lr=1e-4, burn_in=2, thin=1, **likelihood).run(data, 2, progress=False)


@pytest.mark.parametrize("loss", [
    F.binary_cross_entropy_with_logits, nn.BCEWithLogitsLoss(), lambda o, t: ((o - t) ** 2).mean(),
    lambda o, t: F.mse_loss(o, t), lambda o, t: F.gaussian_nll_loss(o, t, torch.ones_like(o)),
])
def test_a_mean_over_the_columns_of_a_target_is_refused(loss):
    with pytest.raises(ValueError, match="a mean over the 3 numbers of each target too.* as many times too wide"):
        sampled(nn.Linear(2, 3), (ROWS, SEVERAL), mean_loss=loss)


def test_a_mean_over_pixels_is_refused_and_a_sum_is_not():
    images = torch.randn(40, 1, 4, 4)
    with pytest.raises(ValueError, match="a mean over the 16 numbers of each target too"):
        sampled(nn.Conv2d(1, 2, 1), (images, PIXELS), mean_loss=F.cross_entropy)
    for loss in (lambda o, t: ((o - t) ** 2).mean() / 2, lambda o, t: ((o - t) ** 2).sum(1).mean() / 2):
        with pytest.raises(ValueError, match="a mean over the 16 numbers of each target too"):
            sampled(nn.Conv2d(1, 1, 1), (images, images), mean_loss=loss)
    whole = sampled(nn.Conv2d(1, 2, 1), (images, PIXELS),
                    log_likelihood=lambda o, t: -F.cross_entropy(o, t, reduction="sum"))
    assert len(whole.draws) == 2


@pytest.mark.parametrize("given", [
    {"mean_loss": lambda o, t: F.binary_cross_entropy_with_logits(o, t, reduction="none").sum(1).mean()},
    {"log_likelihood": lambda o, t: -F.binary_cross_entropy_with_logits(o, t, reduction="sum")},
    {"mean_loss": lambda o, t: -(t * o.log_softmax(1)).sum(1).mean()},  # soft classes
    {"mean_loss": F.cross_entropy},  # the same
])
def test_sums_over_columns_and_soft_classes_pass(given):
    assert len(sampled(nn.Linear(2, 3), (ROWS, SEVERAL.clamp_min(0.1)), **given).draws) == 2


class Words(nn.Module):
    """Class scores of every word in the last axis, as language models have them."""

    def __init__(self):
        super().__init__()
        self.scores = nn.Embedding(5, 5)

    def forward(self, x):
        return self.scores(x)


def test_a_mean_over_words_is_refused_and_a_sum_is_not():
    x = torch.randint(5, (40, 6), generator=torch.Generator().manual_seed(0))
    for loss in (lambda o, t: F.cross_entropy(o.reshape(-1, 5), t.reshape(-1)),
                 lambda o, t: F.cross_entropy(o.transpose(1, 2), t)):
        with pytest.raises(ValueError, match="a mean over the 6 numbers of each target too"):
            sampled(Words(), (x, x), mean_loss=loss)
    assert sampled(Words(), (x, x), log_likelihood=lambda o, t: -F.cross_entropy(
        o.reshape(-1, 5), t.reshape(-1), reduction="sum")).draws


def weibull(o, t):
    shape, scale = F.softplus(o[:, 0]) + 0.1, o[:, 1].exp()
    return (t[:, 1] * (shape.log() - scale.log() + (shape - 1) * (t[:, 0] / scale).log())
            - (t[:, 0] / scale) ** shape).sum()


def beta_binomial(o, t):
    a, b = o.exp().unbind(1)
    k, n = t.unbind(1)
    return (torch.lgamma(k + a) + torch.lgamma(n - k + b) - torch.lgamma(n + a + b) + torch.lgamma(a + b)
            - torch.lgamma(a) - torch.lgamma(b)).sum()


TIMES = torch.stack([0.1 + 5 * torch.rand(40, generator=torch.Generator().manual_seed(0)), torch.ones(40)], 1)


@pytest.mark.parametrize("likelihood, targets", [
    (weibull, TIMES), (weibull, TIMES * torch.tensor([1.0, 0.0])),  # all of them censored
    (beta_binomial, torch.tensor([[3.0, 9.0]] * 20 + [[5.0, 7.0]] * 20)),
    (lambda o, t: Gaussian(o[:, 0], t[:, 1]).log_prob(t[:, 0]).sum(), TIMES),  # a value and its known error
    (lambda o, t: -(t[:, 1:] * (o[:, :1] - t[:, :1]) ** 2).sum(), TIMES),  # and its weight
    (lambda o, t: sum(Gaussian(o[:, i], 1 + i).log_prob(t[:, i]).sum() for i in range(2)), TIMES),
    (lambda o, t: 5 * F.cosine_similarity(o, t, dim=1).sum(), F.normalize(TIMES)),  # von Mises and Fisher's
])
def test_targets_of_several_kinds_pass(likelihood, targets):
    """Their numbers are picked by place, so that nothing about a mean over them can be told."""
    assert len(sampled(nn.Linear(2, 2), (ROWS, targets), log_likelihood=likelihood).draws) == 2


def test_a_likelihood_with_parameters_of_its_own_is_refused():
    model, scale = nn.Linear(2, 1), nn.Parameter(torch.zeros(()))
    target = ROWS.sum(1)
    regularised = lambda o, t: ((o[:, 0] - t) ** 2).mean() + sum((p**2).sum() for p in model.parameters())  # noqa: E731
    scaled = lambda o, t: Gaussian(o[:, 0], scale.exp()).log_prob(t).sum()  # noqa: E731
    for given in ({"mean_loss": regularised}, {"log_likelihood": scaled}):
        with pytest.raises(ValueError, match="depends on parameters of its own, which no chain moves"):
            sampled(model, (ROWS, target), **given)
    assert model.weight.grad is None and scale.grad is None
    constant = nn.Linear(1, 1).requires_grad_(False)
    assert sampled(model, (ROWS, target), log_likelihood=lambda o, t: -((constant(o)[:, 0] - t) ** 2).sum() / 2).draws


def spread(chain, position, curvature, steps):
    """Mean of theta² k over the coordinates and the later half of so many steps, 1 at temperature 1."""
    found = []
    for step in range(steps):
        position.grad = curvature * position.detach()
        chain.step()
        if step >= steps // 2:
            found.append(position.detach().square().mean().item() * curvature)
    return np.mean(found)


def chain(eta, size=20_000):
    position = torch.randn(size, generator=torch.Generator().manual_seed(0)).requires_grad_()
    return position, SGHMC([position], eta, 0.1, generator=torch.Generator().manual_seed(1))


def test_the_law_stays_when_a_step_size_is_changed_by_hand():
    position, sampler = chain(0.1)
    assert spread(sampler, position, 1.0, 100) == pytest.approx(1.03, abs=0.05)
    sampler.param_groups[0]["eta"] = 0.0001  # momenta of the old size would throw it to 30 times its variance
    assert spread(sampler, position, 1.0, 40) == pytest.approx(1.03, abs=0.05)
    position.grad = position.detach().clone()
    assert kinetic_temperature(sampler, {"w": position})["w"].mean().item() == pytest.approx(1, abs=0.05)


def test_the_law_stays_for_what_was_frozen_while_the_step_size_fell():
    position, sampler = chain(lambda step: 0.1 if step < 100 else 0.0001)
    other = torch.zeros(3, requires_grad=True)
    sampler.add_param_group({"params": [other]})
    other.grad = torch.zeros(3)
    spread(sampler, position, 1.0, 90)
    position.requires_grad_(False)
    for _ in range(30):
        sampler.step()
    position.requires_grad_(True)
    assert spread(sampler, position, 1.0, 40) == pytest.approx(1.03, abs=0.05)


@pytest.mark.parametrize("eta", [1, torch.tensor(0.1), 0.1, lambda step: 0.1 / (1 + step)])
def test_a_chain_goes_on_from_its_state_whatever_its_step_size_is_given_as(eta):
    """Also from one of before, which does not say what its momenta were made with."""
    def chain():
        position = torch.full((3,), 2.0, requires_grad=True)
        return position, SGHMC([position], eta, 0.5, temperature=0.0)

    (position, straight), (again, loaded), (older, bare) = chain(), chain(), chain()
    for _ in range(3):
        position.grad = position.detach().clone()
        straight.step()
    state = copy.deepcopy(straight.state_dict())
    for other, one in ((again, loaded), (older, bare)):
        with torch.no_grad():
            other.copy_(position)
        one.load_state_dict(copy.deepcopy(state))
        state["state"][0].pop("eta", None)  # as they were before
        other.grad = other.detach().clone()
        one.step()
    position.grad = position.detach().clone()
    straight.step()
    assert torch.equal(position, again) and torch.equal(position, older)


def test_what_no_chain_moves_has_no_kinetic_temperature():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    model[0].requires_grad_(False)
    sampler = SGHMC.from_sgd([p for p in model.parameters() if p.requires_grad], 0.1, 0.9, 100)
    for _ in range(2):
        model(ROWS).square().mean().backward()
        sampler.step()
    assert set(kinetic_temperature(sampler, dict(model.named_parameters()))) == {"1.weight", "1.bias"}
    model[1].bias.requires_grad_(False)
    model[1].bias.grad = None
    assert set(kinetic_temperature(sampler, dict(model.named_parameters()))) == {"1.weight"}


@pytest.mark.parametrize("chains", [1, 2, 10])
def test_ess_of_few_draws_is_not_told_and_of_more_it_is_that_of_frozen_chains(chains):
    """Before ten draws its estimate depends on their number alone: ten frozen chains seemed worth all their draws."""
    frozen = 10.0 * np.arange(chains)[:, None, None] + 1e-3 * np.random.default_rng(0).standard_normal((chains, 30, 64))
    assert np.isnan(converge(frozen[:, :9]).ess).all()
    if chains > 1:
        assert np.nanmedian(converge(frozen[:, :10]).ess) < 3.5 * chains
    assert (converge(np.random.default_rng(0).standard_normal((chains, 30, 64))).ess <= 30 * chains).all()
    if chains > 1:
        assert mixing({"generators": torch.from_numpy(frozen)})["generators"]["ess"] < 3.5 * chains


def test_draws_of_a_temperature_that_has_not_risen_yet_are_warned_of():
    sampler = classifier(temperature=ramp(1.0, 500, 200), burn_in=10, thin=1).run(classes(), 10, progress=False)
    text = str(sampler.diagnostics(classes()[0][:3]))
    assert "all draws were collected at temperature 0, before the schedule raised it" in text and "nan" not in text


@pytest.mark.parametrize("measured, words", [(0.5, "it has not warmed up yet"), (2.0, "gradient noise heats it")])
def test_a_chain_that_is_too_cold_is_not_called_hot(measured, words):
    quantity = torch.randn(2, 20, generator=torch.Generator().manual_seed(0))
    found = diagnose({"q": quantity}, {"w": torch.full((2, 20), measured)}, {"w": 100}, 1.0)
    (text,) = (text for text in found.warnings if "kinetic" in text)
    assert words in text


def test_a_prior_still_regularises():
    """What a regulariser in the loss was refused for: N(0, 1/2) on each weight is w² on the sum scale."""
    narrow, wide = (PosteriorSampler(nn.Linear(2, 1, bias=False), num_data=40, prior=Normal(width), burn_in=200, thin=2,
                                     chains=4, log_likelihood=lambda o, t: -((o[:, 0] - t) ** 2).sum() / 2)
                    .run((ROWS, 3 * ROWS.sum(1)), 50, progress=False) for width in (0.05, 10.0))
    small, large = (torch.stack([draw.weights["weight"] for draw in one.draws]).square().mean().sqrt()
                    for one in (narrow, wide))
    assert small < 1 and large == pytest.approx(3, abs=0.3)


@pytest.mark.parametrize("ask", [
    lambda sampler: sampler.run(classes(), 2, progress=False), lambda sampler: list(sampler.sample(classes(), 2))])
def test_a_warning_names_the_users_line(ask):
    model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    with pytest.warns(UserWarning, match="batch norm") as caught:
        ask(classifier(model=model))
    assert {one.filename for one in caught} == {__file__}


def test_going_on_with_other_data_is_warned_of_and_in_another_order_it_is_not(tmp_path):
    x, y = classes()
    sampler = classifier().run((x, y), 2, progress=False)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sampler.run((x[order], y[order]), 1, progress=False)
        with pytest.raises(ValueError, match="num_data 50 rows"):
            sampler.run((x[:9] + 1, y[:9]), 1, progress=False)
        sampler.run((x.double() * (1 + 1e-9), y), 1, progress=False)
    sampler.save(tmp_path / "s.pt")
    for one in (sampler, classifier().load(tmp_path / "s.pt")):
        with pytest.warns(UserWarning, match="these are other data than the chains have moved on"):
            one.run((x + 1, y), 1, progress=False)


ORDERED = torch.arange(3).repeat_interleave(20)
SIXTY = torch.randn(60, 2, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("loss, targets", [
    (nn.CrossEntropyLoss(weight=torch.tensor([1.0, 1.0, 50.0])), ORDERED),
    (nn.CrossEntropyLoss(), torch.where(torch.arange(60) < 45, ORDERED, -100)),
])
def test_data_in_order_of_classes_hide_neither_weights_nor_ignored_targets(loss, targets):
    with pytest.raises(ValueError, match="leave out what couples or weighs them|leave these data out"):
        PosteriorSampler(nn.Linear(2, 3), mean_loss=loss, num_data=60).run((SIXTY, targets), 2, progress=False)


def test_a_chain_that_diverges_is_told_to_take_smaller_steps():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 2)

        def forward(self, x):
            mean, logarithm = self.linear(x).T
            return mean, logarithm.exp()

    def log_likelihood(outputs, targets):
        return Gaussian(*outputs).log_prob(targets).sum()

    with pytest.raises(ValueError, match="lower lr"):
        PosteriorSampler(Scale(), log_likelihood, 60, lr=3.0).run((5 * SIXTY, SIXTY[:, 0]), 20, progress=False)


def test_loaders_without_an_end_of_their_sampler_are_predicted_in_their_order():
    class Rows(IterableDataset):
        def __iter__(self):
            return iter(SIXTY)

    sampler = sampled(nn.Linear(2, 3), (ROWS, torch.zeros(40, dtype=torch.long)), mean_loss=F.cross_entropy)
    assert torch.equal(sampler.predict(DataLoader(Rows(), 16)), sampler.predict(SIXTY))


def test_what_would_be_left_out_of_arrays_is_refused():
    sampler = sampled(nn.Linear(2, 3), (ROWS, torch.zeros(40, dtype=torch.long)), mean_loss=F.cross_entropy)
    with pytest.raises(ValueError, match="unpack is for the batches of a loader"):
        sampler.run((ROWS, torch.zeros(40, dtype=torch.long)), 1, progress=False, unpack=lambda batch: batch)
    with pytest.raises(ValueError, match="unpack is for the batches of a loader"):
        sampler.predict(ROWS, unpack=lambda batch: batch)
    with pytest.raises(ValueError, match=r"or a tuple \(inputs, targets\), got a list of 2 arrays"):
        sampler.predict([ROWS[:20], ROWS[20:]])
    assert len(sampler.predict([ROWS, torch.zeros(40)])) == 40  # as loaders give it


@pytest.mark.filterwarnings("error")
def test_schedules_that_end_are_the_same_afterwards(tmp_path):
    def sampler():
        return PosteriorSampler(nn.Linear(2, 3), mean_loss=F.cross_entropy, num_data=40,
                                lr=lambda step: 0.01 * np.sqrt(1 - step / 5000))

    sampler().save(tmp_path / "sampler.pt")
    assert sampler().load(tmp_path / "sampler.pt").step == 0


def test_the_same_data_are_looked_at_once(monkeypatch):
    looked = []
    monkeypatch.setattr("bayesgan.sampler.posterior_sampler.tried", lambda *given: looked.append(1) or given[-1])
    data = (ROWS, torch.zeros(40, dtype=torch.long))
    sampler = PosteriorSampler(nn.Linear(2, 3), mean_loss=F.cross_entropy, num_data=40, burn_in=0, thin=1)
    for given in (data, tuple(data), list(data), (ROWS.clone(), data[1])):
        sampler.run(given, 1, progress=False)
    assert len(looked) == 2


def test_schedules_that_part_late_are_told_apart(tmp_path):
    def sampler(end):
        return PosteriorSampler(nn.Linear(2, 3), mean_loss=F.cross_entropy, num_data=40,
                                temperature=ramp(1.0, end, 100))

    sampler(1500).save(tmp_path / "sampler.pt")
    with pytest.raises(ValueError, match="saved with temperature"):
        sampler(9000).load(tmp_path / "sampler.pt")
    stored = torch.load(tmp_path / "sampler.pt")
    stored["settings"]["temperature"] = stored["settings"]["temperature"][:7]  # of an older version
    torch.save(stored, tmp_path / "sampler.pt")
    assert sampler(1500).load(tmp_path / "sampler.pt").step == 0


def test_numpys_numbers_leave_a_state_that_can_be_loaded(tmp_path):
    weight = nn.Parameter(torch.ones(2))
    chain = SGHMC.from_sgd([weight], lr=np.float64(0.1), momentum=0.9, num_data=np.int64(150))
    weight.grad = torch.ones(2)
    chain.step()
    torch.save(chain.state_dict(), tmp_path / "chain.pt")
    chain.load_state_dict(torch.load(tmp_path / "chain.pt", weights_only=True))
    assert chain.param_groups[0]["eta"] == pytest.approx(0.1 / 150)


def test_a_model_without_shapes_yet_is_refused():
    with pytest.raises(ValueError, match="call it on some inputs once"):
        PosteriorSampler(nn.LazyLinear(3), mean_loss=F.cross_entropy, num_data=40)


def test_other_targets_and_likelihoods_are_looked_at_when_a_sampler_goes_on(tmp_path):
    x = torch.randn(40, 1, generator=torch.Generator().manual_seed(0))

    def sampler(likelihood=lambda o, t: -((o - t) ** 2).sum() / 2):
        return PosteriorSampler(nn.Linear(1, 1), likelihood, 40, lr=0.01, burn_in=2, thin=1)

    first = sampler().run((x, 2 * x), 2, progress=False)
    first.save(tmp_path / "sampler.pt")
    for going_on in (first, sampler().load(tmp_path / "sampler.pt")):
        with pytest.raises(ValueError, match="their shapes broadcast against each other"):
            going_on.run((x, 2 * x[:, 0]), 2, progress=False)
        with pytest.raises(ValueError, match="the model cannot take torch.float32 inputs"):
            going_on.run((torch.cat([x, x], 1), 2 * x), 2, progress=False)
    with pytest.raises(ValueError, match="must return the sum over the batch and returns a mean"):
        sampler(lambda o, t: -((o - t) ** 2).mean()).load(tmp_path / "sampler.pt").run((x, 2 * x), 2, progress=False)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.out = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x):
        return self.out(self.lstm(x)[0][:, -1])


def test_the_engine_that_was_fallen_back_to_is_kept(tmp_path):
    data = torch.randn(50, 5, 3), torch.randint(2, (50,))

    def sampler():
        return PosteriorSampler(Recurrent(), mean_loss=F.cross_entropy, num_data=50, chains=2, burn_in=2, thin=1,
                                lr=0.01, engine="vmap")

    with pytest.warns(UserWarning, match='"loop" is used'):
        first = sampler().run(data, 2, 10, progress=False)
    first.save(tmp_path / "sampler.pt")
    second = sampler().load(tmp_path / "sampler.pt")
    assert torch.equal(second.predict(data[0]), first.predict(data[0]))
    assert torch.equal(second.run(data, 1, 10, progress=False).draws[-1].weights["out.weight"],
                       first.run(data, 1, 10, progress=False).draws[-1].weights["out.weight"])


def test_another_cycle_is_another_sampler(tmp_path):
    def sampler(*shares):
        return PosteriorSampler(nn.Linear(1, 1), lambda o, t: -((o - t) ** 2).sum(), 40, lr=Cyclical(0.01, 50, *shares))

    sampler(0.8, 0.5).save(tmp_path / "sampler.pt")
    assert sampler(0.8, 0.5).load(tmp_path / "sampler.pt").step == 0
    with pytest.raises(ValueError, match="saved with lr's rule"):
        sampler(0.2, 0.0).load(tmp_path / "sampler.pt")


@pytest.mark.parametrize("shape", [(8, 25, 100), (4, 50, 30), (2, 50, 100), (1, 100, 30)])
def test_independent_draws_are_not_said_to_disagree(shape):
    alarms = sum("disagree" in warning for seed in range(20) for warning in diagnose(
        {"prediction": torch.randn(*shape, generator=torch.Generator().manual_seed(seed))}, {}, {}, 1.0).warnings)
    assert alarms <= 1
    apart = torch.randn(*shape) + torch.linspace(0, 3, shape[0] * shape[1]).view(*shape[:2], 1)
    assert any("disagree" in warning for warning in diagnose({"prediction": apart}, {}, {}, 1.0).warnings)


def test_priors_and_temperatures_without_a_gradient_are_told():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    model[0].requires_grad_(False)
    with pytest.raises(ValueError, match="1.weight has no gradient; call backward"):
        Normal().add_gradient(dict(model.named_parameters()))
    chain = SGHMC([*model[1].named_parameters(), ("none", nn.Parameter(torch.zeros(0, 2)))], eta=1e-3)
    model(torch.ones(3, 2)).sum().backward()
    before = model[1].weight.grad.clone()
    Normal().add_gradient(dict(model.named_parameters()), 0.5)
    assert torch.equal(model[1].weight.grad, before + 0.5 * model[1].weight)
    with pytest.raises(ValueError, match="no scale for parameter 1.weight"):
        Normal(1.0, {"bias": 1.0}).add_gradient({"1.weight": model[1].weight})
    chain.step()
    chain.zero_grad()
    with pytest.raises(ValueError, match=r"weight has no gradient; ask between backward\(\) and step\(\)"):
        kinetic_temperature(chain, dict(model[1].named_parameters()))


def test_no_chain_has_such_a_friction():
    for alpha in (1.5, -1.0, 0.0):
        with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\]"):
            stationary_moments(alpha, 0.1, 1.0)
