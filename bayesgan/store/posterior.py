"""What a finished run is for: its posterior, as one mixture over every collected draw and member."""

import shlex
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from bayesgan.basics.arrays import as_tensor
from bayesgan.basics.devices import usable_device
from bayesgan.basics.errors import InputError, refuse_count, warn
from bayesgan.basics.randomness import keyed_generator
from bayesgan.data import Unseen, read_unseen, to_float
from bayesgan.data.dataset import standardised
from bayesgan.ensemble import Ensemble, StoredDraw
from bayesgan.evaluation.classification import CHUNK, Predictive
from bayesgan.options import data_options
from bayesgan.store.run_folder import RunFolder

__all__ = ["Posterior", "load_posterior"]

SAME = 1e-6  # of a column's only number in training, up to which another is the same
FAR = 3  # root mean square of data whose own is 1
TIGHT, SEVERAL = 0.1, 10  # standard deviation of data whose own is 1, over so many or more


class Posterior:
    """The collected weight samples of a run. Made by `load_posterior`.

    It stays what it is while the run goes on, also where that drops the draws.
    `sample` and `predictive` hold one draw in memory at a time; `generators` and `discriminators` hold all of them.
    """

    def __init__(self, folder: RunFolder, device: torch.device | str, draws: list[StoredDraw] | None = None):
        self.options = folder.options()
        self.shape = tuple(folder.config["data"]["shape"])
        self.classes = tuple(folder.config["data"]["classes"])
        self._folder, self._device = folder, usable_device(device)
        self._stored = folder.store.opened() if draws is None else draws
        if not self._stored and folder.ended:
            raise InputError(f"{folder.path} is complete and has no collected draws; restore its folder posterior")
        if not self._stored:
            raise InputError(f"{folder.path} has no collected draws yet; let it train past --burn_in, "
                             f"for example with --resume {shlex.quote(str(folder.path))}")

    def __repr__(self) -> str:
        kind = f", {len(self.classes)} classes" if self.options.semi else ""
        return (f"Posterior({self._folder.path}: {len(self.draws)} draws of {self.options.generators} generators and "
                f"{self.options.discriminators} discriminators, data {'x'.join(map(str, self.shape))}{kind})")

    @property
    def draws(self) -> list[dict]:
        """What the index says of each draw, oldest first."""
        return [draw.entry for draw in self._stored]

    def newest(self, count: int) -> "Posterior":
        """The same with so many of the newest draws."""
        refuse_count(count, "count")
        return Posterior(self._folder, self._device, self._stored[-count:])

    @cached_property
    def generators(self) -> Ensemble:
        """Every generator of every draw: draws · I members, oldest draw first."""
        return self._stacked("generators")

    @cached_property
    def discriminators(self) -> Ensemble:
        """Every discriminator of every draw: draws · K members, oldest draw first."""
        return self._stacked("discriminators")

    def each(self, group: str) -> Iterator[Ensemble]:
        """The "generators", "discriminators" or their "averages" of one draw after the other, oldest first."""
        members = self.options.generators if group == "generators" else self.options.discriminators
        if group == "generators":
            self.require_generators()
        for draw in self._stored:
            ensemble = self._folder.ensemble(group, draw.load(group), self._device)
            if ensemble.members != members:
                raise InputError(f"{self._folder.path}: a draw has {ensemble.members} {group} and config.json says "
                                 f"{members}; restore config.json")
            yield ensemble

    @torch.no_grad()
    def sample(self, n: int, seed: int = 0, units: bool = True) -> Tensor:
        """Images (or vectors) of the mixture of all generators, each equally likely.

        Args:
            n: How many, >= 1.
            seed: The same seed and n give the same images.
            units: Vectors that were standardised for training come back in the units they were given in.

        Returns:
            Images (n, C, H, W) float32 in [-1, 1], or vectors (n, D): float64 in units, else float32.

        Raises:
            ValueError: If n is not a whole number, at least 1, or the run has no generators.
        """
        refuse_count(n)
        self.require_generators()
        each = self.options.generators
        members = torch.randint(each * len(self.draws), (n,), generator=keyed_generator(seed, "member"))
        latent = torch.randn(n, self.options.z_dim, generator=keyed_generator(seed, "latent"))
        samples = torch.empty(n, *self.shape, device=self._device)
        for number, generators in enumerate(self.each("generators")):
            for member in range(each):
                for rows in (members == number * each + member).nonzero()[:, 0].split(CHUNK):
                    samples[rows] = generators.forward_member(member, latent[rows].to(self._device))
        return self.in_units(samples) if units else samples

    def predictive(self, x: Tensor, units: bool = True) -> Predictive:
        """Class probabilities of every collected discriminator, averaged; with what they disagree on.

        Args:
            x: Data (n, C, H, W) or (n, D), a tensor or numpy array: images as uint8 or floats in [-1, 1], vectors.
            units: Vectors that were standardised for training are given in the units they had before, as `sample`
                makes them; otherwise as `standardised` gives them.

        Raises:
            ValueError: If the run is unsupervised, or x has another shape or range than its data.
        """
        x = self.inputs(x, units)
        return Predictive.mean([Predictive.of(draw, x) for draw in self.each("discriminators")])

    def inputs(self, x: Tensor, units: bool = True) -> Tensor:
        """Data as the run's classifiers take it, floats; args and errors are those of `predictive`."""
        self.require_classes()
        x = as_tensor(x, "x", doubles=True)
        if x.dtype != torch.uint8 and not x.is_floating_point():
            raise InputError(f"x must be bytes or floats, got {x.dtype}; convert it")
        if tuple(x.shape[1:]) != self.shape or len(x) == 0:
            expected = ", ".join(map(str, self.shape))
            raise InputError(f"x must be (n, {expected}) like the training data, got {tuple(x.shape)}")
        if len(self.shape) == 3 and x.dtype != torch.uint8 and not x.abs().max() <= 1:
            raise InputError(f"images must be uint8, or floats in [-1, 1], got values up to {x.abs().max():g}; "
                             "scale them")
        if len(self.shape) == 3 and x.dtype != torch.uint8 and x.min() >= 0 and x.max() > 0.5:
            warn("no value of these images is negative, and black is -1 here: if they lie in [0, 1], give 2 * x - 1; "
                 "bytes are taken as uint8")
        self._warn_of_scale(x)
        own = self._folder.units is not None
        x = self.standardised(x) if own and units else to_float(x).float()
        if not x.isfinite().all():
            raise InputError("x must be finite, also as float32; it holds NaN, infinity or numbers that are too large")
        if own and far(x, self._folder.units[1] > 0):
            warn("these vectors are far from those that the run was trained on; vectors in the data's own units want "
                 f"units=True, standardised ones units=False, got {units}")
        return x

    def _warn_of_scale(self, x: Tensor) -> None:
        """Of bytes that look as if they were on the scale that the run's own had, which are taken for 0..255 here."""
        values = self._folder.values
        if values is None or x.dtype != torch.uint8 or values.kind != "uint8" or values[:2] == (0, 255):
            return
        if x.max() <= values.white:
            warn(f"bytes are taken for 0..255, as Posterior.read gives them, and the run's own were on "
                 f"{values.black:g}..{values.white:g}: of arrays like those give floats, 2 * (x - black) / "
                 "(white - black) - 1")

    def require_classes(self) -> None:
        """Raises InputError of an unsupervised run."""
        if not self.options.semi:
            raise InputError("an unsupervised run knows no classes; train one with run_bgan_semi.py")

    def require_generators(self) -> None:
        """Raises InputError of a run without any."""
        if not self.options.generators:
            raise InputError(f"{self._folder.path} was trained with --num_gen 0 and makes no samples; train a run with "
                             "generators")

    def standardised(self, x: Tensor) -> Tensor:
        """Vectors (n, D) in the user's own units as the run was trained on them, float32.

        Raises:
            ValueError: If the run's data are not a user's vectors, or x has another length.
        """
        if self._folder.units is None:
            raise InputError("the data of this run were not standardised; give them as they are")
        x, mean, spread = self._beside_units(x)
        moved = ((x - mean).abs() > SAME * mean.abs()).reshape(-1, len(mean)).any(0) & (spread == 0)
        if moved.any():
            columns = ", ".join(map(str, moved.nonzero()[:, 0].tolist()))
            warn(f"columns {columns} never changed in the training data and do here: what they hold is not looked at")
        return standardised(x, mean, spread)

    def in_units(self, x: Tensor) -> Tensor:
        """The other way round: standardised vectors (n, D) in the user's own units, float64; other data as they are.

        Raises:
            ValueError: If vectors have another length.
        """
        if self._folder.units is None:
            return x
        x, mean, spread = self._beside_units(x)
        return x * spread + mean

    def _beside_units(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors (n, D) as float64, the data's mean and spread (D,) on their device."""
        x = as_tensor(x, "x", doubles=True).double()
        mean, spread = (part.to(x.device) for part in self._folder.units)
        if x.shape[-1:] != mean.shape:
            raise InputError(f"x must be (n, {len(mean)}) like the training data, got {tuple(x.shape)}")
        return x, mean, spread

    def read(self, *paths: Path | str) -> Unseen:
        """New data from files, as the run read its own: `predictive(posterior.read("new").data)`.

        Args:
            paths: A folder or zip of pictures, an .npz with an array x of images or vectors, or any number of pictures.

        Returns:
            `names`, `data` (n, C, H, W) uint8 or (n, D) float64 in the user's units, and `notes` about both.

        Raises:
            ValueError: If there is nothing to read, or it cannot be data like the run's.
        """
        if not paths:
            raise InputError("nothing to read was named; give a folder, a zip, an .npz or pictures")
        return read_unseen(list(map(Path, paths)), data_options(self.options), self.shape, self._folder.values)

    def predict_proba(self, x: Tensor, units: bool = True) -> Tensor:
        """p(y|x), the mean over all collected discriminators of D(x = y) / sum_c D(x = c): (n, classes) float64.

        Args and errors are those of `predictive`.
        """
        return self.predictive(x, units).probabilities

    def _stacked(self, group: str) -> Ensemble:
        stacked = None
        for number, one in enumerate(self.each(group)):  # one draw beside the stack, never two
            if stacked is None:
                stacked = self._folder.empty_ensemble(group, one.members * len(self.draws), self._device)
            rows = slice(number * one.members, (number + 1) * one.members)
            with torch.no_grad():
                for name, tensor in stacked.state().items():
                    tensor[rows] = one.state()[name]
        return stacked


def far(x: Tensor, varying: Tensor) -> bool:
    """Whether standardised vectors (n, D) are as if another scale had been taken off them; (D,) which columns vary."""
    x = x[:, varying.to(x.device)]
    return bool(x.square().mean() > FAR**2 or (len(x) >= SEVERAL and x.var(0).mean() < TIGHT**2))


def load_posterior(run_folder: Path | str, device: torch.device | str = "cpu") -> Posterior:
    """The posterior that a run of run_bgan.py or run_bgan_semi.py collected.

    Args:
        run_folder: For example runs/bgan_digits_1700000000.
        device: Where samples are made.

    Raises:
        ValueError: If the folder is not a run, or has no collected draw yet, or the device is absent.
    """
    return Posterior(RunFolder.open(run_folder), device)
