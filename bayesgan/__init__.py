"""Posterior sampling over GAN weights, and over those of any other module, with SGHMC; better samples from any GAN."""

from importlib import import_module

__all__ = ["SGHMC", "PosteriorSampler", "Resampler", "load_posterior"]

HOMES = {"SGHMC": "sampler", "PosteriorSampler": "sampler", "Resampler": "resampling", "load_posterior": "store"}


def __getattr__(name: str):
    """Imports on demand: torch takes seconds, in which a command line already listens to signals."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"bayesgan.{HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *HOMES])
