"""What a density ratio looks like: is it calibrated, and how far does it separate real from generated?"""

import numpy as np
import torch
from torch import Tensor

from bayesgan.basics.later import later

__all__ = ["ratio_figure"]

Figure = later("matplotlib.figure", "Figure")
calibration_curve = later("sklearn.calibration", "calibration_curve")

BINS = 15


def ratio_figure(scores: dict[str, tuple[Tensor, Tensor]]) -> Figure:
    """Reliability diagram of all, and of each the histograms on real and on generated data.

    Args:
        scores: Name -> log odds of real data (n,) and of generated data (m,), held out from whatever was fitted.
    """
    figure = Figure(figsize=(4 * (1 + len(scores)), 3.6), dpi=100)
    panels = figure.subplots(1, 1 + len(scores))
    panels[0].plot([0, 1], [0, 1], c="0.7", lw=1)
    for panel, (name, (real, fake)) in zip(panels[1:], scores.items(), strict=True):
        p = torch.sigmoid(torch.cat([real, fake])).double().numpy()
        y = np.r_[np.ones(len(real)), np.zeros(len(fake))]
        share, believed = calibration_curve(y, p, n_bins=BINS)
        panels[0].plot(believed, share, "o-", ms=3, label=name)
        edges = np.quantile(torch.cat([real, fake]).double().numpy(), [0.001, 0.999])
        for part, label in ((real, "real"), (fake, "generated")):
            panel.hist(part.double().numpy(), np.linspace(*edges, 40), density=True, alpha=0.5, label=label)
        panel.set(xlabel="log odds of real", title=name)
        panel.legend(fontsize=8)
    panels[0].set(xlabel="probability of real", ylabel="share real", title="reliability")
    panels[0].legend(fontsize=8)
    figure.tight_layout()
    return figure
