"""Chains on posteriors with known answers, equality of engines, restarts, predictions and diagnostics."""

import math

import pytest
import torch
from torch import nn

from bayesgan import PosteriorSampler
from bayesgan.sampler import SGHMC, Cyclical, Laplace, Normal, kinetic_temperature, polynomial, ramp
from tests.sampler.helpers import classes, classifier, network, sum_of_squares

LIMIT = 5.0  # |z|
SIZE, WIDTH = 60, 3


def regression(seed=0):
    source = torch.Generator().manual_seed(seed)
    x = torch.randn(SIZE, WIDTH, dtype=torch.float64, generator=source)
    y = x @ torch.tensor([1.0, -2.0, 0.3]).double() + torch.randn(SIZE, dtype=torch.float64, generator=source)
    return x, y[:, None]


def conjugate(x, y, temperature=1.0):
    """Mean and covariance for unit noise and a N(0, 1) prior; a tempered Gaussian's covariance is multiplied by T."""
    precision = x.T @ x + torch.eye(WIDTH, dtype=torch.float64)
    return torch.linalg.solve(precision, x.T @ y)[:, 0], temperature * torch.linalg.inv(precision)


def make(**options):
    torch.manual_seed(0)
    model = nn.Linear(WIDTH, 1, bias=False).double()
    settings = {"log_likelihood": sum_of_squares, "num_data": SIZE, "prior": Normal(1.0), "lr": 0.3, "friction": 0.3,
                "chains": 400, "burn_in": 200, "thin": 10, "engine": "vmap", "scheme": "baoa", "seed": 1}
    return PosteriorSampler(model, **{**settings, **options})


def z_scores(sampler, mean, covariance):
    """Of the mean and of every entry of the covariance; the chains are independent, so their spread is the error."""
    draws = torch.stack([draw.weights["weight"][:, 0] for draw in sampler.draws], 1)  # (chains, draws, WIDTH)
    away = draws - mean
    per_chain = [away.mean(1), (away.unsqueeze(-1) * away.unsqueeze(-2)).mean(1).flatten(1) - covariance.flatten()]
    return torch.cat([values.mean(0) / (values.std(0) / len(values) ** 0.5) for values in per_chain])


@pytest.mark.parametrize("options", [
    {}, {"temperature": 0.2}, {"scheme": "symplectic", "lr": 0.02},
    pytest.param({"preconditioner": "rmsprop", "lr": 0.005, "burn_in": 2000, "thin": 50}, marks=pytest.mark.slow),
])
def test_conjugate_linear_regression(options):
    x, y = regression()
    sampler = make(**options).run((x, y), draws=15, progress=False)
    z = z_scores(sampler, *conjugate(x, y, options.get("temperature", 1.0)))
    assert z.abs().max() < LIMIT, z


def test_conjugate_linear_regression_from_minibatches():
    x, y = regression()
    sampler = make(lr=0.003, burn_in=600, thin=40).run((x, y), draws=15, batch_size=30, progress=False)
    z = z_scores(sampler, *conjugate(x, y))
    assert z.abs().max() < LIMIT, z


def test_mean_loss_and_log_likelihood_are_one_posterior():
    x, y = regression()
    ends = []
    for options in ({}, {"log_likelihood": None, "mean_loss": lambda o, t: 0.5 * ((o - t) ** 2).mean()}):
        ends.append(make(chains=2, **options).run((x, y), draws=3, progress=False).draws[-1].weights["weight"])
    assert (ends[0] - ends[1]).abs().max() < 1e-12


@pytest.mark.parametrize("scheme", ["symplectic", "baoa"])
def test_double_well_against_quadrature(scheme):
    """U = 3 (θ² - 1)²: moments and the mass between the wells."""
    energy = lambda t: 3 * (t**2 - 1) ** 2  # noqa: E731
    grid = torch.linspace(-3, 3, 60_001, dtype=torch.float64)
    density = torch.exp(-energy(grid))
    density /= density.sum()
    n = 20_000
    source = torch.Generator().manual_seed(5)
    start = grid[torch.multinomial(density, n, replacement=True, generator=source)]
    theta = start.clone().requires_grad_()
    chain = SGHMC([theta], eta=0.002, alpha=0.2, scheme=scheme, generator=source)
    chain.state[theta]["momentum"] = (0.002**0.5) * torch.randn(n, dtype=torch.float64, generator=source)
    for _ in range(1500):
        theta.grad = 12 * theta.detach() * (theta.detach() ** 2 - 1)
        chain.step()
    for function in (lambda t: t, lambda t: t**2, lambda t: (t.abs() < 0.5).double()):
        values, expected = function(theta.detach()), (density * function(grid)).sum()
        assert ((values.mean() - expected) / (values.std() / n**0.5)).abs() < LIMIT


def test_stacked_chains_equal_looped_chains():
    ends = [classifier(engine=engine).run(classes(), draws=4, batch_size=10, progress=False).draws[-1].weights
            for engine in ("loop", "vmap")]
    for name, value in ends[0].items():
        assert (value - ends[1][name]).abs().max() < 1e-10


@pytest.mark.parametrize("options", [{}, {"preconditioner": "rmsprop", "lr": 0.001}])
def test_saved_and_loaded_equals_uninterrupted(options, tmp_path):
    whole = classifier(**options).run(classes(), draws=6, batch_size=10, progress=False)
    first = classifier(**options).run(classes(), draws=2, batch_size=10, progress=False)
    first.save(tmp_path / "sampler.pt")
    second = classifier(**options).load(tmp_path / "sampler.pt").run(classes(), draws=4, batch_size=10, progress=False)
    steps = [draw.step for draw in whole.draws]
    assert [draw.step for draw in second.draws] == steps and steps[-1] - steps[0] == 10
    for a, b in zip(whole.draws, second.draws):
        assert all(torch.equal(value, b.weights[name]) for name, value in a.weights.items())


def test_a_loaded_sampler_goes_on_in_its_folder(tmp_path):
    first = classifier(folder=tmp_path / "draws").run(classes(), draws=2, progress=False)
    first.save(tmp_path / "sampler.pt")
    second = classifier(folder=tmp_path / "draws").load(tmp_path / "sampler.pt").run(classes(), draws=1, progress=False)
    assert [draw["step"] for draw in second.store.draws] == [6, 8, 10]


def test_loading_something_else_is_refused(tmp_path):
    classifier().save(tmp_path / "sampler.pt")
    with pytest.raises(ValueError, match=r"saved with chains 3 \(here 2\), thin 2 \(here 5\)"):
        classifier(chains=2, thin=5).load(tmp_path / "sampler.pt")
    with pytest.raises(
        ValueError, match=r"saved with lr 0.02 \(here 0.1\), prior Normal \(here Laplace\), prior's scales"
    ):
        classifier(lr=0.1, prior=Laplace(1.0)).load(tmp_path / "sampler.pt")
    with pytest.raises(ValueError, match="is a folder and a file is to be written; name one in it"):
        classifier().save(tmp_path)
    (tmp_path / "junk.pt").write_bytes(b"junk")
    with pytest.raises(ValueError, match="junk.pt is not a saved sampler"):
        classifier().load(tmp_path / "junk.pt")


def test_predict_averages_over_draws_and_chains():
    sampler = classifier(predictive=lambda o: o.softmax(-1)).run(classes(), draws=3, progress=False)
    x = classes()[0][:7]
    each = sampler.predict(x, each=True)
    assert each.shape == (3, 3, 7, 3)
    model = network()
    model.load_state_dict({name: value[1] for name, value in sampler.draws[2].weights.items()})
    assert (each[2, 1] - model(x).softmax(-1)).abs().max() < 1e-12
    assert (sampler.predict(x, chunk=2) - each.mean((0, 1))).abs().max() < 1e-12
    before = sampler.ensemble.state()["0.weight"].clone()
    sampler.predict(x)
    assert torch.equal(before, sampler.ensemble.state()["0.weight"])
    with pytest.raises(ValueError, match="inputs must be finite, got NaN or infinity, first in row 2"):
        sampler.predict(x.index_fill(0, torch.tensor([2, 4]), torch.nan))
    with pytest.raises(ValueError, match=r"the model cannot take torch.float64 inputs \(7, 1\), which reach it"):
        sampler.predict(x[:, :1])


def test_chains_start_apart_or_at_the_model():
    apart = classifier().ensemble.state()["0.weight"]
    assert not torch.equal(apart[0], apart[1])
    model = network()
    together = classifier(start="model").ensemble.state()["0.weight"]
    assert all(torch.equal(chain, model[0].weight) for chain in together)


def test_cyclical_steps_explore_cold_and_collect_late():
    sampler = classifier(lr=Cyclical(0.02, 10, exploration=0.6), burn_in=10, thin=1)
    sampler.run(classes(), draws=4, progress=False)
    assert [draw.step for draw in sampler.draws] == [19, 20, 29, 30]
    assert sampler.settings.temperature_at(15) == 0 and sampler.settings.temperature_at(17) == 1


def test_temperature_ramps_and_polynomial_steps_reach_the_chain():
    sampler = classifier(temperature=ramp(0.8, 2, 4), lr=polynomial(0.02, offset=10.0))
    group = sampler.chain.param_groups[0]
    assert [sampler.chain.values(group, t)["temperature"] for t in (1, 2, 3, 5, 9)] == pytest.approx(
        [0, 0.2, 0.4, 0.8, 0.8]
    )
    assert sampler.chain.values(group, 10)["eta"] == pytest.approx(0.02 / 50 * 2**-0.55)
    adapting = classifier(preconditioner="rmsprop")
    assert [adapting.settings.temperature_at(t) for t in (9, 10)] == [0, 1]


def test_a_loader_gives_each_chain_its_own_batch():
    x, y = classes()
    seen = []

    def loss(outputs, targets):
        seen.append(targets)
        return nn.functional.cross_entropy(outputs, targets)

    batches = [(x[i : i + 8], torch.arange(i, i + 8) % 3) for i in range(0, 48, 8)] + [(x[48:], torch.arange(2))]

    class Halves:
        """The first three and the next three batches keep together; in which order changes from pass to pass."""

        def __init__(self):
            self.turn = 0

        def __iter__(self):
            self.turn += 1
            order = torch.randperm(3, generator=torch.Generator().manual_seed(self.turn)).tolist()
            return iter([batches[i] for i in order] + [batches[3 + i] for i in order] + batches[6:])

    classifier(mean_loss=loss, burn_in=0, thin=1).run(Halves(), draws=20, progress=False)
    steps = seen[-60:]  # before them the checks' own
    passes = [tuple(map(tuple, torch.stack(steps[i : i + 3]).tolist())) for i in range(0, 60, 3)]
    first = {tuple(t.tolist()) for _, t in batches[:3]}
    assert all(set(three) in (first, {tuple(t.tolist()) for _, t in batches[3:6]}) for three in passes)
    assert len({three[0] for three in passes[::2]}) > 1, "a chain must not see the same batch in every pass"


def test_numbers_of_other_kinds_can_be_saved(tmp_path):
    numpy = pytest.importorskip("numpy")
    options = {"temperature": numpy.float64(0.5), "num_data": numpy.int64(50), "lr": numpy.float64(0.01)}
    classifier(**options).save(tmp_path / "sampler.pt")
    classifier(**options).load(tmp_path / "sampler.pt")


def test_one_chain_is_judged_by_its_halves():
    x, y = regression()
    sampler = make(chains=1, burn_in=200, thin=20).run((x, y), draws=300, progress=False)
    diagnostics = sampler.diagnostics(x[:3])
    assert not any("never changes" in text for text in diagnostics.warnings)
    assert diagnostics.quantities["prediction"].rhat.max() < 1.05


def test_draws_are_stored_as_they_come_and_a_full_disk_keeps_them(tmp_path, monkeypatch):
    sampler = classifier(folder=tmp_path)
    sampler.run(classes(), draws=2, progress=False)
    assert [draw["step"] for draw in sampler.store.draws] == [6, 8]

    def full(tensors, path, metadata):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bayesgan.ensemble.tensor_files.save_file", full)
    with pytest.raises(OSError):
        sampler.run(classes(), draws=2, progress=False)
    assert len(sampler.draws) == 2
    with pytest.raises(ValueError, match="holds the draws of another sampler"):
        classifier(folder=tmp_path).run(classes(), draws=1, progress=False)
    stored = sampler.store.opened()[1].load("chains")
    assert all(torch.equal(value, stored[name]) for name, value in sampler.draws[1].weights.items())


def test_the_model_is_not_changed():
    model = network()
    PosteriorSampler(model, mean_loss=nn.functional.cross_entropy, num_data=50, burn_in=0, thin=1).run(
        classes(), draws=2, progress=False)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), network().parameters()))


def test_a_prior_replaces_the_default():
    default, narrow = (classifier(**o).run(classes(), draws=2, progress=False).draws[-1].weights["0.weight"]
                       for o in ({}, {"prior": Laplace(0.01)}))
    assert not torch.equal(default, narrow)


def test_diagnostics_of_a_good_and_of_a_stuck_sampler():
    x, y = regression()
    good = make(chains=4, burn_in=300, thin=20).run((x, y), draws=300, progress=False).diagnostics(x[:5], ["weight"])
    assert good.warnings == [], good
    assert set(good.quantities) == {"log-likelihood", "prediction", "weight"}
    assert good.quantities["prediction"].rhat.shape == (5, 1)
    stuck = make(chains=4, lr=1e-7, burn_in=0, thin=1).run((x, y), draws=30, progress=False).diagnostics(x[:5])
    assert any(
        "R-hat" in text and "prediction at index" in text and "lengthen burn_in" in text for text in stuck.warnings
    )


@pytest.mark.parametrize("scheme", ["symplectic", "baoa"])
def test_kinetic_temperature_reads_the_temperature_at_large_steps(scheme):
    """eta · curvature is 0.8 here: the raw v²/eta would read 1.5 times too much in the symplectic scheme."""
    x, y = regression()
    stiff = torch.linalg.eigvalsh(x.T @ x)[-1].item() + 1
    sampler = make(scheme=scheme, lr=0.8 * SIZE / stiff, temperature=0.7).run((x, y), draws=30, progress=False)
    reading = sampler.diagnostics().temperatures["weight"]
    assert reading.as_expected and reading.low < 0.7 < reading.high, reading


def test_each_parameter_is_read_with_its_own_groups_settings():
    """Without a potential momenta have variance eta T 2 / (2 - alpha); one row held, one parameter without axes."""
    many, few, single = torch.zeros(1, 20_000), torch.zeros(3, 20_000), torch.zeros(())
    for parameter in (many, few, single):
        parameter.requires_grad_()
    groups = [{"params": [many]}, {"params": [few, single], "eta": 1e-3, "alpha": 0.9, "temperature": 0.1}]
    chain = SGHMC(groups, 0.01, 0.1, generator=torch.Generator().manual_seed(0))
    chain.hold(few, torch.tensor([[True], [False], [False]]))
    for _ in range(60):
        for parameter in (many, few, single):
            parameter.grad = torch.zeros_like(parameter)
        chain.step()
    found = kinetic_temperature(chain, {"many": many, "few": few, "single": single})
    assert found["many"].item() == pytest.approx(1, abs=0.05)
    assert found["few"].tolist() == pytest.approx([0.1] * 3, abs=0.005) and found["single"].shape == (1,)


def test_kinetic_temperature_shows_gradient_noise():
    x, y = regression()
    sampler = make(lr=0.05, chains=100).run((x, y), draws=20, batch_size=2, progress=False)
    diagnostics = sampler.diagnostics()
    assert not diagnostics.temperatures["weight"].as_expected
    assert any("kinetic temperature of weight" in text for text in diagnostics.warnings)


def test_fan_in_prior_is_the_default():
    scales = classifier().prior.scales
    assert scales["2.weight"] == pytest.approx(math.sqrt(2 / 8)) and scales["0.bias"] == 1
