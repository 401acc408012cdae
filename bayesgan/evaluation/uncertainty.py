"""Does a classifier know what it does not know? Its calibration, and its entropy on data of no class it has seen."""

import numpy as np
import torch
from torch import Tensor

from bayesgan.basics.later import later
from bayesgan.basics.randomness import keyed_generator
from bayesgan.evaluation.classification import predictive_entropy, reliability

__all__ = ["error_figure", "shuffled", "uncertainty_figure"]

Figure = later("matplotlib.figure", "Figure")

ACROSS = 4  # panels beside each other, at most


def shuffled(data: Tensor) -> Tensor:
    """Pixels (or columns) permuted in every datum alike: the data's values without their shapes."""
    order = torch.randperm(data[0].numel(), generator=keyed_generator(0, "shuffle"))
    return data.flatten(1)[:, order].view_as(data)


def error_figure(curves: dict[str, list[tuple[int, float]]], count: int) -> Figure:
    """Errors of several classifiers on `count` test data over the iterations of a run."""
    figure = Figure(figsize=(6, 3.6), dpi=100)
    panel = figure.subplots()
    for name, curve in curves.items():
        panel.plot(*zip(*curve), ".-", label=name)
    panel.set(xlabel="iteration", ylabel=f"errors of {count}", ylim=(0, None))
    panel.legend(fontsize=8)
    figure.tight_layout()
    return figure


def uncertainty_figure(classifiers: dict[str, dict[str, Tensor]], labels: Tensor) -> Figure:
    """Reliability diagram of all classifiers, and of each the histograms of its predictive entropy.

    Args:
        classifiers: Name -> case -> probabilities (n, Y); the first case is the data that `labels` (n,) belong to.
    """
    count = 1 + len(classifiers)
    down = -(-count // ACROSS)
    across = -(-count // down)
    figure = Figure(figsize=(4 * across, 3.6 * down), dpi=100)
    panels = figure.subplots(down, across, squeeze=False).flatten()
    for spare in panels[count:]:
        spare.axis("off")
    panels[0].plot([0, 1], [0, 1], c="0.7", lw=1)
    for name, cases in classifiers.items():
        test = next(iter(cases.values()))
        confidence, share, accuracy = reliability(test, labels)
        filled = share > 0
        panels[0].plot(confidence[filled], accuracy[filled], "o-", ms=3, label=name)
    panels[0].set(xlabel="confidence", ylabel="accuracy", title="reliability")
    panels[0].legend(fontsize=8)
    bins = np.linspace(0, np.log(test.shape[1]), 30)
    for panel, (name, cases) in zip(panels[1:], classifiers.items()):
        for case, values in cases.items():
            panel.hist(predictive_entropy(values).numpy(), bins, density=True, alpha=0.5, label=case)
        panel.set(xlabel="predictive entropy (nats)", title=name)
    panels[count - 1].legend(fontsize=8)
    figure.tight_layout()
    return figure
