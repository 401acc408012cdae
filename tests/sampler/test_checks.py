"""Models, likelihoods and loaders that would be sampled wrongly, each refused in one line."""

import pytest
import torch
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler, TensorDataset

from bayesgan.sampler.checks import check_likelihood
from tests.sampler.helpers import classifier

X = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
DATA = TensorDataset(X, Y)


def sampler(model=None, **options):
    settings = {"num_data": 60, "chains": 2, "burn_in": 0, "thin": 1, "lr": 0.01}
    return classifier(model or nn.Linear(4, 2), **{**settings, **options})


class Attention(nn.Module):
    def __init__(self, dropout):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, dropout=dropout, batch_first=True)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        tokens = x[:, None].expand(-1, 3, -1)
        return self.head(self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(1))


class Functional(nn.Linear):
    def forward(self, x):
        return nn.functional.dropout(super().forward(x), 0.5, self.training)


@pytest.mark.parametrize("model", [Attention(0.5), Functional(4, 2), nn.Sequential(nn.Dropout(0.1), nn.Linear(4, 2))])
@pytest.mark.parametrize("engine", ["loop", "vmap"])
def test_noise_of_the_models_own_is_refused_wherever_it_is_made(model, engine):
    with pytest.raises(ValueError, match="the model is random while it trains"):
        sampler(model, engine=engine).run((X, Y), draws=1, progress=False)


@pytest.mark.parametrize("model", [Attention(0.0), nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2))])
def test_models_without_noise_pass_and_their_statistics_are_counted_once(model):
    run = sampler(model).run((X, Y), draws=1, progress=False)
    counted = run.draws[0].weights.get("1.num_batches_tracked", torch.ones(2))
    assert counted.tolist() == [1, 1]


def gaussian(outputs, targets):
    return -0.5 * ((outputs - targets) ** 2).sum()


def student(outputs, targets):
    return torch.distributions.StudentT(3.0, outputs, 1.0).log_prob(targets).sum()


def poisson(outputs, targets):
    return torch.distributions.Poisson(outputs.exp()).log_prob(targets).sum()


def bernoulli(outputs, targets):
    return -nn.functional.binary_cross_entropy_with_logits(outputs, targets, reduction="sum")


def classes(outputs, targets):
    return -nn.functional.cross_entropy(outputs, targets, reduction="sum")


def log_probabilities(outputs, targets):
    return -nn.functional.nll_loss(outputs, targets, reduction="sum")


OUTPUTS = torch.randn(60, 1, generator=torch.Generator().manual_seed(1))
CASES = [
    (gaussian, OUTPUTS, X[:, :1]),
    (student, OUTPUTS, 100 * X[:, :1]),
    (poisson, OUTPUTS, X[:, :1].abs().round()),
    (bernoulli, OUTPUTS, (X[:, :1] > 0).float()),
    (bernoulli, OUTPUTS, torch.ones(60, 1)),
    (classes, torch.cat([OUTPUTS, -OUTPUTS], 1), Y),
    (log_probabilities, torch.cat([OUTPUTS, -OUTPUTS], 1).log_softmax(1), Y),
]


@pytest.mark.parametrize("likelihood, outputs, targets", CASES)
def test_the_sign_of_a_likelihood_is_read_off_from_where_it_is_largest(likelihood, outputs, targets):
    check_likelihood("log_likelihood", likelihood, outputs, targets)
    check_likelihood("mean_loss", lambda o, t: -likelihood(o, t) / len(t), outputs, targets)
    with pytest.raises(ValueError, match="log_likelihood .* its sign is wrong; return log p"):
        check_likelihood("log_likelihood", lambda o, t: -likelihood(o, t), outputs, targets)
    with pytest.raises(ValueError, match="mean_loss .* its sign is wrong; return the loss"):
        check_likelihood("mean_loss", lambda o, t: likelihood(o, t) / len(t), outputs, targets)


def test_a_likelihood_whose_targets_are_of_another_shape_is_taken_as_given():
    check_likelihood("log_likelihood", lambda o, t: (o[:, 0] * t).sum(), OUTPUTS, X[:, 0])


def loader(sampler=None, rows=60, **options):
    data = TensorDataset(X[:rows], Y[:rows])
    return DataLoader(data, batch_sampler=BatchSampler((sampler or RandomSampler)(data), 20, False), **options)


class Loose:
    """Shuffles, and says nothing of itself."""

    def __init__(self, rows):
        self.rows, self.turn = rows, 0

    def __iter__(self):
        self.turn += 1
        order = torch.randperm(self.rows, generator=torch.Generator().manual_seed(self.turn))
        return iter([(X[part], Y[part]) for part in order.split(20)])


FIXED = [(X[part], Y[part]) for part in torch.arange(60).split(20)]


@pytest.mark.parametrize(
    "data", [loader(), Loose(60), [(X, Y)], DataLoader(DATA, 20, sampler=RandomSampler(DATA, True, 100))]
)
def test_loaders_that_shuffle_are_taken(data):
    assert len(sampler().run(data, draws=30, progress=False).draws) == 30


@pytest.mark.parametrize(
    "data, words",
    [
        (loader(SequentialSampler), "must shuffle"),
        (FIXED, "must shuffle"),
        (loader(rows=50), "num_data must be the 50 rows of the loader's data, got 60"),
        (Loose(40), "num_data must be the 40 rows of one pass through the loader, got 60"),
        (DataLoader(DATA, 20, sampler=range(30)), "num_data must be the 30 rows"),
    ],
)
def test_loaders_that_would_be_sampled_wrongly_are_refused(data, words):
    with pytest.raises(ValueError, match=words):
        sampler().run(data, draws=30, progress=False)


def test_more_rows_in_a_pass_than_num_data_are_refused_when_they_are_seen():
    with pytest.raises(
        ValueError, match="num_data must be the rows of one pass through the loader, at least 40, got 30"
    ):
        sampler(num_data=30).run(Loose(60), draws=30, progress=False)
