"""Every selection rule; importing this registers them."""

from bayesgan.resampling.rules import drs, flow, hmc, isir, langevin, mala, mh, obrs, sir

__all__ = ["drs", "flow", "hmc", "isir", "langevin", "mala", "mh", "obrs", "sir"]
