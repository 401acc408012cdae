"""Posterior sampling over GAN weights, and over those of any other module, with SGHMC."""

from bayesgan.posterior import load_posterior
from bayesgan.sampler import SGHMC, PosteriorSampler

__all__ = ["SGHMC", "PosteriorSampler", "load_posterior"]
