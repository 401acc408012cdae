"""ESS and R-hat of a run's draws, on draws whose worth is known."""

import json

import pytest
import torch

from bayesgan.options import load_data, resolve
from bayesgan.report.mixing import keep_mixing, kept_mixing, mixing, mixing_words, traces
from bayesgan.store import Posterior, RunFolder
from bayesgan.training.algorithm import Trainer


def collected(tmp_path, draws, change):
    """A run's folder with these draws: `change(weights, draw, source)` makes each from the first."""
    options, _ = resolve({"out_dir": tmp_path, "network": "mlp", "num_gen": 2, "num_mcmc": 1, "num_disc": 2,
                          "df_dim": 4, "num_layers": 1, "z_dim": 3, "keep": 100})
    data = load_data(options)
    folder = RunFolder.create(options, data, [])
    state, source = Trainer(options, data).states(), torch.Generator().manual_seed(0)
    for draw in range(draws):
        groups = {group: {n: change(t, source) for n, t in tensors.items()} for group, tensors in state.items()}
        folder.store.add(groups, draw + 1, 1.0)
    return folder, Posterior(folder, "cpu"), data


def test_independent_draws_are_worth_their_number(tmp_path):
    folder, posterior, data = collected(tmp_path, 60, lambda t, source: torch.randn(t.shape, generator=source))
    found = mixing(traces(posterior, data))
    keep_mixing(folder, found)
    for values in found.values():
        assert values["networks"] == 120 and 0.7 < values["ess"] / 120 < 1.4 and values["rhat"] < 1.03
    assert json.loads((folder.path / "posterior" / "mixing.json").read_text()) == {**found, "newest_draw": 60}
    assert "120 generators are worth 1" in mixing_words(found) or "120 generators are worth 9" in mixing_words(found)


def test_near_copies_are_worth_little(tmp_path):
    jitter = lambda t, source: t + 1e-3 * torch.randn(t.shape, generator=source)  # noqa: E731
    found = mixing(traces(*collected(tmp_path, 20, jitter)[1:]))
    for values in found.values():
        assert values["rhat"] > 1.5 and values["ess"] < 0.5 * values["networks"]


def test_networks_that_never_change_are_worth_one(tmp_path):
    folder, *parts = collected(tmp_path, 10, lambda t, source: torch.zeros_like(t))
    found = mixing(traces(*parts))
    assert {values["ess"] for values in found.values()} == {1} and "(they never change)" in mixing_words(found)
    keep_mixing(folder, found)
    assert kept_mixing(folder) == found


@pytest.mark.parametrize("draws", [1, 7])
def test_too_few_draws_say_nothing(draws, tmp_path):
    assert mixing(traces(*collected(tmp_path, draws, lambda t, source: t)[1:])) == {}
