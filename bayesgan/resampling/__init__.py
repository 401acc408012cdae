"""Corrects a trained generator with a discriminator: density ratio, calibration, selection. Start with resampler.py."""

from bayesgan.resampling import rules
from bayesgan.resampling.boosting import boosted_score
from bayesgan.resampling.calibration import CALIBRATIONS, LEAST, SCORES
from bayesgan.resampling.diagnostics import Diagnostics
from bayesgan.resampling.plots import ratio_figure
from bayesgan.resampling.proposals import LatentProposal
from bayesgan.resampling.ratio import DensityRatio
from bayesgan.resampling.refit import refit
from bayesgan.resampling.registry import RULES
from bayesgan.resampling.resampler import Resampler
from bayesgan.resampling.rules.mh import metropolis_hastings
from bayesgan.resampling.rules.obrs import budgeted_rejection

__all__ = [
    "CALIBRATIONS",
    "DensityRatio",
    "Diagnostics",
    "LEAST",
    "LatentProposal",
    "RULES",
    "Resampler",
    "SCORES",
    "boosted_score",
    "budgeted_rejection",
    "metropolis_hastings",
    "ratio_figure",
    "refit",
    "rules",
]
