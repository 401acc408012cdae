"""What a density ratio is fitted on: real data, a frozen generator, and what else the user has."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from bayesgan.basics.errors import InputError
from bayesgan.basics.randomness import keyed_generator
from bayesgan.resampling.pool import chunks
from bayesgan.resampling.proposals import CallableProposal, LatentProposal

__all__ = ["CHUNK", "Task"]

CHUNK = 1000  # data looked at at a time
SCALES = ((-1, 1), (0, 1), (0, 255))  # of images of 8 bits
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
        some = self.real[:CHUNK].double()
        for low, high in SCALES if self.images else ():
            levels = (some - low) / (high - low) * 255
            if levels.min() >= -1e-3 and levels.max() <= 255.001 and (levels - levels.round()).abs().max() < 1e-3:
                return low, high
        return None

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
        """view(data) of n generated data."""
        parts = chunks(self.proposal, n, CHUNK, self.seed, role)
        return torch.cat([view(self.proposal.decode(codes)) for codes, _ in parts])

    @torch.no_grad()
    def refuse_other_data(self, real: Tensor) -> None:
        """Raises InputError where generated data are not of the shape or, for images, range of `real` (m, ...)."""
        fake = self.proposal.decode(self.proposal.draw(64, keyed_generator(self.seed, "first look")))
        if fake.shape[1:] != real.shape[1:]:
            raise InputError(f"the generator makes data of shape {tuple(fake.shape[1:])} and real ones have "
                             f"{tuple(real.shape[1:])}; bring both to one shape")
        if not fake.isfinite().all():
            raise InputError("the generator makes NaN or infinity; look at its weights")
        low, high = real.min().item(), real.max().item()
        allowed = MARGIN * (high - low)
        if real.dim() == 4 and (fake.min() < low - allowed or fake.max() > high + allowed):
            raise InputError(f"generated images have values in {fake.min():.3g}..{fake.max():.3g} and real ones in "
                             f"{low:.3g}..{high:.3g}; scale both alike")

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
