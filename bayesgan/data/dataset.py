"""What every data set is after loading: tensors that live on the device, from which batches are index draws."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bayesgan.basics.errors import InputError
from bayesgan.basics.randomness import keyed_generator
from bayesgan.basics.registry import Registry
from bayesgan.data.values import Values

__all__ = ["DATA_SETS", "DataOptions", "DataSource", "Dataset", "UNKNOWN", "some", "to_bytes", "to_float"]

ROUNDINGS = 10  # of a number, which sums of shares that add up to it differ by
UNKNOWN = -1  # in place of a label that is not there or must not be read


@dataclass(frozen=True)
class DataOptions:
    """What a loader may be told.

    Attributes:
        data_path: File or folder of the user's; only ever read, unless a download is needed.
        cache_path: Folder that conversions are kept in.
        image_size: Side to scale images to; None keeps the file's.
        x_dim: Dimension D of the synthetic mixture.
        cluster_dim: Dimension d of each cluster of the synthetic mixture.
        value_range: The values of black and white in the user's images, or those of data before; None works them out.
        crop: With image_size, of the user's images that are not square: "center" is the middle square, "none" all.
        background: The colour, by name or #rrggbb, under transparent pixels of the user's images.
        channels: 1 or 3: the user's images as grey or in colour; None leaves them as most of them are.
        attribute: Of CelebA's pictures, the one whose presence is the class.
    """

    data_path: Path = Path("datasets")
    cache_path: Path = Path("datasets")
    image_size: int | None = None
    x_dim: int = 100
    cluster_dim: int = 2
    value_range: tuple[float, float] | Values | None = None
    crop: str = "center"
    background: str = "white"
    channels: int | None = None
    attribute: str | None = None


@dataclass(frozen=True)
class Dataset:
    """Training and test data.

    Attributes:
        train: Images (N, C, H, W) uint8, or vectors (N, D) float32, standardised.
        test: The same for held-out data; may have no rows.
        train_labels, test_labels: (N,) int64, or None where the set has none. `UNKNOWN` is a label that is not there.
        classes: One name a class; empty without labels.
        calibration: Training data put aside before training, for calibrating discriminators; None or no rows without.
        notes: How the user's files were understood, a sentence each.
        units: Mean and spread (D,) that the user's vectors were standardised by, 0 of a constant; None without.
        values: What numbers in the user's images were taken for; None without.
    """

    name: str
    train: Tensor
    test: Tensor
    train_labels: Tensor | None = None
    test_labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    calibration: Tensor | None = None
    notes: tuple[str, ...] = ()
    units: tuple[Tensor, Tensor] | None = None
    values: Values | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one datum: (C, H, W) or (D,)."""
        return tuple(self.train.shape[1:])

    @property
    def is_images(self) -> bool:
        return self.train.dim() == 4

    def to(self, device: torch.device | str) -> "Dataset":
        """The same data on `device`."""
        return replace(self, **{name: value.to(device) for name, value in vars(self).items() if torch.is_tensor(value)})

    def only(self, classes: list[int]) -> "Dataset":
        """The rows of some classes, relabelled 0, 1, ... in the order of `classes`.

        Args:
            classes: Their names where all names are whole numbers, else their places, from 0.

        Raises:
            ValueError: If there are no labels, or a class does not exist or repeats.
        """
        if self.train_labels is None:
            raise InputError(f"--classes needs labels and {self.name} has none; leave --classes out")
        named = len({int(name) for name in self.classes if name.isdecimal()}) == len(self.classes)  # 01 is 1
        known = list(map(int, self.classes)) if named else list(range(len(self.classes)))
        if wrong := [c for c in classes if c not in known]:
            raise InputError(f"classes of {self.name} are {', '.join(map(str, known))}, got {wrong[0]}")
        classes = [known.index(c) for c in classes]
        if len(set(classes)) < len(classes):
            raise InputError(f"--classes names a class twice: {[known[c] for c in classes]}; name each once")
        if empty := [c for c in classes if not (self.train_labels == c).any()]:
            raise InputError(f"class {known[empty[0]]} of {self.name} has no training data; leave it out of --classes")
        rename = torch.full((len(self.classes) + 1,), UNKNOWN)  # the last is where UNKNOWN points
        rename[classes] = torch.arange(len(classes))
        parts = {}
        for part in ("train", "test"):
            before = getattr(self, f"{part}_labels")
            if before is None:
                continue
            labels = rename[before]
            kept = (labels != UNKNOWN) | (before == UNKNOWN)  # data of no known class may be of these
            parts[part], parts[f"{part}_labels"] = getattr(self, part)[kept], labels[kept]
        kept = tuple(self.classes[c] for c in classes)
        return replace(self, **parts, classes=kept, notes=(*self.notes, f"of these the classes {', '.join(kept)}"))

    def hold_out(self, share: float) -> "Dataset":
        """Moves a random share of the training data to `calibration`: the same rows at every call.

        Where some have no label those come first, so that none of a few labels is lost; and no class is lost.
        """
        order = torch.from_numpy(np.random.default_rng(1).permutation(len(self.train)))
        labels, count = self.train_labels, round(share * len(self.train))
        if labels is not None:
            order = order[(labels[order] != UNKNOWN).long().argsort(stable=True)]
            if {*labels.tolist()} - {*labels[order[count:]].tolist(), UNKNOWN}:
                last = {label: place for place, label in enumerate(labels[order].tolist()) if label != UNKNOWN}
                spared = torch.zeros(len(order), dtype=torch.bool)
                spared[list(last.values())] = True
                order = torch.cat([order[~spared], order[spared]])
        aside, kept = (rows.sort().values for rows in order.tensor_split([count]))
        labels = None if labels is None else labels[kept]
        return replace(self, train=self.train[kept], train_labels=labels, calibration=self.train[aside])


class DataSource(NamedTuple):
    """A registered data set: how to load it, and the options that suit it where the user gives none."""

    load: Callable[[DataOptions], Dataset]
    defaults: dict = {}  # never changed
    semi: dict | Callable[[Path, int | None], dict] = {}  # in place of these for run_bgan_semi.py; perhaps by the data
    # at --data_path and by --image_size
    foreign: Callable[[DataOptions], Dataset | None] = lambda options: (
        None
    )  # data of no class of it, if its files are there
    channels: str | None = None  # the set whose images its channels are: a class is their classes, a digit each


DATA_SETS: Registry[DataSource] = Registry("data set")


def to_float(data: Tensor) -> Tensor:
    """uint8 images to float32 in [-1, 1]; vectors unchanged."""
    return data.float().div_(127.5).sub_(1) if data.dtype == torch.uint8 else data


def some(data: Tensor, count: int) -> Tensor:
    """At most `count` rows, always the same ones, chosen at random: data may lie in the order of their classes."""
    if len(data) <= count:
        return data
    rows = torch.randperm(len(data), generator=keyed_generator(0, "some"))[:count]
    return data[rows.to(data.device)]


def to_bytes(images: Tensor) -> Tensor:
    """Images in [-1, 1] to uint8: the inverse of `to_float`."""
    return ((images + 1) * 127.5).round_().clamp_(0, 255).to(torch.uint8)


def images_tensor(images: np.ndarray, image_size: int | None = None, crop: str = "center") -> Tensor:
    """(N, H, W) or (N, H, W, C) uint8 arrays to (N, C, S, S), scaled by area where image_size asks for it.

    With crop "center" it is their middle square that is scaled, with "none" all of them.
    """
    tensor = torch.from_numpy(np.require(images, requirements="CW"))  # a copy of files, which are mapped read-only
    tensor = tensor.unsqueeze(1) if tensor.dim() == 3 else tensor.permute(0, 3, 1, 2).contiguous()
    if image_size is None or tensor.shape[-2:] == (image_size, image_size):
        return tensor
    if crop == "center":
        height, width = tensor.shape[-2:]
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        tensor = tensor[:, :, top:top + side, left:left + side]
    parts = tensor.split(1024)  # float copies of the whole set would not fit next to it
    return torch.cat([
        torch.nn.functional.interpolate(part.float(), (image_size, image_size), mode="bilinear", antialias=True)
        .round_().clamp_(0, 255).to(torch.uint8)
        for part in parts
    ])


def check_varied(data: Tensor, name: str) -> None:
    """Raises InputError where all data (N, ...) are the same, or a channel of images (N, C, H, W) is constant."""
    if (data == data[:1]).all():
        raise InputError(f"{name}: all {len(data)} data are the same; there is nothing to learn from copies of one")
    for channel in range(data.shape[1] if data.dim() == 4 else 0):
        if (data[:, channel] == data[0, channel, 0, 0]).all():
            raise InputError(f"{name}: channel {channel} is {data[0, channel, 0, 0]} in all images; make them grey "
                             "with --channels 1, or leave it out of the files")


def split(data: Tensor, labels: Tensor | None, test_share: float, name: str, classes: tuple[str, ...]) -> Dataset:
    """Cuts a test part off by a fixed shuffle, the same rows on every machine; vectors are standardised.

    One datum changes sides where a class would be in one part alone; a single one of its class is trained on.
    """
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(data)))
    apart = torch.arange(len(data)) >= len(data) - round(len(data) * test_share)
    if labels is not None:
        total, tested = (rows.bincount(minlength=len(classes)) for rows in (labels, labels[order[apart]]))
        for label in ((total > 0) & (tested == total) | (total > 1) & (tested == 0)).nonzero()[:, 0].tolist():
            places = (labels[order] == label).nonzero()[:, 0]
            apart[places[0] if tested[label] else places[-1]] = tested[label] == 0
    return cut(name, data, labels, classes, order[~apart], order[apart])


def in_parts(
    name: str, data: Tensor, labels: Tensor | None, classes: tuple[str, ...], apart: Tensor | None
) -> Dataset:
    """Training and test part of the user's data; vectors are standardised.

    Args:
        apart: (n,) bool, the test part, of which data without a label are left out where others have one; None cuts off
            a tenth of all, or a fifth of the labelled where others have no label.
    """
    if apart is None:
        if labels is None or (labels != UNKNOWN).all():
            return split(data, labels, 0.1, name, classes)
        apart = a_share_of_each_class(labels, 0.2)
    tested = apart if labels is None else apart & (labels != UNKNOWN)
    left = int(apart.sum() - tested.sum())
    if left and not tested.any():
        return replace(cut(name, data, labels, classes, ~apart, apart), test_labels=None)
    notes = (f"of the test part {left} have no label and are left out",) if left else ()
    return replace(cut(name, data, labels, classes, ~apart, tested), notes=notes)


def cut(
    name: str, data: Tensor, labels: Tensor | None, classes: tuple[str, ...], train: Tensor, test: Tensor
) -> Dataset:
    """The rows `train` and `test`, numbers or truth values; vectors are standardised by the former."""
    units = None
    if data.dim() == 2:
        data, units = standardise(data, data[train])
    of_train, of_test = (None, None) if labels is None else (labels[train], labels[test])
    return Dataset(name, data[train], data[test], of_train, of_test, classes, units=units)


def a_share_of_each_class(labels: Tensor, share: float) -> Tensor:
    """(n,) bool: a fixed random share of the labelled of each class, at least one of it but never all."""
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(labels)))
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels[labels != UNKNOWN].unique():
        own = order[labels[order] == label]
        chosen[own[: min(max(1, round(share * len(own))), len(own) - 1)]] = True
    return chosen


def never_changing(data: Tensor) -> Tensor:
    """Which columns of (n, D) float64 are one number up to rounding: (D,) bool."""
    return data.amax(0) - data.amin(0) <= ROUNDINGS * torch.finfo(data.dtype).eps * data.abs().amax(0)


def standardise(data: Tensor, train: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """(n, D) float64 as float32 with zero mean and unit variance in each column of `train`; constants are centred.

    Also the mean and the spread (D,) that did it, 0 of a constant.
    """
    constant = never_changing(train)  # whose computed mean may be another number
    mean, spread = train[0].where(constant, train.mean(0)), train.std(0, correction=0).where(~constant, 0)
    return standardised(data, mean, spread), (mean, spread)


def standardised(data: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
    """(n, D) as float32; a column that never changed in training, of spread 0, says nothing elsewhere either."""
    return (data - mean).mul_(torch.where(spread > 0, 1 / spread, 0)).float()
