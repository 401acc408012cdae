"""Better samples from a trained generator: draw more than needed, keep what a calibrated discriminator believes."""

from collections.abc import Callable
from dataclasses import fields

import torch
from torch import Tensor

from bayesgan.basics.errors import InputError
from bayesgan.basics.randomness import keyed_generator
from bayesgan.resampling.diagnostics import Diagnostics, nearest_distance
from bayesgan.resampling.pool import Pool
from bayesgan.resampling.proposals import CallableProposal, Codes, LatentProposal
from bayesgan.resampling.ratio import DensityRatio, checked
from bayesgan.resampling.registry import RULES, Rule
from bayesgan.resampling.rules.latent import LatentRule, LatentSpace

__all__ = ["Resampler"]

NEAREST = 1000  # outputs compared with the training data


class Resampler:
    """Outputs of any generator, picked by a density ratio.

    Proposals are drawn and scored in chunks; only their log ratios are held, and the winners are drawn again.

    Args:
        generate: generate(n, generator) -> data (n, ...) on any device, from that torch.Generator alone; or a
            `LatentProposal`, which the methods mala, hmc and langevin need.
        log_ratio: log_ratio(data (n, ...)) -> (n,): log p/q, real over generated density. A `DensityRatio` also brings
            the figures it was checked with.
        method: A name in `RULES`: obrs, mh, drs, sir, isir, mala, hmc, langevin.
        budget: Proposals an output, K; for latent methods evaluations of generator and discriminator.
        chunk: Proposals drawn at a time.
        training: (m, ...) the training data, for the distance of outputs to it; not needed otherwise. The distance of
            held-out data, to compare with, takes a `DensityRatio`, which keeps its real data.
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
        names = [field.name for field in fields(kind)]
        unknown = sorted(set(settings) - set(names))
        if unknown:
            raise InputError(f"method {method} has no setting {unknown[0]!r}; it has: {', '.join(names) or 'none'}")
        self.rule: Rule | LatentRule = kind(**settings)
        self.generate = generate
        self.proposal = generate if isinstance(generate, LatentProposal) else CallableProposal(generate)
        if isinstance(self.rule, LatentRule) and not isinstance(generate, LatentProposal):
            raise InputError(f"method {method} moves in the latent space and generate is only a callable; give a "
                             "LatentProposal, or use obrs")
        self.log_ratio, self.method, self.budget = log_ratio, method, budget
        self.chunk, self.training = chunk, training
        self.diagnostics: Diagnostics | None = None

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
        chunk: int = 4096,
        **options,
    ) -> "Resampler":
        """A resampler whose ratio is a discriminator's score, calibrated on real data it was not trained on.

        Args:
            score, real, kind, calibration, seed, training: As of `DensityRatio.fit`.
            chunk, options: As of `Resampler`.

        Raises:
            ValueError: As both do.
        """
        cls(generate, score, chunk=chunk, **options)  # refuses wrong options before a fit that may take long
        ratio = DensityRatio.fit(score, real, generate, kind=kind, calibration=calibration, seed=seed,
                                 training=training, chunk=chunk)
        return cls(generate, ratio, chunk=chunk, training=training, **options)

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
                starts = range(0, n, self.chunk)
                data = torch.cat([self.proposal.decode(codes.rows(slice(i, i + self.chunk))) for i in starts])
        else:
            data = self._pick(n, seed)
        self._measure(data)
        return data

    @torch.no_grad()
    def _pick(self, n: int, seed: int) -> Tensor:
        pool = Pool(self.proposal, self._ratio, self.rule.pool(n, self.budget), self.chunk, seed)
        source = keyed_generator(seed, "selection")
        real = self._real_starts(n, source) if self.rule.wants_real else None
        selection = self.rule.select(pool.log_w, n, source, real)
        result = self.diagnostics
        result.of_pool(pool.log_w)
        result.duplicates = 1 - len(selection.picked.unique()) / n
        if selection.moved is not None:
            result.never_moved = 1 - selection.moved.double().mean().item()
        if pool.members is not None:
            self._shares(pool.members, pool.members[selection.picked])
        return pool.take(selection.picked)

    def _real_starts(self, n: int, source: torch.Generator) -> Tensor:
        """Log ratios (n,) of random held-out real data, from which chains may start."""
        if not isinstance(self.log_ratio, DensityRatio):
            raise InputError("start real needs the scores of held-out real data; make the resampler with "
                             "Resampler.calibrated, or use start generator")
        log_w = self.log_ratio.held_out.real_log_w.cpu()
        return log_w[torch.randint(len(log_w), (n,), generator=source)]

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
        result, ratio = self.diagnostics, self.log_ratio
        if isinstance(ratio, DensityRatio):
            result.of_ratio(ratio.held_out)
        if self.training is not None:
            training = self.training.to(data.device)
            result.nearest = nearest_distance(data[:NEAREST], training)
            if isinstance(ratio, DensityRatio):
                result.nearest_real = nearest_distance(ratio.real[:NEAREST].to(data.device), training)
        result.conclude()

    def held_out_scores(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Log odds of held-out real and of generated data, before and after calibration; for `ratio_figure`."""
        if not isinstance(self.log_ratio, DensityRatio):
            raise InputError("a ratio given as it is was not calibrated here; make the resampler with "
                             "Resampler.calibrated")
        return self.log_ratio.held_out_scores()

    def with_method(self, method: str, budget: int | None = None, **settings) -> "Resampler":
        """The same generator and ratio under another rule or budget."""
        return Resampler(self.generate, self.log_ratio, method, self.budget if budget is None else budget,
                         chunk=self.chunk, training=self.training, **settings)
