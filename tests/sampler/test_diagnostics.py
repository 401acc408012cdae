"""ESS and R-hat of series whose values are known, and the plot of traces."""

import numpy as np
import pytest
import torch

from bayesgan.sampler import diagnose, trace_plot
from bayesgan.sampler.diagnostics import converge


def autoregressive(coefficient, chains=4, draws=4000, seed=0):
    random = np.random.default_rng(seed)
    values = np.empty((chains, draws))
    values[:, 0] = random.standard_normal(chains)
    for t in range(1, draws):
        values[:, t] = coefficient * values[:, t - 1] + (1 - coefficient**2) ** 0.5 * random.standard_normal(chains)
    return values


@pytest.mark.parametrize("coefficient", [0.0, 0.5, 0.9])
def test_effective_sample_size_of_an_autoregression(coefficient):
    """ESS = S (1 - φ) / (1 + φ); four chains of 4,000 estimate it within some per cent."""
    result = converge(autoregressive(coefficient))
    assert result.ess == pytest.approx(16_000 * (1 - coefficient) / (1 + coefficient), rel=0.15)
    assert result.rhat < 1.01


def test_a_short_single_chain_is_worth_few_samples():
    """18 draws of an autoregression of .8 are worth 2; arviz, seeing all of them, says 5, and of halves 19."""
    series = autoregressive(0.8, chains=300, draws=18).T[None]  # (1, draws, entries)
    result = converge(series)
    assert np.median(result.ess) < 7 and np.median(result.rhat) > 1.3
    alone = converge(series[..., :1])
    assert alone.ess[0] == result.ess[0] and alone.rhat[0] == result.rhat[0]


def test_rhat_of_chains_that_disagree():
    """Two chains 3 sd above two others: normal scores keep the ratio of variances near the raw one, sqrt(1 + 3)."""
    values = autoregressive(0.0) + np.array([0, 0, 3, 3])[:, None]
    split = values.reshape(8, 2000)
    raw = (1 + split.mean(1).var(ddof=1) / split.var(1, ddof=1).mean()) ** 0.5
    assert converge(values).rhat == pytest.approx(raw, rel=0.15) and raw > 1.8


def test_entries_that_never_change_are_nan_and_warned_about():
    values = np.stack([autoregressive(0.0, draws=100), np.ones((4, 100))], -1)
    result = converge(values)
    assert result.rhat.shape == (2,) and np.isfinite(result.rhat[0]) and np.isnan(result.rhat[1])
    still = diagnose({"x": torch.ones(4, 100)}, {}, {}, 1.0)
    assert still.warnings == ["x never changes: the chains do not move; raise lr or temperature"]


def test_few_effective_samples_are_warned_about():
    warnings = diagnose({"x": torch.from_numpy(autoregressive(0.95, draws=200))}, {}, {}, 1.0).warnings
    assert any("effective samples of the x" in text for text in warnings)


def test_trace_plot_has_a_panel_a_quantity_and_a_line_a_chain():
    diagnostics = diagnose({"a": torch.randn(3, 50), "b": torch.randn(3, 50, 2)}, {}, {}, 1.0)
    figure = trace_plot(diagnostics)
    assert [len(panel.lines) for panel in figure.axes] == [3, 3]
    assert np.array_equal(figure.axes[1].lines[2].get_ydata(), diagnostics.traces["b"][2])
