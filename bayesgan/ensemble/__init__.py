"""Ensembles of one architecture as stacked weights, and the store of collected samples; no objectives here."""

from bayesgan.ensemble.engines import ENGINES, Engine, Outputs, first_output, graphs_skipped
from bayesgan.ensemble.ensemble import Ensemble
from bayesgan.ensemble.scales import fan_in_scales, weights_of
from bayesgan.ensemble.stochastic import Stochastic, drawn_for
from bayesgan.ensemble.store import SampleStore, StoredDraw
from bayesgan.ensemble.tensor_files import TensorFile, checksum, write_tensors

__all__ = ["ENGINES", "Engine", "Ensemble", "Outputs", "SampleStore", "Stochastic", "StoredDraw", "TensorFile",
           "checksum", "drawn_for", "fan_in_scales", "first_output", "graphs_skipped", "weights_of", "write_tensors"]
