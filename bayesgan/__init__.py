"""Posterior sampling over GAN weights with SGHMC, at about the price of one GAN."""

from bayesgan.posterior import load_posterior
from bayesgan.sampler import SGHMC, PosteriorSampler

__all__ = ["SGHMC", "PosteriorSampler", "load_posterior"]
