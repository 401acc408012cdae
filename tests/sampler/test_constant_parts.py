"""What of a user's model is no part of the posterior stays as it is; and what predict averages is an average."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from bayesgan import SGHMC, PosteriorSampler
from bayesgan.ensemble import Ensemble
from bayesgan.sampler import ramp


def halved_square(outputs, targets):
    return -0.5 * (outputs - targets).square().sum()


def sampler(model, rows, **settings):
    return PosteriorSampler(model, halved_square, rows, **{"lr": 0.05, "friction": 0.3, "chains": 2, "burn_in": 20,
                                                          "thin": 2, **settings})


class Backbone(nn.Module):
    """A frozen part with a norm and dropout, and a head."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)).requires_grad_(False)
        self.head = nn.Linear(4, 1)
        self.body[1].running_mean.copy_(torch.tensor([1.0, -1, 0, 2]))
        self.body[1].running_var.copy_(torch.tensor([4.0, 1, 9, 1]))

    def forward(self, x):
        return self.head(self.body(x))


@pytest.mark.parametrize("engine", ["loop", "vmap"])
def test_a_frozen_backbone_is_a_constant(engine):
    """Its norm keeps its statistics and its dropout is off, also where the user left it in training mode."""
    torch.manual_seed(0)
    model, x = Backbone(), torch.randn(50, 3)
    one = sampler(model, 50, engine=engine)
    seen = []
    one.ensemble.network.head.register_forward_hook(lambda module, given, made: seen.append(given[0].detach()))
    y = torch.randn(50, 1)
    one.run((x, y), 4, progress=False)
    if engine == "loop":  # vmap's are of all members at once
        body = model.eval().body(x)
        assert all(torch.allclose(features, body[: len(features)], atol=1e-6) for features in seen)
    for name in ("body.1.running_mean", "body.1.running_var"):
        assert all(torch.equal(row, model.get_buffer(name)) for row in one.ensemble.buffers[name])


def test_a_part_that_alone_is_in_eval_mode_stays_so():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, affine=False), nn.Linear(4, 1))
    model[1].running_mean.fill_(3.0)
    model[1].eval()
    one = sampler(model, 20).run((torch.randn(20, 3), torch.randn(20, 1)), 4, progress=False)
    assert (one.ensemble.buffers["1.running_mean"] == 3).all()
    model[1].train()
    one = sampler(model, 20).run((torch.randn(20, 3), torch.randn(20, 1)), 4, progress=False)
    assert (one.ensemble.buffers["1.running_mean"] != 3).all()


def test_an_adapter_inside_a_part_in_eval_mode_trains():
    model = nn.Sequential(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), nn.Linear(4, 1))
    model[0].eval()
    model[0][1].train()
    one = sampler(model, 20).run((torch.randn(20, 3) + 5, torch.randn(20, 1)), 2, progress=False)
    assert (one.ensemble.buffers["0.1.running_mean"] != 0).all()


@pytest.mark.parametrize("engine", ["loop", "vmap"])
def test_frozen_attention_is_differentiated(engine):
    """torch's short cut for attention in eval mode has no derivative."""
    layer = nn.TransformerEncoderLayer(4, 1, 8, dropout=0.0, batch_first=True).requires_grad_(False)
    model = nn.Sequential(nn.Linear(4, 4), layer, nn.Linear(4, 1))
    one = sampler(model, 12, lr=1e-3, engine=engine)
    assert len(one.run((torch.randn(12, 3, 4), torch.randn(12, 3, 1)), 2, progress=False).draws) == 2


class OfEight(nn.Module):
    """Takes minibatches of eight alone."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 1)

    def forward(self, x):
        return self.linear(x.view(8, 2))


def test_a_model_of_one_size_of_minibatches_is_taken():
    one = sampler(OfEight(), 40, lr=1e-3)
    data = torch.randn(40, 2), torch.randn(40, 1)
    assert len(one.run(data, 4, batch_size=np.int64(8), progress=False).draws) == 4
    found = one.diagnostics(weights=(name for name in ["linear.weight"]))
    assert "linear.weight" in found.quantities


class Assigning(nn.Module):
    """A running mean that is put in the place of the one before."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 1)
        self.register_buffer("mean", torch.zeros(2))

    def forward(self, x):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.mean(0).detach()
        return self.linear(x - self.mean.detach())


def test_buffers_that_a_model_assigns_are_kept():
    ensemble, inputs = Ensemble(Assigning, 2), torch.tensor([[[1.0, 2]], [[3.0, 4]]])
    expected = torch.zeros(2, 2)
    for _ in range(3):
        ensemble.forward(inputs, train=True)
        expected = 0.9 * expected + 0.1 * inputs[:, 0]
    assert torch.allclose(ensemble.buffers["mean"], expected)
    ensemble.forward(inputs, train=False)
    assert torch.allclose(ensemble.buffers["mean"], expected)
    ensemble.use("vmap")
    with pytest.raises(RuntimeError, match=r"it assigns mean, where mean.copy_\(\) would change it in place"):
        ensemble.forward(inputs, train=True)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_the_mean_of_many_draws_of_few_bits(kind):
    """A sum of 600 numbers near 1 stops at 256 in bfloat16."""
    one = sampler(nn.Linear(2, 3).to(kind), 20, predictive=lambda outputs: outputs.softmax(-1))
    one.run((torch.randn(20, 2).to(kind), torch.randn(20, 3).to(kind)), 5, progress=False)
    one.draws = one.draws * 120
    x = torch.randn(4, 2).to(kind)
    mean, each = one.predict(x), one.predict(x, each=True)
    assert mean.dtype == kind and torch.allclose(mean.double(), each.double().mean((0, 1)), atol=5e-3)


def test_draws_of_several_temperatures_are_warned_of():
    data = torch.randn(30, 2), torch.randn(30, 1)
    rising = sampler(nn.Linear(2, 1), 30, temperature=ramp(1.0, 10, 200)).run(data, 8, progress=False)
    words = " ".join(rising.diagnostics().warnings)
    assert "draws were collected at temperatures from" in words and "let burn_in last" in words
    settled = sampler(nn.Linear(2, 1), 30, temperature=ramp(1.0, 5, 10)).run(data, 8, progress=False)
    assert "collected at temperatures" not in " ".join(settled.diagnostics().warnings)


def test_what_predict_averages_has_a_row_for_each_input():
    data = torch.randn(30, 2), torch.randn(30, 1)
    one = sampler(nn.Linear(2, 1), 30, predictive=lambda outputs: outputs.mean(0)).run(data, 4, progress=False)
    with pytest.raises(ValueError, match=r"a row for each of 5 inputs, got \(1,\)"):
        one.predict(torch.randn(5, 2))
    with pytest.raises(ValueError, match="there is no parameter 'nope'; they are weight, bias"):
        one.diagnostics(weights=["nope"])


def test_a_loader_of_ready_batches_is_counted_by_rows():
    data = TensorDataset(torch.randn(100, 2), torch.randn(100, 1))
    loader = DataLoader(data, batch_size=None, sampler=BatchSampler(RandomSampler(data), 10, False))
    assert len(sampler(nn.Linear(2, 1), 100).run(loader, 3, progress=False).draws) == 3
    with pytest.raises(ValueError, match="num_data must be the 100 rows"):
        sampler(nn.Linear(2, 1), 10).run(loader, 3, progress=False)


def test_doubles_that_a_float_cannot_tell_apart_are_warned_of():
    """Seconds since 1970: floats of that size are 128 apart."""
    times, targets = torch.rand(40, 1, dtype=torch.float64) * 3600 + 1.7e9, torch.randn(40, 1)
    for inputs in (times, times.numpy()):
        with pytest.warns(UserWarning, match="values of column 0 near 1.7e.09, which differ by .*; subtract"):
            sampler(nn.Linear(1, 1), 40, lr=1e-22).run((torch.as_tensor(inputs), targets), 1, progress=False)


def test_a_constant_that_is_no_float_is_not_warned_of():
    inputs = torch.cat([torch.randn(40, 1, dtype=torch.float64), torch.full((40, 1), 0.1, dtype=torch.float64)], 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sampler(nn.Linear(2, 1), 40, lr=1e-3).run((inputs, torch.randn(40, 1)), 1, progress=False)


def test_outputs_may_be_complex():
    class Wave(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 3)

        def forward(self, x):
            return torch.polar(torch.ones(len(x), 3), self.linear(x))

    def loss(outputs, targets):
        return nn.functional.cross_entropy(outputs.angle(), targets)

    data = torch.randn(30, 2), torch.randint(3, (30,))
    one = PosteriorSampler(Wave(), mean_loss=loss, num_data=30, lr=0.01, chains=2, burn_in=5,
                           predictive=lambda outputs: outputs.angle())
    assert len(one.run(data, 2, progress=False).draws) == 2


def test_a_model_that_cannot_be_copied_is_refused():
    with pytest.warns(FutureWarning):
        model = nn.utils.weight_norm(nn.Linear(2, 1))
    model(torch.randn(3, 2))
    with pytest.raises(ValueError, match="the model cannot be copied .* the one in parametrizations"):
        sampler(model, 10)


@pytest.mark.parametrize("loss", [nn.functional.mse_loss, nn.MSELoss(), nn.functional.l1_loss])
def test_a_distance_is_no_likelihood(loss):
    with pytest.raises(ValueError, match="mean_loss is a distance, without the scale of the noise"):
        PosteriorSampler(nn.Linear(2, 1), mean_loss=loss, num_data=10)


def test_batch_norm_that_is_sampled_is_warned_of():
    data = torch.randn(40, 2), torch.randn(40, 1)
    coupled = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    with pytest.warns(UserWarning, match="depends on the others in its minibatch"):
        sampler(coupled, 40, lr=1e-3).run(data, 1, progress=False)
    free = nn.Sequential(nn.Linear(2, 4), nn.GroupNorm(2, 4), nn.Linear(4, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sampler(free, 40, lr=1e-3).run(data, 1, progress=False)


def test_a_step_size_that_is_missing_is_asked_for():
    with pytest.raises(ValueError, match="SGHMC has no 'lr'; use eta"):
        SGHMC(nn.Linear(2, 1).parameters(), lr=0.1, momentum=0.9)
    with pytest.raises(ValueError, match="eta, the step size, is missing; SGHMC.from_sgd takes SGD's lr"):
        SGHMC(nn.Linear(2, 1).parameters())
