"""From scores to density ratios: w = p/q is the odds of a calibrated classifier of real against generated data.

Fitted on real data held out from all training against as many generated ones, after the discriminators were averaged.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from bayesgan.basics.errors import InputError
from bayesgan.basics.later import later
from bayesgan.basics.randomness import keyed_generator
from bayesgan.basics.registry import Registry

__all__ = ["CALIBRATIONS", "LEAST", "SCORES", "fit", "log_odds", "logistic", "slope_interval"]

IsotonicRegression = later("sklearn.isotonic", "IsotonicRegression")
LogisticRegression = later("sklearn.linear_model", "LogisticRegression")

LEAST = 20  # real data, and as many generated ones, below which a fit means nothing
WEAK = 1e4  # scikit-learn's C: a ridge that only keeps separable data finite

Calibrated = Callable[[Tensor], Tensor]  # scores (n, K) -> log odds (n,) float64
CALIBRATIONS: Registry[Callable[[Tensor, Tensor], Calibrated]] = Registry("calibration")
SCORES = ("logit", "probability", "least_squares", "least_squares_signed", "wasserstein")
RESAMPLES = 100  # of the bootstrap of a slope


def log_odds(scores: Tensor, kind: str) -> Tensor:
    """Scores of one kind as something monotone in the log odds, float64 and finite.

    A critic that minimises squared errors to targets 1 and 0 has its optimum at p/(p+q), with targets 1 and -1
    ("least_squares_signed") at (p-q)/(p+q): both become probabilities, and probabilities become logits, clipped to
    [1e-4, 1 - 1e-4] (squares: [1e-3, 1 - 1e-3], since a regression errs past its targets). Logits are taken as they
    are, up to 1e6. So is a Wasserstein critic, whatever its scale, of which no such map exists: its calibration assumes
    that log p/q is affine in the critic.
    """
    if kind not in SCORES:
        raise InputError(f"kind must be one of: {', '.join(SCORES)}; got {kind!r}"
                         + ("; scores of a hinge loss are taken as logit" if kind == "hinge" else ""))
    scores = scores.double()
    if kind.startswith("least_squares"):
        share = (scores + 1) / 2 if kind == "least_squares_signed" else scores
        return torch.logit(share.clamp(1e-3, 1 - 1e-3))
    if kind == "probability":
        if (scores < 0).any() or (scores > 1).any():
            raise InputError(f"probabilities must lie in [0, 1], got {scores.min():g}..{scores.max():g}; "
                             "kind logit takes any number")
        return torch.logit(scores.clamp(1e-4, 1 - 1e-4))
    return scores if kind == "wasserstein" else scores.clamp(-1e6, 1e6)


def fit(name: str, real: Tensor, fake: Tensor, kind: str = "logit") -> Calibrated:
    """A calibration of scores (n, K), K discriminators, of real and of generated data.

    Returns:
        Scores (n, K) -> log density ratio (n,), float64.

    Raises:
        ValueError: If there are fewer than 20 of either, they are all equal, or `kind` cannot stay uncalibrated.
    """
    if min(len(real), len(fake)) < LEAST:
        raise InputError(f"calibration needs at least {LEAST} real and generated data, got {len(real)} and "
                         f"{len(fake)}; hold out more")
    scores = torch.cat([real, fake])
    if (scores == scores[0]).all():
        raise InputError(f"the discriminator is constant: all {len(scores)} scores are {scores[0].flatten()[0]:g} and "
                         "tell nothing apart; train it further, look at kind, or name a ratio other than score")
    if name == "none" and kind == "wasserstein":
        raise InputError("calibration none takes scores for log odds, which wasserstein scores are not; use platt")
    labels = torch.cat([torch.ones(len(real)), torch.zeros(len(fake))]).to(scores)
    calibrated = CALIBRATIONS[name](scores, labels)
    balance = np.log(len(fake) / len(real))
    return partial(shifted, calibrated, balance)


# what calibrations return are not closures, so that a resampler can be pickled


def shifted(calibrated: Calibrated, balance: float, values: Tensor) -> Tensor:
    return calibrated(values) + balance


def of_mean(slope: float, intercept: float, values: Tensor) -> Tensor:
    """slope times the mean score, plus intercept."""
    return slope * values.double().mean(1) + intercept


def logistic(features: Tensor, labels: Tensor, ridge: float = WEAK) -> tuple[Tensor, float]:
    """Weights (F,) and intercept of a logistic regression on features (n, F), standardised for the fit alone.

    Args:
        ridge: scikit-learn's C; smaller holds the weights closer to 0.
    """
    mean, spread = features.mean(0), features.std(0).clamp_min(1e-12)
    standardised = (features - mean) / spread
    model = LogisticRegression(C=ridge, max_iter=1000).fit(standardised.cpu().numpy(), labels.cpu().numpy())
    weights = torch.from_numpy(model.coef_[0]).to(features) / spread
    return weights, float(model.intercept_[0]) - float((weights * mean).sum())


def slope_interval(real: Tensor, fake: Tensor, seed: int = 0) -> tuple[float, float, float]:
    """Slope of `platt` on scores (n, K) and (m, K), and its 5 % and 95 % bootstrap quantiles."""
    source = keyed_generator(seed, "bootstrap")
    labels = torch.cat([torch.ones(len(real)), torch.zeros(len(fake))]).to(real)
    parts, slopes = [part.mean(1, keepdim=True).cpu() for part in (real, fake)], []
    for again in range(1 + RESAMPLES):
        rows = [torch.randint(len(part), (len(part),), generator=source) if again else slice(None) for part in parts]
        (slope,), _ = logistic(torch.cat([part[row] for part, row in zip(parts, rows)]), labels.cpu())
        slopes.append(float(slope))
    low, high = np.quantile(slopes[1:], [0.05, 0.95])
    return slopes[0], float(low), float(high)


@CALIBRATIONS.register("platt")
def platt(scores: Tensor, labels: Tensor) -> Calibrated:
    """a l + b on the mean score l (Platt 1999): monotone, finite, differentiable."""
    (slope,), intercept = logistic(scores.mean(1, keepdim=True), labels)
    return partial(of_mean, slope, intercept)


@CALIBRATIONS.register("isotonic")
def isotonic(scores: Tensor, labels: Tensor) -> Calibrated:
    """The best monotone step function of the mean score (Zadrozny & Elkan 2002), its blocks kept off 0 and 1.

    A block with m of n data real has the posterior mean (m + 1/2) / (n + 1) under Jeffreys' prior, so that a block of
    real data alone has odds of twice its own size; where that breaks the order, blocks are pooled once more.
    """
    means, truth = scores.mean(1).cpu().numpy(), labels.cpu().numpy()
    steps = IsotonicRegression().fit_transform(means, truth)
    _, block, sizes = np.unique(steps, return_inverse=True, return_counts=True)
    smoothed = (np.bincount(block, truth) + 0.5) / (sizes + 1)
    model = IsotonicRegression(out_of_bounds="clip").fit(means, smoothed[block])

    return partial(of_steps, model)


def of_steps(model: IsotonicRegression, values: Tensor) -> Tensor:
    odds = model.predict(values.detach().double().mean(1).cpu().numpy())
    return torch.logit(torch.from_numpy(odds).double()).to(values.device)


@CALIBRATIONS.register("beta")
def beta(scores: Tensor, labels: Tensor) -> Calibrated:
    """a log s - b log(1-s) + c with a, b >= 0 and s the sigmoid of the mean score (Kull et al. 2017)."""
    columns = log_shares(scores.mean(1))
    weights, intercept = logistic(columns, labels)
    if (weights < 0).any():  # the paper's rule: drop the one with the wrong sign and fit the other
        keep = int(weights.argmax())
        (slope,), intercept = logistic(columns[:, keep:keep + 1], labels)
        weights = torch.zeros_like(weights)
        weights[keep] = slope
    return partial(of_shares, weights, intercept)


def log_shares(logits: Tensor) -> Tensor:
    """log s and -log(1-s), (n, 2)."""
    return torch.stack([-softplus(-logits), softplus(logits)], 1)


def of_shares(weights: Tensor, intercept: float, values: Tensor) -> Tensor:
    return log_shares(values.double().mean(1)) @ weights + intercept


@CALIBRATIONS.register("vector")
def vector(scores: Tensor, labels: Tensor) -> Calibrated:
    """A weight of its own for each discriminator's score: w · (l_1 .. l_K) + b."""
    weights, intercept = logistic(scores, labels)
    return partial(of_all, weights, intercept)


def of_all(weights: Tensor, intercept: float, values: Tensor) -> Tensor:
    return values.double() @ weights + intercept


@CALIBRATIONS.register("none")
def uncalibrated(scores: Tensor, labels: Tensor) -> Calibrated:
    """The mean score as it is: right only where the discriminator is."""
    return partial(of_mean, 1.0, 0.0)
