"""Better samples from a trained generator: draw more than needed, keep those that a calibrated discriminator believes."""

from collections.abc import Callable
from dataclasses import fields

import torch
from torch import Tensor

from bayesgan.basics.errors import InputError
from bayesgan.basics.randomness import keyed_generator
from bayesgan.resampling.calibration import LEAST, fit, log_odds
from bayesgan.resampling.diagnostics import Diagnostics, calibration_figures, nearest_distance
from bayesgan.resampling.proposals import CallableProposal, Codes, LatentProposal
from bayesgan.resampling.registry import RULES, Rule
from bayesgan.resampling.rules.latent import LatentRule, LatentSpace

__all__ = ["Resampler"]

KEPT = 2**28  # bytes of proposals held at once; beyond it they are drawn again, from the same random numbers
NEAREST = 1000  # outputs compared with the training data


class Resampler:
    """Outputs of any generator, picked by a density ratio.

    Proposals are drawn and scored in chunks; only their log ratios are held, and the winners are drawn again.

    Args:
        generate: generate(n, generator) -> data (n, ...) on any device, from that torch.Generator alone; or a
            `LatentProposal`, which the methods mala, hmc and langevin need.
        log_ratio: log_ratio(data (n, ...)) -> (n,): log p/q, real over generated density.
        method: A name in `RULES`: obrs, mh, drs, sir, isir, mala, hmc, langevin.
        budget: Proposals an output, K; for latent methods evaluations of generator and discriminator.
        chunk: Proposals drawn at a time.
        training: (m, ...) the training data, for the distance of outputs to it; not needed otherwise.
        settings: Fields of the method, such as start="real" for mh.

    Attributes:
        diagnostics: Of the last `sample`.

    Raises:
        ValueError: For an unknown method or setting, or a budget below 1.
    """

    def __init__(
        self,
        generate: Callable[[int, torch.Generator], Tensor] | LatentProposal,
        log_ratio: Callable[[Tensor], Tensor],
        method: str = "obrs",
        budget: int = 100,
        *,
        chunk: int = 4096,
        training: Tensor | None = None,
        **settings,
    ):
        if budget < 1:
            raise InputError(f"budget must be at least 1 proposal an output, got {budget}")
        if chunk < 1:
            raise InputError(f"chunk must be at least 1 proposal, got {chunk}")
        kind = RULES[method]
        if unknown := set(settings) - {field.name for field in fields(kind)}:
            raise InputError(f"method {method} has no setting {sorted(unknown)[0]!r}; it has: "
                             f"{', '.join(field.name for field in fields(kind)) or 'none'}")
        self.rule: Rule | LatentRule = kind(**settings)
        self.proposal = generate if isinstance(generate, LatentProposal) else CallableProposal(generate)
        if isinstance(self.rule, LatentRule) and not isinstance(generate, LatentProposal):
            raise InputError(f"method {method} moves in the latent space and generate is only a callable; give a "
                             "LatentProposal, or use obrs")
        self.log_ratio, self.method, self.budget, self.chunk, self.training = log_ratio, method, budget, chunk, training
        self.diagnostics: Diagnostics | None = None
        self._held_out: tuple[Tensor, Tensor, Tensor, Tensor, int | None] | None = None  # see calibrated
        self._real_log_w: Tensor | None = None
        self._real: Tensor | None = None

    @classmethod
    def calibrated(
        cls,
        generate: Callable[[int, torch.Generator], Tensor] | LatentProposal,
        score: Callable[[Tensor], Tensor],
        real: Tensor,
        *,
        kind: str = "logit",
        calibration: str = "platt",
        seed: int = 0,
        training: Tensor | None = None,
        **options,
    ) -> "Resampler":
        """A resampler whose ratio is a discriminator's score, calibrated on real data it was not trained on.

        Half of `real` fits the calibration, the other half measures it.

        Args:
            score: score(data (n, ...)) -> (n,) of one discriminator, or (n, K) of several, in eval mode.
            real: (n, ...) held out from all training of generator and discriminators.
            kind: What a score is: logit, probability, least_squares or wasserstein.
            calibration: platt, isotonic, beta, vector or none.
            seed: Of the generated half of the calibration data.
            training: The training data; checked to share nothing with `real`.
            options: As of `Resampler`.

        Raises:
            ValueError: If `real` is too small or overlaps `training`, or scores are constant, NaN or of another length.
        """
        if len(real) < 2 * LEAST:
            raise InputError(f"real must hold at least {2 * LEAST} data to calibrate and to check, got {len(real)}; hold out more")
        if training is not None and (shared := overlap(real, training)):
            raise InputError(f"{shared} of {len(real)} held-out data are in the training data too; a calibration on data "
                             "that the discriminator has seen is wrong, hold out others")
        resampler = cls(generate, lambda data: data, training=training, **options)
        order = torch.randperm(len(real), generator=keyed_generator(seed, "split"))
        real = real[order.to(real.device)]

        def scores(data: Tensor) -> Tensor:
            return log_odds(checked(score(data), len(data)).reshape(len(data), -1), kind)  # (n, K)

        with torch.no_grad():
            of_real = torch.cat([scores(part) for part in real.split(resampler.chunk)])
            of_fake = torch.cat([
                scores(resampler.proposal.decode(codes)) for codes, _ in resampler._chunks(len(real), seed, "calibration")
            ])
        half = len(real) // 2
        ratio = fit(calibration, of_real[:half], of_fake[:half], kind)
        resampler.log_ratio = lambda data: ratio(scores(data))
        resampler._held_out = (of_real[half:], of_fake[half:], ratio(of_real[half:]), ratio(of_fake[half:]),
                               None if calibration == "none" else 2 * half)
        resampler._real_log_w, resampler._real = resampler._held_out[2], real
        return resampler

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """n outputs; `diagnostics` then tells what happened.

        Args:
            n: >= 1.
            seed: The same seed and settings give the same outputs.

        Returns:
            (n, ...) as `generate` makes them; never real data.

        Raises:
            ValueError: If n < 1, ratios are NaN or of another length, or the rule cannot fill n (see its message).
        """
        if n < 1:
            raise InputError(f"n must be at least 1, got {n}")
        self.diagnostics = Diagnostics(n, self.budget, self.method)
        if isinstance(self.rule, LatentRule):
            codes = self._walk(n, seed)
            with torch.no_grad():
                data = torch.cat([self.proposal.decode(codes.rows(slice(i, i + self.chunk))) for i in range(0, n, self.chunk)])
        else:
            data = self._pick(n, seed)
        self._measure(data)
        return data

    def _chunks(self, total: int, seed: int, role: str):
        """(codes, first position) of `total` proposals; the same at every call."""
        for first in range(0, total, self.chunk):
            count = min(self.chunk, total - first)
            yield self.proposal.draw(count, keyed_generator(seed, role, first)), first

    @torch.no_grad()
    def _pick(self, n: int, seed: int) -> Tensor:
        total = self.rule.pool(n, self.budget)
        parts, members, kept, fits = [], [], [], True
        for codes, first in self._chunks(total, seed, "proposals"):
            data = self.proposal.decode(codes)
            parts.append(self._ratio(data).double().cpu())
            if codes.members is not None:
                members.append(codes.members.cpu())
            fits = fits and data[0].numel() * data.element_size() * total <= KEPT
            if fits:
                kept.append(data)
        log_w = torch.cat(parts)
        source = keyed_generator(seed, "selection")
        real = None
        if self.rule.wants_real:
            if self._real_log_w is None:
                raise InputError("start real needs the scores of held-out real data; make the resampler with "
                                 "Resampler.calibrated, or use start generator")
            real = self._real_log_w.cpu()[torch.randint(len(self._real_log_w), (n,), generator=source)]
        selection = self.rule.select(log_w, n, source, real)
        picked = selection.picked
        result = self.diagnostics
        result.of_pool(log_w)
        result.duplicates = 1 - len(picked.unique()) / n
        result.never_moved = None if selection.moved is None else 1 - selection.moved.double().mean().item()
        if members:
            self._shares(torch.cat(members), torch.cat(members)[picked])
        if kept:
            return torch.cat(kept)[picked.to(kept[0].device)]
        rows, data = picked.argsort(), []
        ends = torch.searchsorted(picked[rows], torch.arange(0, total, self.chunk) + self.chunk).tolist()
        for (codes, first), begin, end in zip(self._chunks(total, seed, "proposals"), [0, *ends], ends):
            if end > begin:
                wanted = picked[rows[begin:end]] - first
                data.append(self.proposal.decode(codes.rows(wanted.to(codes.values.device))))
        return torch.cat(data)[rows.argsort().to(data[0].device)]

    def _walk(self, n: int, seed: int) -> Codes:
        space, ends, starts, moved, moves = LatentSpace(self.proposal, self._ratio), [], [], [], {}
        for first in range(0, n, self.chunk):
            count = min(self.chunk, n - first)
            walk, went, rates = self.rule.run(space, count, self.budget, keyed_generator(seed, "walk", first))
            ends.append(walk.codes)
            starts.append(self.proposal.draw(count, keyed_generator(seed, "walk", first)).members)
            moved.append(went)
            moves = {kind: moves.get(kind, 0.0) + rate * count / n for kind, rate in rates.items()}
        self.diagnostics.moves = moves
        self.diagnostics.never_moved = 1 - torch.cat(moved).double().mean().item()
        codes = Codes(torch.cat([end.values for end in ends]), torch.cat([end.members for end in ends]))
        self._shares(torch.cat(starts), codes.members)
        return codes

    def _ratio(self, data: Tensor) -> Tensor:
        """log_ratio as (n,)."""
        values = checked(self.log_ratio(data), len(data))
        if values.numel() != len(data):
            raise InputError(f"log_ratio must return one number a datum, got {tuple(values.shape)} for {len(data)}")
        return values.reshape(len(data))

    def _shares(self, before: Tensor, after: Tensor) -> None:
        members = len(self.proposal.weights)
        self.diagnostics.member_shares = [
            (part.bincount(minlength=members).double() / len(part)).tolist() for part in (before, after)
        ]

    def _measure(self, data: Tensor) -> None:
        result = self.diagnostics
        if self._held_out is not None:
            real, fake, real_ratio, fake_ratio, fitted_on = self._held_out
            labels = torch.cat([torch.ones(len(real)), torch.zeros(len(fake))])
            scores = torch.cat([real, fake])
            result.held_out(real_ratio.detach(), fake_ratio.detach())
            result.before = calibration_figures(scores.mean(1), labels)
            result.after = calibration_figures(torch.cat([real_ratio, fake_ratio]).detach(), labels, fitted_on)
            result.z_members = [calibration_figures(column, labels).z for column in scores.unbind(1)]
        if self.training is not None:
            result.nearest = nearest_distance(data[:NEAREST], self.training.to(data.device))
            if self._real is not None:
                result.nearest_real = nearest_distance(self._real[:NEAREST].to(data.device), self.training.to(data.device))
        result.conclude()

    def held_out_scores(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Log odds of held-out real and of generated data, before and after calibration; for `ratio_figure`."""
        if self._held_out is None:
            raise InputError("a ratio given as it is was not calibrated here; make the resampler with Resampler.calibrated")
        real, fake, real_ratio, fake_ratio, _ = (part.detach().cpu() if torch.is_tensor(part) else part for part in self._held_out)
        return {"averaged score": (real.mean(1), fake.mean(1)), "calibrated ratio": (real_ratio, fake_ratio)}

    def with_method(self, method: str, budget: int | None = None, **settings) -> "Resampler":
        """The same generator, ratio and calibration under another rule or budget."""
        other = Resampler(self.proposal if isinstance(self.proposal, LatentProposal) else self.proposal.generate,
                          self.log_ratio, method, self.budget if budget is None else budget, chunk=self.chunk, training=self.training, **settings)
        other._held_out, other._real_log_w, other._real = self._held_out, self._real_log_w, self._real
        return other


def checked(values: Tensor, count: int) -> Tensor:
    """Scores of `count` data, float, one row a datum.

    Raises:
        ValueError: If there are more or fewer, or some are NaN.
    """
    if values.dim() == 0 or len(values) != count:
        raise InputError(f"{count} data were scored with {tuple(values.shape)} scores; return one a datum")
    if values.isnan().any():
        raise InputError(f"{int(values.isnan().sum())} of {values.numel()} scores are NaN; the discriminator is broken there")
    return values


def overlap(real: Tensor, training: Tensor) -> int:
    """How many rows of `real` are, bit for bit, in `training`.

    Raises:
        ValueError: If they are not of one type, so that equal data would not be equal bits.
    """
    if real.dtype != training.dtype or real.shape[1:] != training.shape[1:]:
        raise InputError(f"real and training must be data of one kind, got {real.dtype} {tuple(real.shape[1:])} and "
                         f"{training.dtype} {tuple(training.shape[1:])}; convert one of them")
    rows = lambda data: [row.tobytes() for row in data.detach().cpu().flatten(1).contiguous().numpy()]  # noqa: E731
    known = set(rows(training))
    return sum(row in known for row in rows(real))
