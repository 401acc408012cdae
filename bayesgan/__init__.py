"""Posterior sampling over GAN weights, and over those of any other module, with SGHMC; better samples from any GAN."""

from bayesgan.resampling import Resampler
from bayesgan.sampler import SGHMC, PosteriorSampler
from bayesgan.store import load_posterior

__all__ = ["SGHMC", "PosteriorSampler", "Resampler", "load_posterior"]
