"""Ensembles of one architecture as stacked weights, and the store of collected samples; no objectives here."""

from bayesgan.ensemble.engines import ENGINES, Engine, Outputs, make_engine
from bayesgan.ensemble.ensemble import Ensemble
from bayesgan.ensemble.scales import fan_in_scales
from bayesgan.ensemble.stochastic import Stochastic
from bayesgan.ensemble.store import SampleStore

__all__ = ["ENGINES", "Engine", "Ensemble", "Outputs", "SampleStore", "Stochastic", "fan_in_scales", "make_engine"]
