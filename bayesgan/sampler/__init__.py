"""SGHMC for any torch module; knows nothing of GANs. Start with sghmc.py."""

from bayesgan.sampler.moments import StationaryMoments, stationary_moments
from bayesgan.sampler.preconditioners import RMSprop
from bayesgan.sampler.priors import Normal, fan_in_scales
from bayesgan.sampler.schedules import exponential_then_constant, ramp
from bayesgan.sampler.sghmc import SGHMC, sghmc_step

__all__ = [
    "SGHMC",
    "sghmc_step",
    "RMSprop",
    "Normal",
    "fan_in_scales",
    "exponential_then_constant",
    "ramp",
    "StationaryMoments",
    "stationary_moments",
]
