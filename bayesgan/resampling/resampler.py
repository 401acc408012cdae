"""Better samples from a trained generator: draw more than needed, keep what a calibrated discriminator believes."""

from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial

import torch
from torch import Tensor

from bayesgan.basics.arrays import as_real, data_of
from bayesgan.basics.errors import InputError, reason, refuse_count, refuse_no_function
from bayesgan.basics.randomness import keyed_generator
from bayesgan.resampling.calibration import CALIBRATIONS
from bayesgan.resampling.diagnostics import Diagnostics, nearest_distance
from bayesgan.resampling.guard import LEAST_JUDGED, PLAIN, Expected, Guard, choose
from bayesgan.resampling.pool import Pool
from bayesgan.resampling.proposals import CallableProposal, Codes, LatentProposal
from bayesgan.resampling.ratio import DensityRatio, as_bytes, checked, refuse_overlap
from bayesgan.resampling.ratios.fitting import AUTO, fit_ratios
from bayesgan.resampling.ratios.task import (
    Task,
    refuse_other_data,
    refuse_strange_scores,
    refuse_unlike,
    refuse_unrepeated,
)
from bayesgan.resampling.registry import RULES, Ratio, Rule
from bayesgan.resampling.rules.latent import LatentRule, LatentSpace

__all__ = ["Resampler", "judged_resampler", "usual_budget"]

JUDGED_SEED = 2**40  # beyond what people give
NEAREST = 1000  # outputs compared with the training data


class Resampler:
    """Outputs of any generator, picked by a density ratio.

    Proposals are drawn and scored in chunks; only their log ratios are held, and the winners are drawn again.

    Args:
        generate: generate(n, generator) -> data (n, ...) on any device, from that torch.Generator alone; or a
            `LatentProposal`, which the methods mala, hmc, langevin and flow need.
        log_ratio: log_ratio(data (n, ...)) -> (n,): log p/q, real over generated density. A `DensityRatio` also brings
            the figures it was checked with.
        method: A name in `RULES`: obrs, mh, drs, sir, isir, mala, hmc, langevin, flow.
        budget: Proposals an output, K; for latent methods evaluations of generator and discriminator.
        chunk: Proposals drawn at a time.
        training: (m, ...) the training data, for the distance of outputs to it; not needed otherwise. The distance of
            held-out data, to compare with, takes a `DensityRatio`, which keeps its real data.
        settings: Fields of the method, such as start="real" for mh.

    Attributes:
        diagnostics: Of the last `sample`.
        expected: What the ratio is worth under this method and budget, where `calibrated` measured it; else None.
        judged: The ratio was found to help there, perhaps under another method or budget.

    Raises:
        ValueError: For an unknown method or setting, or a budget below 1.
    """

    expected: Expected | None = None
    judged = False

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
        refuse_count(budget, "budget", "proposal an output")
        refuse_count(chunk, "chunk", "proposal")
        kind = RULES[method]
        names = [field.name for field in fields(kind)]
        unknown = sorted(set(settings) - set(names))
        if unknown:
            raise InputError(f"method {method} has no setting {unknown[0]!r}; it has: {', '.join(names) or 'none'}")
        try:
            self.rule: Rule | LatentRule = kind(**settings)
        except TypeError as error:
            told = ", ".join(f"{name}={value!r}" for name, value in settings.items())
            raise InputError(f"a setting of method {method} is of the wrong type, got {told} ({reason(error)}); the "
                             f"usual is {kind()}") from error
        refuse_no_function(log_ratio, "log_ratio", "log_ratio(data) -> (n,)")
        self.generate = generate
        self.proposal = generate if isinstance(generate, LatentProposal) else CallableProposal(generate)
        if isinstance(self.rule, LatentRule) and not isinstance(generate, LatentProposal):
            raise InputError(f"method {method} moves in the latent space and generate is only a callable; give a "
                             "bayesgan.resampling.LatentProposal, or use obrs")
        self.log_ratio, self.method, self.budget = log_ratio, method, budget
        self.chunk, self.training = chunk, None if training is None else data_of(training, "training")
        self.diagnostics: Diagnostics | None = None
        self._repeats = False  # whether a callable was seen to give the same data for the same torch.Generator

    @classmethod
    def calibrated(
        cls,
        generate: Callable[[int, torch.Generator], Tensor] | LatentProposal,
        score: Callable[[Tensor], Tensor] | None,
        real: Tensor,
        *,
        ratio: str | Ratio = "auto",
        features: Callable[[Tensor], Tensor] | None = None,
        training: Tensor | None = None,
        kind: str = "logit",
        calibration: str = "platt",
        method: str = "obrs",
        budget: int | None = None,
        seed: int = 0,
        chunk: int = 4096,
        **settings,
    ) -> "Resampler":
        """A resampler whose ratio is fitted and calibrated here, and judged by the samples it leads to.

        Half of `real` fits and calibrates ratios, a quarter chooses among them, a quarter measures the one that is
        used. `expected` then says what was found. With fewer than 80 real data a ratio that is named is used unjudged.

        Args:
            score: score(data (n, ...)) -> (n,) of one discriminator, or (n, K) of several, in eval mode; None where
                there is none.
            real: (m, ...) held out from all training of generator and discriminators: an array, a pair with labels, a
                TensorDataset or a DataLoader.
            ratio: A name in `RATIOS`, or one of its classes with settings; auto tries all that can be fitted, and
                samples plainly if none of them makes samples better for certain.
            features: features(data (n, ...)) -> (n, F), for ratio features; for example a classifier's last layer.
            training: (m, ...) the training data, which ratios are then fitted on; checked to share nothing with `real`.
            kind, calibration: As of `DensityRatio.fit`.
            budget: Default 20 for images, 100 for vectors.
            seed: Of parts, fits and generated data.
            method, chunk, settings: As of `Resampler`.

        Raises:
            ValueError: If `real` is too small for what is asked or overlaps `training`, generated data are of another
                shape or range, a ratio cannot be fitted to what is given, or as the others do.
        """
        real = data_of(real, "real")
        if training is not None:
            training = data_of(training, "training")
            refuse_overlap(real, training)
        return judged_resampler(
            generate, score, real, ratio=ratio, features=features, training=training, kind=kind,
            calibration=calibration, method=method, budget=budget, seed=seed, chunk=chunk, **settings,
        )

    def __repr__(self) -> str:
        ratio = self.expected.ratio if self.expected is not None else type(self.log_ratio).__name__
        found = f"; {self.expected.words}" if self.expected is not None else ""
        return f"Resampler({self.method}, budget {self.budget}, ratio {ratio}{found})"

    def pool(self, n: int, seed: int = 0) -> Pool | None:
        """The proposals of `sample`, for several ratios and rules; None where a rule makes its own as it goes."""
        if isinstance(self.rule, LatentRule):
            return None
        return Pool(self.proposal, self.rule.pool(n, self.budget), self.chunk, seed)

    def sample(self, n: int, seed: int = 0, pool: Pool | None = None) -> Tensor:
        """n outputs; `diagnostics` then tells what happened.

        Args:
            n: >= 1.
            seed: The same seed and settings give the same outputs.
            pool: What `pool(n, seed)` of a resampler with this generator, n and budget gave: drawn once, used again.

        Returns:
            (n, ...) as `generate` makes them; never real data.

        Raises:
            ValueError: If n < 1, ratios are NaN or of another length, or the rule cannot fill n (see its message).
        """
        refuse_count(n)
        self.diagnostics = Diagnostics(n, self.budget, self.method, expected=self.expected, judged=self.judged)
        if isinstance(self.rule, LatentRule):
            codes = self._walk(n, seed)
            with torch.no_grad():
                starts = range(0, n, self.chunk)
                data = torch.cat([self.proposal.decode(codes.rows(slice(i, i + self.chunk))) for i in starts])
        else:
            if isinstance(self.proposal, CallableProposal) and not self._repeats:
                refuse_unrepeated(self.proposal, seed)  # a large pool is drawn again
                self._repeats = True
            data = self._pick(n, seed, pool or self.pool(n, seed))
        self.diagnostics.duplicates = 1 - len(set(map(hash, as_bytes(data)))) / n
        self._measure(data)
        return data

    @torch.no_grad()
    def _pick(self, n: int, seed: int, pool: Pool) -> Tensor:
        log_w = pool.log_w(self._ratio)
        source = keyed_generator(seed, "selection")
        real = self._real_starts(n, source) if self.rule.wants_real else None
        selection = self.rule.select(log_w, n, source, real)
        result = self.diagnostics
        result.of_pool(log_w)
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
        held_out = self.log_ratio.real[len(self.log_ratio.real) // 2 :]
        log_w = torch.cat([self._ratio(part) for part in held_out.split(self.chunk)]).cpu()
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
        if (values == torch.inf).any():
            raise InputError(f"{int((values == torch.inf).sum())} of {len(data)} log ratios are infinite; return "
                             "logits, not the logarithm of a probability that rounds to 1")
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
            refuse_unlike(self.training, data)
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

    @property
    def plain(self) -> bool:
        """Samples are given as they are, since `calibrated` found no ratio that helps."""
        return self.expected is not None and self.expected.plain

    def with_method(self, method: str, budget: int | None = None, **settings) -> "Resampler":
        """The same generator and ratio under another rule or budget, which nobody has judged.

        Raises:
            ValueError: If no ratio is used, since none helps.
        """
        if self.plain:
            raise InputError("samples are plain, no ratio helps: there is nothing to select by; name a ratio to "
                             "Resampler.calibrated, or call it with the other method")
        other = Resampler(self.generate, self.log_ratio, method, self.budget if budget is None else budget,
                          chunk=self.chunk, training=self.training, **settings)
        other.judged = self.judged
        return other


def no_preference(data: Tensor) -> Tensor:
    """The log ratio of plain samples."""
    return torch.zeros(len(data))


def tensor_of(function: Callable, name: str, data: Tensor) -> Tensor:
    """What a user's function says of data, which may be a numpy array."""
    return as_real(function(data), name)


def usual_budget(shape: tuple[int, ...]) -> int:
    """Proposals an output for data of this shape: 20 for images, where more buy precision with recall; else 100."""
    return 20 if len(shape) == 3 else 100


@torch.no_grad()
def judged_resampler(
    generate: Callable[[int, torch.Generator], Tensor] | LatentProposal,
    score: Callable[[Tensor], Tensor] | None,
    real: Tensor,
    *,
    ratio: str | Ratio,
    features: Callable[[Tensor], Tensor] | None,
    training: Tensor | None,
    kind: str,
    calibration: str,
    method: str,
    budget: int | None,
    seed: int,
    chunk: int,
    strict: bool = True,
    **settings,
) -> Resampler:
    """`Resampler.calibrated` without its check that training data are others than the real ones held out.

    Args:
        strict: A fault of `score` or `features` is raised also where ratio "auto" could go on with others.
    """
    for name, data in (("real", real), ("training", training)):
        if data is not None and (data.dim() < 2 or len(data) == 0):
            raise InputError(f"{name} must hold data like the generator's, (m, ...), got {tuple(data.shape)}")
    if training is not None:
        refuse_unlike(training, real)
        if len(training) < LEAST_JUDGED:
            raise InputError(f"training must hold at least {LEAST_JUDGED} data to fit ratios on, got {len(training)}; "
                             "leave it out")
    budget = usual_budget(real[0].shape) if budget is None else budget
    for name, given in (("score", score), ("features", features)):
        if given is not None:
            refuse_no_function(given, name, f"{name}(data) -> (n,) or (n, F)")
    score, features = (None if given is None else partial(tensor_of, given, name)
                       for given, name in ((score, "scores"), (features, "features")))
    plain = Resampler(generate, no_preference, budget=1, chunk=chunk, training=training)

    def resampler(log_ratio: Callable[[Tensor], Tensor]) -> Resampler:
        return Resampler(generate, log_ratio, method, budget, chunk=chunk, training=training, **settings)

    # wrong options are refused before fits take time
    CALIBRATIONS[calibration]
    smooth = isinstance(resampler(plain.log_ratio).rule, LatentRule)
    device = refuse_other_data(plain.proposal, real, seed)
    real = real[torch.randperm(len(real), generator=keyed_generator(seed, "parts")).to(real.device)].to(device)
    training = None if training is None else training.to(device)
    judged = len(real) >= LEAST_JUDGED
    if ratio == AUTO and not judged:
        raise InputError(f"real must hold at least {LEAST_JUDGED} data to fit, to choose and to measure, got "
                         f"{len(real)}; hold out more, or name a ratio, which is then used unjudged")
    quarter = len(real) // 4 if judged else 0
    choosing, measuring, held_out = real.split([quarter, quarter, len(real) - 2 * quarter])
    known = real[:0] if training is None else training
    task = Task(generate, known, held_out, score, kind, features, seed)
    if score is not None and strict:
        refuse_strange_scores(score, kind, real)
    ratios, left_out = fit_ratios(ratio, task, held_out, calibration, chunk, smooth, strict)
    resamplers = {PLAIN: plain, **{name: resampler(one) for name, one in ratios.items()}}
    if not judged:
        return resamplers[next(iter(ratios))]
    guard = Guard(held_out if training is None else training, choosing, measuring)
    pools: dict[int, Pool | None] = {}

    def sample(name: str, n: int, turn: int) -> Tensor:
        one, own = resamplers[name], JUDGED_SEED + 2 * seed + turn  # samples that nobody gets
        if name == PLAIN:
            return one.sample(n, own)
        return one.sample(n, own, pools.setdefault(turn, one.pool(n, own)))

    expected = choose(list(ratios), sample, guard, ratio == AUTO)
    chosen = resamplers[expected.ratio]
    chosen.expected = replace(expected, left_out=left_out)
    chosen.judged, chosen.diagnostics = expected.helps or expected.plain, None
    return chosen
