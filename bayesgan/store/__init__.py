"""What a run leaves on disk, written and read back; trains nothing. Start with run_folder.py."""

from bayesgan.store.checkpoints import read_checkpoint
from bayesgan.store.posterior import Posterior, load_posterior
from bayesgan.store.results import read_results
from bayesgan.store.run_folder import RunFolder, State

__all__ = ["Posterior", "RunFolder", "State", "load_posterior",
           "read_checkpoint", "read_results"]
