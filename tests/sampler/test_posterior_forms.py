"""Models, data and likelihoods in the forms that people have them in: taken as they were meant, or refused in words."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import (
    DataLoader,
    Dataset,
    DistributedSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from bayesgan import PosteriorSampler
from bayesgan.sampler.schedules import ramp
from tests.sampler.helpers import classes, classifier, network

X, Y = classes()


def sampler(model, **options):
    settings = {"mean_loss": nn.functional.cross_entropy, "num_data": 50, "chains": 2, "burn_in": 2, "thin": 1,
                "lr": 0.02}
    return PosteriorSampler(model, **{**settings, **options})


class Words(nn.Module):
    """Token ids to class scores; row 0 is padding."""

    def __init__(self):
        super().__init__()
        self.rows = nn.Embedding(12, 4, padding_idx=0)
        self.head = nn.Linear(4, 3)

    def forward(self, tokens):
        assert tokens.dtype == torch.int64
        return self.head(self.rows(tokens).mean(1))


def test_tokens_reach_the_model_as_whole_numbers_and_padding_stays():
    tokens = torch.randint(12, (50, 5), generator=torch.Generator().manual_seed(0))
    run = sampler(Words()).run((tokens, Y), draws=5, batch_size=10, progress=False)
    rows = torch.stack([draw.weights["rows.weight"] for draw in run.draws])  # (draws, chains, 12, 4)
    assert (rows[:, :, 0] == 0).all() and (rows[0, :, 1:] != rows[-1, :, 1:]).all()
    assert run.predict(tokens[:7]).shape == (7, 3)


def test_whole_numbers_that_a_model_cannot_take_are_explained():
    with pytest.raises(ValueError, match="cannot take torch.int64 inputs .50, 2., which reach it as .*inputs.float"):
        sampler(nn.Linear(2, 3)).run((X.long(), Y), draws=1, progress=False)


def backbone():
    model = network().float()
    model[0].requires_grad_(False)
    return model


@pytest.mark.parametrize("engine", ["loop", "vmap"])
def test_a_frozen_backbone_stays_and_the_last_layer_is_that_of_the_features_alone(engine):
    model = backbone()
    whole = sampler(model, engine=engine).run((X.float(), Y), draws=3, batch_size=10, progress=False)
    assert set(whole.draws[0].weights) == {"2.weight", "2.bias"} and whole.ensemble.weight_count() == 27
    with torch.no_grad():
        features = model[:2](X.float())
    last = sampler(nn.Sequential(nn.Identity(), nn.Identity(), copy.deepcopy(model[2])), engine=engine)
    last.run((features, Y), draws=3, batch_size=10, progress=False)
    assert torch.allclose(whole.predict(X.float()), last.predict(features), atol=1e-5)


class Sequence(nn.Module):
    def __init__(self, dropout=0.0):
        super().__init__()
        self.lstm = nn.LSTM(2, 6, 2, batch_first=True, dropout=dropout)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.lstm(x[:, None].expand(-1, 4, -1))[0][:, -1])


def test_lstms_are_sampled_and_vmap_gives_way_to_the_loop():
    data, model = (X.float(), Y), Sequence()
    loop = sampler(model).run(data, draws=3, batch_size=10, progress=False)
    with pytest.warns(UserWarning, match='"vmap" cannot run this model or likelihood .*"loop" is used'):
        other = sampler(model, engine="vmap").run(data, draws=3, batch_size=10, progress=False)
    assert other.engine == "loop" and torch.equal(loop.predict(X.float()), other.predict(X.float()))
    with pytest.raises(ValueError, match="random while it trains"):
        sampler(Sequence(dropout=0.5)).run(data, draws=1, progress=False)


def test_a_likelihood_that_looks_at_values_is_run_by_the_loop():
    def loss(outputs, targets):
        assert outputs.sum().item() is not None
        return nn.functional.cross_entropy(outputs, targets)

    with pytest.warns(UserWarning, match='"loop" is used'):
        run = sampler(network(), mean_loss=loss, engine="vmap").run((X, Y), draws=1, progress=False)
    assert run.engine == "loop"


class Two(nn.Module):
    """Returns a dict, as many models of language do."""

    def __init__(self):
        super().__init__()
        self.body = network()

    def forward(self, x):
        return {"logits": self.body(x), "sizes": (x**2).sum(1)}


@pytest.mark.parametrize("engine", ["loop", "vmap"])
def test_outputs_of_any_structure(engine):
    settings = {"mean_loss": lambda out, y: nn.functional.cross_entropy(out["logits"], y), "engine": engine}
    run = sampler(Two(), predictive=lambda out: out["logits"].softmax(-1), **settings)
    plain = sampler(network(), predictive=lambda out: out.softmax(-1), engine=engine)
    for one in (run, plain):
        one.run((X, Y), draws=3, batch_size=10, progress=False)
    assert torch.allclose(run.predict(X), plain.predict(X))
    with pytest.raises(ValueError, match="predictive must return one tensor, got a dict; give predictive="):
        sampler(Two(), **settings).run((X, Y), draws=1, progress=False).predict(X)


def test_shapes_that_broadcast_against_each_other_are_named():
    x, y = torch.randn(50, 3), torch.randn(50)
    settings = {"mean_loss": None, "log_likelihood": lambda out, y: -0.5 * ((out - y) ** 2).sum()}
    with pytest.raises(ValueError, match=r"outputs of shape \(1,\) and targets of shape \(\) a datum: .*squeeze\(-1\)"):
        sampler(nn.Linear(3, 1), **settings).run((x, y), draws=1, progress=False)
    with pytest.raises(ValueError, match="broadcast"):
        sampler(nn.Linear(3, 1), mean_loss=lambda out, y: ((out - y) ** 2).mean()).run((x, y), draws=1, progress=False)
    sampler(nn.Linear(3, 1), **settings).run((x, y[:, None]), draws=1, progress=False)


def test_a_likelihood_that_weighs_data_against_each_other_is_no_mean():
    weight = torch.tensor([1.0, 5.0, 9.0], dtype=torch.float64)
    with pytest.raises(ValueError, match="it is no plain sum or mean over data"):
        classifier(mean_loss=lambda out, y: nn.functional.cross_entropy(out, y, weight=weight)).run(
            (X, Y), draws=1, progress=False)


class Dicts(Dataset):
    def __len__(self):
        return 50

    def __getitem__(self, row):
        return {"x": X[row], "y": Y[row], "name": str(row)}


def unpack(batch):
    return batch["x"], batch["y"]


FORMS = {
    "numpy": ((X.numpy(), Y.numpy()), {"batch_size": 10}),
    "list": ([X, Y], {"batch_size": 10}),
    "TensorDataset": (TensorDataset(X, Y), {"batch_size": 10}),
    "dicts": (DataLoader(Dicts(), 10, shuffle=True), {"unpack": unpack}),
    "drop_last": (DataLoader(TensorDataset(X, Y), 15, shuffle=True, drop_last=True), {}),
    "arrays in batches": (DataLoader(TensorDataset(X, Y), 10, shuffle=True,
                                     collate_fn=lambda rows: [torch.stack(part).numpy() for part in zip(*rows)]), {}),
}


@pytest.mark.parametrize("form", FORMS)
def test_data_in_every_usual_form(form):
    data, options = FORMS[form]
    model = network().float() if "numpy" in form or "arrays" in form else network()
    run = sampler(model).run(data, draws=3, progress=False, **options)
    assert len(run.draws) == 3


@pytest.mark.parametrize(
    "data, options, words",
    [
        (DataLoader(Dicts(), 10, shuffle=True), {}, r"got a dict of 3; .*unpack=lambda batch: \(batch\['x'\], "),
        (DataLoader(Dicts(), 10, shuffle=True), {"unpack": lambda batch: batch["x"]}, "unpack must return pairs"),
        (DataLoader(TensorDataset(X, Y, Y), 10, shuffle=True), {}, "got a list of 3"),
        (DataLoader(TensorDataset(X, Y), 5, sampler=DistributedSampler(TensorDataset(X, Y), 2, 0)), {},
         "gives each process a part of the data, 25 rows"),
        (DataLoader(TensorDataset(X, Y), 10, sampler=WeightedRandomSampler(torch.ones(50), 50)), {},
         "some rows more often than others, which is another posterior; pass shuffle=True"),
        ((X, Y, Y), {}, "must be inputs and targets, got 3 arrays"),
        (DataLoader(TensorDataset(X, Y), 10, shuffle=True), {"batch_size": 10}, "a loader has its own"),
        (7, {}, "data must be .inputs, targets. or a loader"),
        ((np.array(["a"] * 50), Y), {}, "arrays of numbers, got an array of <U1"),
        ((X.clone().index_fill_(0, torch.tensor(3), torch.nan), Y), {}, "inputs of the data must be .* in row 3"),
        (DataLoader(TensorDataset(X, Y.double().index_fill_(0, torch.tensor(3), torch.inf)), 10, shuffle=True), {},
         "targets of batch .* of the loader must be finite"),
    ],
)
def test_data_that_cannot_be_taken_are_refused_with_what_to_do(data, options, words):
    with pytest.raises(ValueError, match=words):
        sampler(network()).run(data, draws=9, progress=False, **options)


def test_predictions_for_arrays_and_loaders():
    run = sampler(network()).run((X, Y), draws=3, progress=False)
    wanted = run.predict(X)
    pairs = DataLoader(TensorDataset(X, Y), 7)
    for given, options in ((X.numpy().astype(np.float32), {}), (pairs, {}), (DataLoader(X, 7), {}),
                           (DataLoader(Dicts(), 7), {"unpack": unpack})):
        assert torch.allclose(run.predict(given, **options), wanted, atol=1e-5)
    with pytest.raises(ValueError, match="the loader shuffles, and nobody could tell whose predictions came out"):
        run.predict(DataLoader(TensorDataset(X, Y), 7, shuffle=True))
    with pytest.raises(ValueError, match="the loader shuffles"):
        run.predict(DataLoader(TensorDataset(X, Y), 7, sampler=SubsetRandomSampler(range(50))))
    assert torch.equal(run.predict((X, Y)), wanted) and torch.equal(run.predict(TensorDataset(X, Y)), wanted)
    with pytest.raises(ValueError, match="inputs must be one array or a loader, .*got a list of 50 arrays"):
        run.predict(list(X))


@pytest.mark.parametrize("chains, draws, words", [(1, 5, "at least 8 draws of 1 chain, got 5; collect 3 more"),
                                                  (2, 3, "at least 4 draws of 2 chains, got 3; collect 1 more")])
def test_too_few_draws_say_how_many_are_needed(chains, draws, words):
    with pytest.raises(ValueError, match=words):
        sampler(network(), chains=chains).run((X, Y), draws=draws, progress=False).diagnostics(X)


def test_a_pickled_sampler_goes_on_in_the_same_bits_and_says_what_it_holds():
    one = sampler(network(), temperature=ramp(1.0, 2, 3), preconditioner="rmsprop", burn_in=20)
    one.run((X, Y), draws=2, batch_size=10, progress=False)
    other = pickle.loads(pickle.dumps(one))
    assert repr(other) == "PosteriorSampler(2 chains of Sequential with 51 weights, on cpu: 22 steps, 2 draws)"
    for each in (one, other):
        each.run((X, Y), draws=2, batch_size=10, progress=False)
    assert torch.equal(one.predict(X), other.predict(X))


def test_progress_is_plain_lines_where_there_is_no_terminal(capsys):
    sampler(network()).run((X, Y), draws=3)
    printed = capsys.readouterr()
    assert printed.out.count("\n") == 1 and "3/3" in printed.out and "log-likelihood" in printed.out and not printed.err


def test_coarse_models_are_sampled():
    """A step of bfloat16 weights is lost in their rounding; the chain runs on copies."""
    run = sampler(network().bfloat16(), num_data=50, lr=1e-6, start="model", burn_in=0)
    run.run((X.bfloat16(), Y), draws=300, progress=False)
    first, last = (run.draws[at].weights["0.weight"] for at in (0, -1))
    assert first.dtype == torch.bfloat16 and (first != last).float().mean() > 0.5


def test_predictive_gets_one_chain_as_the_likelihood_does():
    run = sampler(network(), predictive=lambda out: out.softmax(1)).run((X, Y), draws=2, progress=False)
    assert torch.allclose(run.predict(X).sum(-1), torch.ones(50, dtype=torch.float64))
    run.predictive = lambda out: out > 0
    assert run.predict(X).unique().numel() > 1 and run.predict(X).max() <= 1
    run.predictive = lambda out: out.argmax(1)
    with pytest.raises(ValueError, match="predictive returns torch.int64, whose mean over draws has no meaning"):
        run.predict(X)


def test_a_file_of_another_backbone_is_refused(tmp_path):
    torch.manual_seed(1)
    one, other = backbone(), backbone()
    nn.init.normal_(other[0].weight)
    sampler(one).run((X.float(), Y), draws=1, progress=False).save(tmp_path / "s.pt")
    with pytest.raises(ValueError, match="was saved with frozen parameters"):
        sampler(other).load(tmp_path / "s.pt")
    assert len(sampler(one).load(tmp_path / "s.pt").draws) == 1


class Buckets:
    """Batches of their own sizes, in another order every time."""

    def __init__(self, *sizes):
        self.sizes = sizes

    def __iter__(self):
        rows = iter(torch.randperm(sum(self.sizes)).split(self.sizes))
        return iter([(X[part], Y[part]) for part in rows])


def test_rows_of_larger_batches_are_not_left_out_in_silence():
    for sizes in ((4, 12, 4, 30), (12, 4, 12, 22)):
        with pytest.raises(ValueError, match="batches must have one size, the last of a pass aside, got"):
            sampler(network()).run(Buckets(*sizes), draws=9, progress=False)
    assert sampler(network()).run(Buckets(12, 12, 12, 12, 2), draws=9, progress=False)


def test_a_loader_whose_batches_look_alike_still_shuffles():
    rows = nn.functional.one_hot(torch.randint(2, (50,)), 2).double()
    loader = DataLoader(TensorDataset(rows, Y), 10, shuffle=True)
    assert len(sampler(network()).run(loader, draws=40, progress=False).draws) == 40


LIKELIHOODS = {
    "sigmoid": (lambda out, y: nn.functional.binary_cross_entropy(out.sigmoid(), y), (Y > 1).double()[:, None], 1),
    "Bernoulli": (lambda out, y: -torch.distributions.Bernoulli(out.sigmoid()).log_prob(y).mean(),
                  (Y > 1).double()[:, None], 1),
    "negated": (lambda out, y: nn.functional.cross_entropy(-out, y), Y, 3),
    "Categorical": (lambda out, y: -torch.distributions.Categorical(out.softmax(1)).log_prob(y).mean(), Y, 3),
    "counts": (lambda out, y: nn.functional.poisson_nll_loss(out[:, 0], y.double()), (Y > 1).long(), 2),
}


@pytest.mark.parametrize("name", LIKELIHOODS)
@pytest.mark.parametrize("inside", [False, True])
def test_likelihoods_of_probabilities_and_rates_are_taken(name, inside):
    loss, y, width = LIKELIHOODS[name]
    body = nn.Sequential(nn.Linear(2, width).double())
    if inside and name in ("sigmoid", "Bernoulli"):
        body.append(nn.Sigmoid())
        plain = {"sigmoid": nn.functional.binary_cross_entropy,
                 "Bernoulli": lambda out, y: -torch.distributions.Bernoulli(out).log_prob(y).mean()}
        loss = plain[name]
    if inside and name == "Categorical":
        body.append(nn.Softmax(1))
        loss = lambda out, y: -torch.distributions.Categorical(out).log_prob(y).mean()  # noqa: E731
    assert sampler(body, mean_loss=loss).run((X, y), draws=1, progress=False).draws


class Mixed(nn.Module):
    """Returns logits, nothing, and a number of its own."""

    def __init__(self):
        super().__init__()
        self.body = network()

    def forward(self, x):
        return self.body(x), None, (x**2).mean()


@pytest.mark.parametrize("engine", ["loop", "vmap"])
def test_outputs_that_are_no_tensors_of_rows(engine):
    loss = lambda out, y: nn.functional.cross_entropy(out[0], y)  # noqa: E731
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # vmap gives way
        run = sampler(Mixed(), mean_loss=loss, engine=engine, predictive=lambda out: out[0])
        assert run.run((X, Y), draws=2, progress=False).predict(X).shape == (50, 3)


@pytest.mark.parametrize("change", [lambda x: x[::-1], lambda x: x.astype(">f4"), lambda x: x.astype(np.longdouble)])
def test_arrays_of_any_layout(change):
    x = change(X.numpy().astype(np.float32))
    assert sampler(network().float()).run((x, Y), draws=1, progress=False).draws
    assert sampler(Words()).run((np.ones((50, 5), np.uint16), Y), draws=1, progress=False).draws


def test_sparse_embeddings_are_refused_in_words():
    with pytest.raises(ValueError, match="is an embedding with sparse gradients"):
        sampler(nn.Sequential(nn.Embedding(5, 3, sparse=True)))
