"""The density ratio of real over generated data, from a discriminator's score; with what it was measured on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bayesgan.basics.arrays import as_real, data_of
from bayesgan.basics.errors import InputError, refuse_count
from bayesgan.basics.randomness import keyed_generator
from bayesgan.resampling.calibration import LEAST, Calibrated, fit, log_odds, slope_interval
from bayesgan.resampling.pool import chunks
from bayesgan.resampling.proposals import CallableProposal, LatentProposal

__all__ = ["DensityRatio", "HeldOut", "checked", "refuse_overlap"]


@dataclass(frozen=True)
class HeldOut:
    """What a ratio says of data it was not fitted to.

    Attributes:
        real, fake: Scores of real (m, K) and of generated data (m, K), as log odds.
        real_log_w, fake_log_w: Their log ratios, (m,).
        fitted_on: Size of the data that the calibration was fitted on; None without one.
        slope: Of a platt calibration on all held-out data, with its 5 % and 95 % bootstrap quantiles; else None.
    """

    real: Tensor
    fake: Tensor
    real_log_w: Tensor
    fake_log_w: Tensor
    fitted_on: int | None
    slope: tuple[float, float, float] | None = None

    @property
    def separated(self) -> float:
        """Share of the real data whose ratio is beyond the 99.9 % quantile of the generated ones'."""
        return (self.real_log_w > self.fake_log_w.quantile(0.999)).double().mean().item()


class DensityRatio:
    """log p/q: data (n, ...) -> (n,) float64, real over generated density. Made by `fit`.

    Attributes:
        real: (m, ...) the real data of the fit and of the check, in the order they were used.
        held_out: What it says of the half that it was not fitted to.
    """

    def __init__(
        self, score: Callable[[Tensor], Tensor], kind: str, calibrated: Calibrated, real: Tensor, held_out: HeldOut
    ):
        self._score, self._kind, self._calibrated = score, kind, calibrated
        self.real, self.held_out = real, held_out

    def __call__(self, data: Tensor) -> Tensor:
        return self._calibrated(scores(self._score, self._kind, data))

    @classmethod
    def fit(
        cls,
        score: Callable[[Tensor], Tensor],
        real: Tensor,
        proposal: Callable[[int, torch.Generator], Tensor] | LatentProposal,
        *,
        kind: str = "logit",
        calibration: str = "platt",
        seed: int = 0,
        training: Tensor | None = None,
        chunk: int = 4096,
    ) -> "DensityRatio":
        """A discriminator's score, calibrated on real data it was not trained on against as many generated ones.

        Half of `real` fits a calibration, which the other half measures; then all of it fits the one that is used.

        Args:
            score: score(data (n, ...)) -> (n,) of one discriminator, or (n, K) of several, in eval mode.
            real: (m, ...) held out from all training of generator and discriminators.
            proposal: generate(n, generator) -> data, or a `LatentProposal`.
            kind: What a score is: logit, probability, least_squares (targets 1 and 0), least_squares_signed (1 and -1)
                or wasserstein; see `log_odds`.
            calibration: platt, isotonic, beta, vector or none.
            seed: Of the split and of the generated data.
            training: The training data; checked to share nothing with `real`.
            chunk: Data scored at a time.

        Raises:
            ValueError: If `real` is too small or overlaps `training`, scores are constant, NaN or of another length,
                or chunk is below 1.
        """
        refuse_count(chunk, "chunk", "datum")
        real = data_of(real, "real")
        if len(real) < 2 * LEAST:
            raise InputError(f"real must hold at least {2 * LEAST} data to calibrate and to check, got {len(real)}; "
                             "hold out more")
        if training is not None:
            refuse_overlap(real, data_of(training, "training"))
        if not isinstance(proposal, LatentProposal):
            proposal = CallableProposal(proposal)
        order = torch.randperm(len(real), generator=keyed_generator(seed, "split"))
        real = real[order.to(real.device)]
        with torch.no_grad():
            of_real = torch.cat([scores(score, kind, part) for part in real.split(chunk)])
            of_fake = torch.cat([scores(score, kind, proposal.decode(codes))
                                 for codes, _ in chunks(proposal, len(real), chunk, seed, "calibration")])
        half = len(real) // 2
        calibrated = fit(calibration, of_real[:half], of_fake[:half], kind)
        held_out = HeldOut(
            of_real[half:], of_fake[half:], calibrated(of_real[half:]).detach(), calibrated(of_fake[half:]).detach(),
            None if calibration == "none" else 2 * half,
            slope_interval(of_real, of_fake, seed) if calibration == "platt" else None,
        )
        return cls(score, kind, fit(calibration, of_real, of_fake, kind), real, held_out)

    def held_out_scores(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Log odds of held-out real and of generated data, before and after calibration; for `ratio_figure`."""
        held = self.held_out
        return {"averaged score": (held.real.mean(1).cpu(), held.fake.mean(1).cpu()),
                "calibrated ratio": (held.real_log_w.cpu(), held.fake_log_w.cpu())}


def scores(score: Callable[[Tensor], Tensor], kind: str, data: Tensor) -> Tensor:
    """A score as log odds, one column a discriminator: (n, K) float64."""
    values = checked(score(data), len(data)).reshape(len(data), -1)
    if values.isinf().any():
        raise InputError(f"{int(values.isinf().sum())} of {values.numel()} scores are infinite; return logits, not the "
                         "logarithm of a probability that rounds to 0 or 1")
    return log_odds(values, kind)


def checked(values: Tensor, count: int) -> Tensor:
    """Scores of `count` data, one row a datum; numpy's arrays become tensors.

    Raises:
        ValueError: If there are more or fewer, or some are NaN.
    """
    values = as_real(values, "scores")
    if values.dim() == 0 or len(values) != count:
        raise InputError(f"{count} data were scored with {tuple(values.shape)} scores; return one a datum")
    if values.isnan().any():
        raise InputError(f"{int(values.isnan().sum())} of {values.numel()} scores are NaN; the discriminator is broken "
                         "there")
    return values


def refuse_overlap(real: Tensor, training: Tensor) -> None:
    """Raises InputError if held-out data are among the training data, or cannot be compared with them."""
    shared = overlap(real, training)
    if shared:
        raise InputError(f"{shared} of {len(real)} held-out data are in the training data too; a calibration on data "
                         "that the discriminator has seen is wrong, hold out others")


def overlap(real: Tensor, training: Tensor) -> int:
    """How many rows of `real` are, bit for bit, in `training`.

    Raises:
        ValueError: If they are not of one type, so that equal data would not be equal bits.
    """
    if real.dtype != training.dtype or real.shape[1:] != training.shape[1:]:
        raise InputError(f"real and training must be data of one kind, got {real.dtype} {tuple(real.shape[1:])} and "
                         f"{training.dtype} {tuple(training.shape[1:])}; convert one of them")
    known = set(as_bytes(training))
    return sum(row in known for row in as_bytes(real))


def as_bytes(data: Tensor) -> Iterator[bytes]:
    """Each row's bits."""
    return (row.tobytes() for row in data.detach().cpu().flatten(1).contiguous().view(torch.uint8).numpy())
