"""Can the density ratio be trusted, and what did the selection do? Every resampling comes with the answer."""

import math
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from torch import Tensor

from bayesgan.basics.later import later
from bayesgan.evaluation.classification import reliability
from bayesgan.resampling.guard import LEAST_JUDGED, Expected
from bayesgan.resampling.ratio import HeldOut

__all__ = ["Calibration", "Diagnostics", "calibration_figures", "nearest_distance"]

brier_score_loss = later("sklearn.metrics", "brier_score_loss")
log_loss = later("sklearn.metrics", "log_loss")
roc_auc_score = later("sklearn.metrics", "roc_auc_score")

IMPOSSIBLE = 1000  # a mean weight that a true ratio has at most once in so many pools
CERTAIN = 3  # standard errors, beyond which a figure is said to be off
NINETY = 3.29  # of them are a 90 % interval


@dataclass(frozen=True)
class Calibration:
    """A classifier of real against generated on data it was not fitted to.

    Attributes:
        brier: Mean squared error of the probability of real.
        log_loss: In nats.
        ece: Expected calibration error over 15 bins of confidence.
        z: sum(y - p) over its standard deviation, N(0, 1) if calibrated. The numbers of real and generated data are
            fixed here, so its variance is n_real Var(p|real) + n_generated Var(p|generated), times 1 + n_test / n_cal
            after a fit on n_cal others. (Turner et al. 2019 divide by the sum of p(1-p), which holds where labels are
            drawn too.)
    """

    brier: float
    log_loss: float
    ece: float
    z: float


def calibration_figures(odds: Tensor, labels: Tensor, fitted_on: int | None = None) -> Calibration:
    """Of log odds (n,) against labels (n,), 1 for real.

    Args:
        fitted_on: Size of the data the odds were calibrated on; None if they never were.
    """
    p = torch.sigmoid(odds).double().cpu()
    y = labels.double().cpu()
    confidence, share, accuracy = reliability(torch.stack([1 - p, p], 1), labels.long().cpu())
    variance = sum(len(part) * part.var() for part in (p[y == 1], p[y == 0]))
    spread = (variance * (1 + (len(y) / fitted_on if fitted_on else 0))).sqrt()
    return Calibration(
        brier=float(brier_score_loss(y.numpy(), p.numpy())),
        log_loss=float(log_loss(y.numpy(), p.clamp(1e-15, 1 - 1e-15).numpy())),
        ece=float((share * (confidence - accuracy).abs()).sum()),
        z=float((y - p).sum() / spread.clamp_min(1e-12)),
    )


@dataclass
class Diagnostics:
    """Of one resampling; None where it does not apply.

    Attributes:
        mean_weight: E_q[w] over the pool; 1 for a true density ratio.
        mean_weight_error: Its standard error.
        ess_share: (sum w)² / (P sum w²) of the pool.
        acceptance: E min(1, w(x')/w(x)) for x held-out real and x' generated: of an independence chain at its target.
        acceptance_by_auc: 2 (1 - AUC), which equals it where w is calibrated.
        auc_error: Standard error of the AUC (Hanley & McNeil 1982).
        bound: E_real (1 - K/w)_+: total variation from the data below which no rule that outputs 1 of K can come.
        before, after: Figures of the averaged score and of the calibrated ratio, on held-out data of their own.
        z_members: z of every discriminator's own score.
        slope: Of the platt calibration, with its 90 % bootstrap interval.
        never_moved: Share of the chains that end where they began.
        duplicates: Share of the outputs that repeat another.
        member_shares: Share of each generator in the pool and in the outputs, (2, members).
        nearest: Median distance of an output to its nearest training datum; nearest_real the same of held-out data.
        separated: Share of held-out real data whose ratio exceeds that of 99.9 % of the generated ones.
        judged: The ratio was found to help, perhaps under another rule or budget.
        expected: What the ratio is worth, measured on other samples; see `Expected`.
        moves: Acceptance of global and local moves of a latent-space chain.
        warnings: What a user should know, in words.
    """

    n: int
    budget: int
    method: str
    mean_weight: float | None = None
    mean_weight_error: float | None = None
    ess_share: float | None = None
    acceptance: float | None = None
    acceptance_by_auc: float | None = None
    auc_error: float | None = None
    bound: float | None = None
    before: Calibration | None = None
    after: Calibration | None = None
    z_members: list[float] | None = None
    slope: tuple[float, float, float] | None = None
    never_moved: float | None = None
    duplicates: float = 0.0
    member_shares: list[list[float]] | None = None
    nearest: float | None = None
    nearest_real: float | None = None
    separated: float | None = None
    expected: Expected | None = None
    judged: bool = False
    moves: dict | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def plain(self) -> bool:
        """Nothing was selected."""
        return self.expected is not None and self.expected.plain

    def as_dict(self) -> dict:
        return {**asdict(self), "expected": self.expected and self.expected.as_dict()}

    def held_out(self, real: Tensor, fake: Tensor) -> None:
        """Fills in what log ratios of held-out real (n,) and of generated data (m,) tell."""
        both = torch.cat([real, fake]).cpu()
        labels = np.r_[np.ones(len(real)), np.zeros(len(fake))]
        auc = float(roc_auc_score(labels, both.numpy()))
        self.acceptance_by_auc, self.auc_error = 2 * (1 - auc), standard_error(auc, len(real), len(fake))
        # E min(1, w'/w) over all pairs, by ranks: the share above, and the mean of the rest
        ranked = fake.sort().values
        below = torch.searchsorted(ranked, real)
        mass = torch.cat([ranked.new_full((1,), -torch.inf), ranked.logcumsumexp(0)])[below]
        self.acceptance = float(((len(fake) - below) + (mass - real).exp()).mean() / len(fake))
        self.bound = float((1 - self.budget * (-real).exp()).clamp_min(0).mean())

    def of_ratio(self, held: HeldOut) -> None:
        """Fills in what a calibrated ratio says of data it was not fitted to."""
        labels = torch.cat([torch.ones(len(held.real)), torch.zeros(len(held.fake))])
        scores = torch.cat([held.real, held.fake])  # (n, K)
        self.held_out(held.real_log_w, held.fake_log_w)
        self.before = calibration_figures(scores.mean(1), labels)
        self.after = calibration_figures(torch.cat([held.real_log_w, held.fake_log_w]), labels, held.fitted_on)
        self.slope, self.separated = held.slope, held.separated
        self.z_members = [calibration_figures(column, labels).z for column in scores.unbind(1)]

    def of_pool(self, log_w: Tensor) -> None:
        """Fills in what the log ratios (P,) of the pool tell."""
        count = np.log(len(log_w))
        self.mean_weight = float((log_w.logsumexp(0) - count).exp())
        self.ess_share = float((2 * log_w.logsumexp(0) - (2 * log_w).logsumexp(0) - count).exp())
        self.mean_weight_error = self.mean_weight * math.sqrt(max(0.0, 1 / self.ess_share - 1) / len(log_w))
        if (log_w == log_w[0]).all() and not self.plain:
            self.warnings.append("all proposals have the same ratio, and nothing is corrected: the score is constant, "
                                 "or calibration found nothing in it")

    def conclude(self) -> None:
        """Adds warnings for whatever is out of order."""
        say = self.warnings.append
        if self.expected is not None and not self.expected.helps:
            say(self.expected.words)
        apart = self.separated is not None and self.separated > 0.9
        judged = apart or self.judged or self.expected is not None  # or ratios mean nothing
        if apart and not self.judged:
            remedy = f"; hold out {LEAST_JUDGED} data and use ratio auto" if self.expected is None else ""
            say(f"{self.separated:.0%} of real data are beyond nearly all generated ones: the ratio tells them apart "
                f"by an artefact and cannot say which samples are better{remedy}")
        off = self.mean_weight is not None and not 0.8 <= self.mean_weight <= 1.25
        # where one weight outweighs all, the error is as large as itself; but by Markov no true ratio gets there
        impossible = off and not self.mean_weight < IMPOSSIBLE
        sure = off and abs(self.mean_weight - 1) > CERTAIN * (self.mean_weight_error or 0)
        if (sure or impossible) and not apart:
            rare = self.mean_weight < 1 and self.ess_share is not None and self.ess_share < 0.05
            say(f"the mean weight is {self.mean_weight:.2f} where a density ratio has 1: " + (
                "the few proposals that carry the weight are rare in this pool; raise the budget" if rare else
                "the ratio is wrong in parts of the pool; fit or calibrate it on more data"))
        if self.after is not None and abs(self.after.z) > 4:
            say(f"calibration z is {self.after.z:.1f}: the ratio is off in the mean; calibrate on more data")
        if self.slope is not None and self.slope[0] + CERTAIN * (self.slope[2] - self.slope[1]) / NINETY < 0:
            say(f"the discriminator is inverted: generated data score above real ones (slope {self.slope[0]:.2f}), and "
                "calibration has turned that round; give minus its score if real and generated were exchanged")
        elif self.slope is not None and self.slope[2] - self.slope[1] > 0.5 * abs(self.slope[0]):
            estimate, low, high = self.slope
            say(f"the calibration's slope is {estimate:.2f}, known only to lie in {low:.2f} to {high:.2f} (90 %); hold "
                "out more data")
        doubt = 2 * CERTAIN * (self.auc_error or 0)  # of 2 (1 - AUC)
        if self.acceptance is not None and abs(self.acceptance - self.acceptance_by_auc) > max(0.1, doubt):
            say(f"acceptance {self.acceptance:.2f} and 2(1-AUC) {self.acceptance_by_auc:.2f} differ: the ratio is not "
                "calibrated")
        if self.acceptance_by_auc is not None and self.acceptance_by_auc > 1 + max(0.02, doubt):
            say("the discriminator ranks generated data above real data; it is worse than none")
        if self.ess_share is not None and self.ess_share * self.budget < 1 and not (judged or impossible):
            step = 10 ** math.floor(math.log10(1 / self.ess_share))
            say(f"the pool is worth {self.ess_share * self.budget:.2f} independent draws an output; raise the budget, "
                f"by this pool to about {math.ceil(1 / self.ess_share / step) * step}")
        if self.never_moved is not None and self.never_moved > 0.05 and not judged:
            what = "groups hold nothing that is possible" if self.method == "sir" else "chains never moved"
            say(f"{self.never_moved:.0%} of the {what}; raise the budget")
        if self.duplicates > 0.01:
            say(f"{self.duplicates:.0%} of the outputs repeat another")
        if self.bound is not None and self.bound > 0.05 and not self.moves and not judged:
            say(f"no rule can come nearer than {self.bound:.2f} in total variation at this budget; raise it")
        if self.nearest_real is not None and self.nearest < 0.5 * self.nearest_real:
            say("outputs lie much nearer to training data than held-out data does: the generator copies")
        if self.moves and self.moves.get("local_acceptance", 1) < 0.1:
            say(f"local moves are accepted {self.moves['local_acceptance']:.0%} of the time; lower the step")

    def __str__(self) -> str:
        lines = [
            f"plain samples, {self.n} outputs" if self.plain else
            f"{self.method}, {self.n} outputs, budget {self.budget}",
            *([self.expected.words] if self.expected is not None and self.expected.helps else []),
            *(f"left out: {why}" for why in (self.expected.left_out if self.expected is not None else [])),
            f"mean weight {show(self.mean_weight)} (1 if true)   ESS of the pool {show(self.ess_share)} of its size   "
            f"bound on total variation {show(self.bound)}",
            f"acceptance {show(self.acceptance)}   2(1-AUC) {show(self.acceptance_by_auc)}   never moved "
            f"{show(self.never_moved)}   duplicates {show(self.duplicates)}",
        ]
        if self.after is not None:
            before, after = asdict(self.before), asdict(self.after)
            changes = [f"{name} {value:.4f} -> {after[name]:.4f}" for name, value in before.items()]
            lines.append("calibration, before -> after: " + "   ".join(changes))
        if self.slope is not None:
            estimate, low, high = self.slope
            lines.append(f"slope of the calibration {estimate:.3f}, 90 % bootstrap interval {low:.3f} to {high:.3f}")
        if self.moves:
            lines.append("   ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in self.moves.items()))
        if self.nearest is not None:
            lines.append(f"median distance to the nearest training datum: outputs {show(self.nearest)}, held-out data "
                         f"{show(self.nearest_real)}")
        return "\n".join([*lines, *(f"warning: {text}" for text in self.warnings)])


def standard_error(auc: float, positive: int, negative: int) -> float:
    """Of an AUC from so many positive and negative scores (Hanley & McNeil 1982, eq. 1, exponential scores)."""
    both, other = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (positive - 1) * (both - auc**2) + (negative - 1) * (other - auc**2)
    return math.sqrt(max(0.0, variance) / (positive * negative))


def show(value: float | None) -> str:
    """A figure, or a dash where it does not apply."""
    return "-" if value is None else f"{value:.4g}"


@torch.no_grad()
def nearest_distance(data: Tensor, training: Tensor, chunk: int = 256) -> float:
    """Median Euclidean distance of each datum (n, ...) to its nearest of (m, ...)."""
    points, rows = (part.flatten(1) if part.is_floating_point() else part.flatten(1).float()
                    for part in (training, data))
    centre = points.mean(0)  # distances come from products, in which a large mean would leave nothing of them
    points, parts = (points - centre).float(), (rows - centre).float().split(chunk)
    return torch.cat([torch.cdist(part, points).min(1).values for part in parts]).median().item()
