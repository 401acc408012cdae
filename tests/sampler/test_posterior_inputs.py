"""Settings, models, likelihoods and data that cannot be sampled, each refused in words; and odd models that can be."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from bayesgan import PosteriorSampler
from bayesgan.sampler import Normal, StudentT
from tests.sampler.helpers import classes, classifier, network, sum_of_squares


def test_chains_of_an_unshuffled_loader_would_see_their_own_part_of_the_data():
    x, y = classes()
    with pytest.raises(ValueError, match="the loader must shuffle"):
        classifier().run(DataLoader(TensorDataset(x, y), batch_size=10), draws=1, progress=False)
    loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True, generator=torch.Generator().manual_seed(0))
    assert len(classifier().run(loader, draws=2, progress=False).draws) == 2


class Odd(nn.Module):
    """A module with an index buffer, a mask and a scalar parameter."""

    def __init__(self, returns=None):
        super().__init__()
        self.register_buffer("order", torch.tensor([1, 0]))
        self.register_buffer("mask", torch.tensor([True, False]))
        self.scale = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
        self.linear = nn.Linear(2, 3).double()
        self.returns = returns or (lambda outputs: outputs)

    def forward(self, x):
        return self.returns(self.linear((x * self.mask)[..., self.order]) * self.scale)


def test_buffers_keep_their_type_and_scalars_are_sampled():
    sampler = classifier(model=Odd()).run(classes(), draws=5, progress=False)
    assert (
        sampler.ensemble.buffers["order"].dtype == torch.int64 and sampler.ensemble.buffers["mask"].dtype == torch.bool
    )
    assert "scale" in sampler.diagnostics(classes()[0][:3]).temperatures


class LeNet(nn.Module):
    """Convolutions whose maps are flattened by `view`, as most are; `seen`: strides of what reaches it."""

    def __init__(self, channels=1):
        super().__init__()
        self.first, self.second = nn.Conv2d(channels, 4, 3), nn.Conv2d(4, 6, 3)
        self.logits = nn.Linear(6 * 4 * 4, 3)
        self.seen = []

    def forward(self, x):
        self.seen.append(x.stride())
        maps = self.second(nn.functional.max_pool2d(self.first(x).relu(), 2)).relu()
        return self.logits(maps.view(len(x), -1))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_network_may_view_its_maps(channels):
    """Images come as they are, unless a class says `channels_last = True`."""
    images, (_, labels) = torch.randn(50, channels, 14, 14), classes()
    sampler = PosteriorSampler(LeNet(channels), mean_loss=nn.functional.cross_entropy, num_data=50, burn_in=2)
    assert len(sampler.run((images, labels), draws=2, progress=False).draws) == 2
    network = sampler.ensemble.network
    network.seen.clear()
    sampler.ensemble.forward_member(0, images)
    network.channels_last = True
    with pytest.raises(RuntimeError, match="view"):
        sampler.ensemble.forward_member(0, images)
    assert [stride[3] for stride in network.seen] == [1, channels]


def test_gains_of_several_axes_start_as_in_the_model_and_have_scale_one():
    model = nn.Sequential(nn.Unflatten(1, (1, 2)), nn.LayerNorm((1, 2)), nn.Flatten(), nn.Linear(2, 3)).double()
    sampler = classifier(model=model)
    assert (sampler.ensemble.parameters["1.weight"] == 1).all() and (sampler.ensemble.parameters["1.bias"] == 0).all()
    assert sampler.prior.scales["1.weight"] == 1


@pytest.mark.parametrize("options", [{"prior": Normal(np.sqrt(0.5))}, {"prior": StudentT(degrees=np.float32(3))},
                                     {"lr": lambda step: ([0.05] * 200)[step]}])
def test_what_was_sampled_can_be_saved_and_loaded(options, tmp_path):
    """Priors in numpy's numbers; a function that knows nothing of steps which the chain never takes."""
    sampler = classifier(**options).run(classes(), draws=2, progress=False)
    sampler.save(tmp_path / "chain.pt")
    assert len(classifier(**options).load(tmp_path / "chain.pt").draws) == 2


@pytest.mark.parametrize("prior, words", [(1.0, "prior must be a Prior, for example bayesgan.sampler.Normal"),
                                          (Normal(1.0, {"0.weight": 1.0}), "the prior has no scale for parameter")])
def test_priors_that_are_none(prior, words):
    with pytest.raises(ValueError, match=words):
        classifier(prior=prior)


def tied():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).double()
    model[1].weight = model[0].weight
    return model


class Unused(nn.Linear):
    def __init__(self):
        super().__init__(2, 3, dtype=torch.float64)
        self.extra = nn.Parameter(torch.zeros(2, 2, dtype=torch.float64))


@pytest.mark.parametrize(
    "model, words",
    [
        (lambda: Odd(lambda outputs: (outputs, outputs)), "mean_loss cannot take what the model returns, a tuple"),
        (tied, "tied weights"),
        (Unused, "extra is not used"),
        (lambda: nn.Sequential(network(), nn.Dropout(0.5)), "the model is random while it trains"),
    ],
)
def test_models_that_cannot_be_sampled(model, words):
    with pytest.raises(ValueError, match=words):
        classifier(model=model()).run(classes(), draws=1, progress=False)


def frozen():
    return network().requires_grad_(False)


def complex_model():
    model = nn.Module()
    model.weight = nn.Parameter(torch.zeros(2, dtype=torch.complex64))
    return model


@pytest.mark.parametrize(
    "options, words",
    [
        ({"num_data": None}, "num_data must be a whole number, got None; it is the size of the training set"),
        ({"num_data": 0}, "num_data must be at least 1, got 0; it is the size"),
        ({"log_likelihood": sum_of_squares}, "and not both"),
        ({"mean_loss": None}, "give either"),
        ({"chains": 0}, "chains must be at least 1"),
        ({"burn_in": -1}, "burn_in must be at least 0"),
        ({"thin": 0}, "thin must be at least 1"),
        ({"chains": 2.5}, "chains must be a whole number, got 2.5"),
        ({"preconditioner": "rmsprop", "burn_in": 1}, "burn_in must be at least 20"),
        ({"start": "zero"}, "start must be one of: prior, model"),
        ({"engine": "fast"}, "unknown engine"),
        ({"friction": 2.0}, "alpha must be in"),
        ({"lr": -1.0}, "eta must be positive"),
        ({"lr": "a"}, "lr must be a number, or a function of the step, got 'a'"),
        ({"chains": True}, "chains must be a whole number, got True"),
        ({"friction": lambda step: 0.1}, "friction must be a number, got <function"),
        ({"chains": "a"}, "chains must be a whole number, got 'a'"),
        ({"mean_loss": 3}, "mean_loss must be a function, of .outputs, targets., got 3"),
        ({"device": "foo"}, "device must be one that is here, got 'foo'"),
        ({"model": abs}, "model must be a torch.nn.Module, got <built-in function abs>"),
        ({"model": frozen()}, "all 4 parameters of the model are frozen"),
        ({"model": nn.ReLU()}, "no parameters"),
        ({"model": complex_model()}, "weight is torch.complex64"),
    ],
)
def test_bad_settings(options, words):
    settings = {"model": network(), "mean_loss": nn.functional.cross_entropy, "num_data": 50}
    with pytest.raises(ValueError, match=words):
        PosteriorSampler(**{**settings, **options})


@pytest.mark.parametrize(
    "options, words",
    [
        (
            {"mean_loss": lambda o, t: nn.functional.cross_entropy(o, t, reduction="none")},
            r"got \(50,\); end it with .mean",
        ),
        (
            {"mean_loss": lambda o, t: nn.functional.cross_entropy(o, t, reduction="sum")},
            "mean_loss must return the mean .* sum",
        ),
        ({"mean_loss": None, "log_likelihood": lambda o, t: -nn.functional.cross_entropy(o, t)}, "returns a mean"),
        (
            {"mean_loss": None, "log_likelihood": lambda o, t: -nn.functional.cross_entropy(o, t, reduction="none")},
            "end it with .sum",
        ),
        ({"mean_loss": lambda o, t: 0.5}, "must return a scalar tensor, got float"),
        ({"mean_loss": lambda o, t: nn.functional.cross_entropy(o, t + 1)},
         r"mean_loss cannot take .* \(50, 3\), with targets torch.int64 .*out of bounds.*count from 0"),
        ({"mean_loss": lambda o, t: nn.functional.cross_entropy(o, t.double())}, "mean_loss cannot take .*whole"),
        ({"mean_loss": lambda o, t: (nn.functional.cross_entropy(o, t, reduction="none") * torch.ones(50)).mean()},
         r"mean_loss cannot take .*size of tensor a"),
        ({"num_data": 40}, "must have num_data 40 rows, got 50"),
    ],
)
def test_likelihoods_of_the_wrong_kind(options, words):
    with pytest.raises(ValueError, match=words):
        classifier(**options).run(classes(), draws=1, progress=False)


def test_bad_data():
    x, y = classes()
    for data, options, words in (
        ((x, y[:-1]), {}, "got 50 and 49"),
        ((x, y), {"batch_size": 51}, "batch_size must be a whole number in"),
        ([], {}, "loader has no batches"),
        ([(x.repeat(2, 1), y.repeat(2))], {}, "num_data must be"),
    ):
        with pytest.raises(ValueError, match=words):
            classifier().run(data, draws=1, progress=False, **options)
    with pytest.raises(ValueError, match="draws must be at least 1"):
        classifier().run((x, y), draws=0)
    with pytest.raises(ValueError, match="draws must be a whole number, got 1.5"):
        classifier().run((x, y), draws=1.5)
    with pytest.raises(ValueError, match=r"the model cannot take torch.float64 inputs \(50, 1\), which"):
        classifier().run((x[:, :1], y), draws=1, progress=False)
    with pytest.raises(ValueError, match="call run first"):
        classifier().predict(x)
    with pytest.raises(ValueError, match="call run first"):
        classifier().diagnostics()
    with pytest.raises(ValueError, match="batches must be pairs .inputs, targets., got a dict of 1"):
        classifier().run([{"x": x}], draws=1, progress=False)
    with pytest.raises(ValueError, match="at least 4 draws of 3 chains, got 2; collect 2 more"):
        classifier().run((x, y), draws=2, progress=False).diagnostics()


def test_a_submodule_named_generator_is_a_module_like_any_other():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.generator = nn.Linear(2, 1)

        def forward(self, x):
            return self.generator(x)

    x = torch.randn(20, 2)
    sampler = PosteriorSampler(Model(), mean_loss=lambda out, y: ((out - y) ** 2).mean() / 2, num_data=20, chains=2,
                               burn_in=2, thin=1)
    assert sampler.run((x, x[:, :1]), 3, progress=False).predict(x).shape == (20, 1)


def test_a_draw_that_is_not_finite_is_never_collected():
    """Between two checks of the gradients, as on a GPU."""
    sampler = classifier()
    sampler.chain.check_gradients = False
    next(iter(sampler.ensemble.parameters.values())).data[0, 0] = float("inf")
    with pytest.raises(ValueError, match="has become non-finite by step"):
        sampler.run(classes(), draws=1, progress=False)
    assert not sampler.draws


def test_running_out_of_memory_is_no_fault_of_the_inputs():
    def full(outputs, targets):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        classifier(mean_loss=full, chains=1).run(classes(), draws=1, progress=False)


def test_a_label_out_of_range_is_named_in_whatever_batch_it_comes():
    x, y = classes()
    loader = DataLoader(TensorDataset(x, y.index_fill(0, torch.tensor(49), 3)), 10, shuffle=True)
    with pytest.raises(ValueError, match="mean_loss cannot take .*out of bounds"):
        classifier(chains=1).run(loader, draws=10, progress=False)
