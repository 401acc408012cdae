"""Every selection rule; importing this registers them."""

from bayesgan.resampling.rules import drs, hmc, isir, langevin, mala, mh, obrs, sir

__all__ = ["drs", "hmc", "isir", "langevin", "mala", "mh", "obrs", "sir"]
