"""SGHMC for any torch module; knows nothing of GANs. Start with sghmc.py."""

from bayesgan.sampler.diagnostics import Diagnostics, diagnose, trace_plot
from bayesgan.sampler.kinetic import kinetic_temperature
from bayesgan.sampler.moments import StationaryMoments, stationary_moments
from bayesgan.sampler.posterior_sampler import Draw, PosteriorSampler
from bayesgan.sampler.preconditioners import RMSprop
from bayesgan.sampler.priors import Laplace, Normal, Prior, StudentT
from bayesgan.sampler.schedules import Cyclical, exponential_then_constant, polynomial, ramp
from bayesgan.sampler.sghmc import SGHMC
from bayesgan.sampler.step import sghmc_step

__all__ = [
    "PosteriorSampler",
    "Draw",
    "Diagnostics",
    "diagnose",
    "trace_plot",
    "SGHMC",
    "sghmc_step",
    "RMSprop",
    "kinetic_temperature",
    "Laplace",
    "Normal",
    "Prior",
    "StudentT",
    "Cyclical",
    "exponential_then_constant",
    "polynomial",
    "ramp",
    "StationaryMoments",
    "stationary_moments",
]
