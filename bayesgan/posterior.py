"""What a finished run is for: its posterior, as one mixture over every collected draw and member."""

from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from bayesgan.ensemble import Ensemble
from bayesgan.errors import InputError
from bayesgan.networks import NETWORKS
from bayesgan.randomness import keyed_generator
from bayesgan.training.algorithm import networks_for
from bayesgan.training.run_folder import RunFolder

__all__ = ["Posterior", "load_posterior"]

CHUNK = 256  # images generated at a time, which bounds the memory of activations


class Posterior:
    """The collected weight samples of a run. Made by `load_posterior`."""

    def __init__(self, folder: RunFolder, device: torch.device | str):
        self.options = folder.options()
        self.shape = tuple(folder.config["data"]["shape"])
        self._pair = NETWORKS[folder.config["data"]["network"]]
        self._store, self._device = folder.store, device
        self.draws = folder.store.draws
        if not self.draws:
            raise InputError(f"{folder.path} has no collected draws yet; let it train past --burn_in, "
                             f"for example with --resume {folder.path}")

    @cached_property
    def generators(self) -> Ensemble:
        """Every generator of every draw: draws · I members, oldest draw first."""
        return self._ensemble("generators", self._pair[0], self.options.generators)

    @cached_property
    def discriminators(self) -> Ensemble:
        """Every discriminator of every draw: draws · K members, oldest draw first."""
        return self._ensemble("discriminators", self._pair[1], self.options.discriminators)

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Draws from the mixture of all generators, each equally likely.

        Args:
            n: How many, >= 1.
            seed: The same seed and n give the same samples.

        Returns:
            Images (n, C, H, W) float32 in [-1, 1], or vectors (n, D).
        """
        if n < 1:
            raise InputError(f"n must be at least 1, got {n}")
        members = torch.randint(self.generators.members, (n,), generator=keyed_generator(seed, "member"))
        latent = torch.randn(n, self.options.z_dim, generator=keyed_generator(seed, "latent"))
        samples = torch.empty(n, *self.shape, device=self._device)
        for member in members.unique().tolist():
            for rows in (members == member).nonzero()[:, 0].split(CHUNK):
                samples[rows] = self.generators.forward_member(member, latent[rows].to(self._device))
        return samples

    def _ensemble(self, group: str, network: type, members: int) -> Ensemble:
        sizes = networks_for(self.options, self.shape)
        ensemble = Ensemble(lambda: network(sizes), members * len(self.draws), device=self._device)
        for position, draw in enumerate(self.draws):  # one draw in memory at a time
            rows = slice(position * members, (position + 1) * members)
            stored = self._store.load(draw)[group]
            for name, tensor in ensemble.state().items():
                tensor[rows] = stored[name].to(tensor)
        return ensemble


def load_posterior(run_folder: Path | str, device: torch.device | str = "cpu") -> Posterior:
    """The posterior that a run of run_bgan.py collected.

    Args:
        run_folder: For example runs/bgan_digits_1700000000.
        device: Where samples are made.

    Raises:
        ValueError: If the folder is not a run, or has no collected draw yet.
    """
    return Posterior(RunFolder.open(Path(run_folder)), device)
