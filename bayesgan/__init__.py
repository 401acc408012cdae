"""Posterior sampling over GAN weights, and over those of any other module, with SGHMC; better samples from any GAN."""

from bayesgan.store.posterior import load_posterior
from bayesgan.resampling import Resampler
from bayesgan.sampler import SGHMC, PosteriorSampler

__all__ = ["SGHMC", "PosteriorSampler", "Resampler", "load_posterior"]
