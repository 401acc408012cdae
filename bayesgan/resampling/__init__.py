"""Corrects a trained generator with a discriminator: density ratio, calibration, selection. Start with resampler.py."""

from bayesgan.resampling import ratios, rules
from bayesgan.resampling.calibration import CALIBRATIONS, SCORES
from bayesgan.resampling.diagnostics import Diagnostics
from bayesgan.resampling.guard import LEAST_JUDGED, PLAIN, Expected
from bayesgan.resampling.plots import ratio_figure
from bayesgan.resampling.proposals import LatentProposal
from bayesgan.resampling.ratio import DensityRatio
from bayesgan.resampling.refit import refit
from bayesgan.resampling.registry import RATIOS, RULES
from bayesgan.resampling.resampler import Resampler, judged_resampler
from bayesgan.resampling.rules.mh import metropolis_hastings
from bayesgan.resampling.rules.obrs import budgeted_rejection

__all__ = [
    "CALIBRATIONS",
    "DensityRatio",
    "Diagnostics",
    "Expected",
    "LEAST_JUDGED",
    "LatentProposal",
    "PLAIN",
    "RATIOS",
    "RULES",
    "Resampler",
    "SCORES",
    "budgeted_rejection",
    "judged_resampler",
    "metropolis_hastings",
    "ratio_figure",
    "ratios",
    "refit",
    "rules",
]
