"""What a density ratio is fitted on: real data, a frozen generator, and what else the user has."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.module import register_module_forward_pre_hook

from bayesgan.basics.arrays import refuse_not_finite
from bayesgan.basics.errors import InputError, warn
from bayesgan.basics.randomness import keyed_generator
from bayesgan.resampling.pool import chunks
from bayesgan.resampling.proposals import CallableProposal, LatentProposal
from bayesgan.resampling.ratio import scores

__all__ = ["CHUNK", "Task", "refuse_changing", "refuse_other_data", "refuse_strange_scores", "refuse_unlike",
           "refuse_unrepeated"]

CHUNK = 1000  # data looked at at a time
SCALES = ((-1, 1), (0, 1), (0, 255))  # of images of 8 bits
LOOKED_AT = 64  # generated data, before anything is fitted
PIXELS = 64  # numbers of a datum, from which levels of 8 bits are an image however it lies
MARGIN = 0.1  # of the real range, by which generated images may leave it


@dataclass(frozen=True)
class Task:
    """Real data against a generator.

    Attributes:
        generate: The frozen generator: generate(n, torch.Generator) -> data, or a `LatentProposal`.
        real: (m, ...) real data that ratios are fitted on.
        check: (c, ...) others, on which a fit is stopped.
        score: score(data) -> (n,) or (n, K), the user's discriminators; None without a usable one.
        kind: What a score is; see `log_odds`.
        features: features(data) -> (n, F), anything that tells data apart as people do; or None.
        seed: Of fits and of generated data.
    """

    generate: Callable[[int, torch.Generator], Tensor] | LatentProposal
    real: Tensor
    check: Tensor
    score: Callable[[Tensor], Tensor] | None
    kind: str
    features: Callable[[Tensor], Tensor] | None
    seed: int

    @cached_property
    def proposal(self) -> CallableProposal | LatentProposal:
        return self.generate if isinstance(self.generate, LatentProposal) else CallableProposal(self.generate)

    @property
    def images(self) -> bool:
        return self.real.dim() == 4

    @cached_property
    def scale(self) -> tuple[float, float] | None:
        """The values of black and white, where real data are images of 8 bits; None where they are not."""
        return scale_of(self.real) if self.images else None

    def as_stored(self, data: Tensor) -> Tensor:
        """Images rounded to 8 bits where real ones are: the grey levels between would tell generated ones apart.

        The gradient is that of the data.
        """
        if self.scale is None:
            return data
        low, high = self.scale
        step = (high - low) / 255
        rounded = ((data.detach() - low) / step).round().clamp(0, 255) * step + low
        return data + (rounded - data.detach())

    @torch.no_grad()
    def fakes(self, view: Callable[[Tensor], Tensor], n: int, role: str) -> Tensor:
        """view(data) of n generated data; InputError where it is not finite."""
        parts = chunks(self.proposal, n, CHUNK, self.seed, role)
        seen = torch.cat([view(self.proposal.decode(codes)) for codes, _ in parts])
        if not seen.isfinite().all():
            raise InputError("what a ratio looks at is NaN or infinite on some generated data; look at score and "
                             "features")
        return seen

    def some(self, most: int) -> Tensor:
        """At most so many of the real data to fit on, at random."""
        rows = torch.randperm(len(self.real), generator=keyed_generator(self.seed, "fitted on"))[:most]
        return self.real[rows.to(self.real.device)]

    def views(self, view: Callable[[Tensor], Tensor], data: Tensor, what: str) -> Tensor:
        """(n, F) view of all `data`, finite and not the same for all.

        Raises:
            ValueError: Otherwise.
        """
        with torch.no_grad():
            seen = torch.cat([self._rows(view(part), len(part), what) for part in data.split(CHUNK)])
        if not seen.isfinite().all():
            raise InputError(f"{what} are NaN or infinite on some real data; a ratio needs finite ones")
        if (seen == seen[0]).all():
            raise InputError(f"{what} are the same for all real data; they tell nothing apart, give others")
        return seen

    @staticmethod
    def _rows(seen: Tensor, count: int, what: str) -> Tensor:
        if seen.dim() == 0 or len(seen) != count:
            raise InputError(f"{what} have shape {tuple(seen.shape)} for {count} data; return one row a datum")
        return seen.reshape(count, -1).float()


def scale_of(data: Tensor) -> tuple[float, float] | None:
    """The values of black and white, where data are levels of 8 bits; None where they are not."""
    some = data[:CHUNK].double()
    for low, high in SCALES:
        levels = (some - low) / (high - low) * 255
        if levels.min() >= -1e-3 and levels.max() <= 255.001 and (levels - levels.round()).abs().max() < 1e-3:
            return low, high
    return None


@torch.no_grad()
def refuse_unrepeated(proposal: CallableProposal | LatentProposal, seed: int) -> Tensor:
    """Some generated data; InputError where a torch.Generator does not decide them."""
    in_training = set()

    def look_at(module: nn.Module, inputs: tuple) -> None:
        if module.training and isinstance(module, _BatchNorm):
            in_training.add(type(module).__name__)

    fake, again = (proposal.decode(proposal.draw(LOOKED_AT, keyed_generator(seed, "first look"))) for _ in range(2))
    with warnings.catch_warnings(), register_module_forward_pre_hook(look_at):
        warnings.filterwarnings("ignore", message="Using `torch.compile")  # which does not see the hook
        other = proposal.decode(proposal.draw(LOOKED_AT, keyed_generator(seed, "second look")))
    if in_training:
        warn(f"the generator's {min(in_training)} is in training mode: each sample depends on the others of its batch, "
             "and every call changes the statistics it keeps; call eval() on the network first")
    if close(fake, other):
        raise InputError("generate gives the same data for every torch.Generator; draw from the one it is given, "
                         "torch.randn(n, 64, generator=generator)")
    if not close(fake, again):
        raise InputError("generate gives other data for the same torch.Generator; draw everything from the one it is "
                         "given, torch.randn(n, 64, generator=generator), and put the network in eval mode")
    return fake


@torch.no_grad()
def refuse_other_data(proposal: CallableProposal | LatentProposal, real: Tensor, seed: int) -> torch.device:
    """Where data are generated; InputError where they are not repeated, or of another shape or range than real ones."""
    fake = refuse_unrepeated(proposal, seed)
    if fake.shape[1:] != real.shape[1:] or len(fake) != LOOKED_AT:
        raise InputError(f"generate({LOOKED_AT}, generator) gave data {tuple(fake.shape)} and real ones are "
                         f"{tuple(real.shape)}; bring both to one shape")
    refuse_not_finite(fake, "generated data", "look at the generator's weights")
    low, high = real.min().item(), real.max().item()
    allowed = MARGIN * (high - low)
    narrow = fake.max() - fake.min() < (high - low) / 20  # of 64 images: another scale, or a generator of one grey
    tenth = (high - low) / 10
    # as of images in [0, 1] among those in [-1, 1]: white, and nothing under the middle
    bright = fake.min() >= (low + high) / 2 - tenth / 5 and fake.max() >= high - tenth
    beyond = fake.min() < low - allowed or fake.max() > high + allowed
    pixels = real[0].numel() >= PIXELS and scale_of(real) is not None  # in rows: or a table of whole numbers
    if (real.dim() == 4 and (narrow or bright or beyond)) or (pixels and (narrow or bright)):
        raise InputError(f"generated images have values in {fake.min():.3g}..{fake.max():.3g} and real ones in "
                         f"{low:.3g}..{high:.3g}; scale both alike")
    return fake.device


def refuse_unlike(training: Tensor, data: Tensor) -> None:
    """Raises InputError for training data of another shape or on another scale than data (n, ...)."""
    if training.dim() == 0 or len(training) == 0 or training.shape[1:] != data.shape[1:]:
        raise InputError(f"training must hold data like the generator's, (m, {', '.join(map(str, data.shape[1:]))}), "
                         f"got {tuple(training.shape)}")
    if data.is_floating_point() and training.dtype == torch.uint8:
        raise InputError(f"training must be on the scale of the generator's {data.dtype}, got {training.dtype}; bring "
                         "both to one")


@torch.no_grad()
def refuse_strange_scores(score: Callable[[Tensor], Tensor], kind: str, real: Tensor) -> None:
    """InputError where a score is of another kind, random, changes with its batch, or is two classes of one network."""
    whole = scores(score, kind, real[:LOOKED_AT])
    if kind == "logit" and 0 <= whole.min() < whole.max() <= 1:
        warn(f"all scores of real data lie in {whole.min():.3g}..{whole.max():.3g}: if they are probabilities, after a "
             "sigmoid, give kind=\"probability\"")
    refuse_changing(score, real, "score is random", "scores depend")
    if whole.shape[1] == 2 and torch.corrcoef(whole.T)[0, 1] < -0.99:
        raise InputError("score gives two columns, one the other's opposite: [fake, real] of one discriminator; "
                         "return the difference of its logits, real - fake")


@torch.no_grad()
def refuse_changing(ask: Callable[[Tensor], Tensor], data: Tensor, random: str, depends: str) -> None:
    """Raises InputError where the answer on a datum is not always the same."""
    some, half = data[:LOOKED_AT], data[: max(1, min(LOOKED_AT, len(data)) // 2)]
    whole = ask(some)
    if not close(whole, ask(some)):
        raise InputError(f"{random}: the same data got two answers; call eval() on the network first")
    if whole.dim() > 0 and len(whole) == len(some) and not close(whole[: len(half)], ask(half)):
        raise InputError(f"{depends} on the other data of the batch, as with batch norm in training; call eval() on "
                         "the network first, or give None where that is how it is built")


def close(one: Tensor, other: Tensor) -> bool:
    """The same up to the rounding of another order of summing."""
    return one.shape == other.shape and torch.allclose(one.double(), other.double(), 1e-3, 1e-4, equal_nan=True)
