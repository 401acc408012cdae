"""Did resampling make the samples better? Asked of the samples themselves, since no ratio can be asked about itself.

A sharper discriminator finds an artefact by which it tells all generated data from real ones; its log-loss is then the
best of all and its choices are the worst. The distance from samples to real data that fitted nothing is not fooled.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from bayesgan.basics.errors import InputError
from bayesgan.basics.later import later
from bayesgan.basics.randomness import keyed_generator
from bayesgan.evaluation.image_scores import frechet

__all__ = ["LEAST_JUDGED", "PLAIN", "Expected", "Guard", "Tried", "choose", "column_scales"]

cdist = later("scipy.spatial.distance", "cdist")
PCA = later("sklearn.decomposition", "PCA")
NearestNeighbors = later("sklearn.neighbors", "NearestNeighbors")

PLAIN = "plain"
LEAST_JUDGED = 80  # held-out data: half of them fit, a quarter chooses, a quarter measures
FEW = 500  # below, the distance is a blunt one
MOST = 2000  # samples, and as many real data, behind a distance
MOST_KNOWN, MOST_NUMBERS = 10_000, 2**26  # real data that axes and neighbours are taken from, and numbers in them
COMPONENTS = 48  # principal components of images; unwhitened, so that what is large in pixels is large here
NEIGHBOUR = 8  # of vectors: which neighbour among real data is looked at
SPLITS = 10  # random halves behind a spread
SURE = 3.0  # standard deviations that a gain must have


@dataclass(frozen=True)
class Tried:
    """A ratio's samples, or the generator's as they are ("plain").

    Attributes:
        distance: To held-out real data; see `Guard`.
        spread: Its standard deviation, from halves of the samples.
    """

    distance: float
    spread: float

    def gain_over(self, other: "Tried") -> float:
        """How much nearer this is, in standard deviations of the difference."""
        return (other.distance - self.distance) / max(1e-12, float(np.hypot(self.spread, other.spread)))


@dataclass(frozen=True)
class Expected:
    """What a ratio is worth under the rule and budget it was asked for.

    Attributes:
        ratio: The one that is used; plain for none.
        tried: Every candidate on the data that choose.
        before, after: Plain and chosen samples, measured on data that chose nothing, but for a veto: where they show
            no gain, plain samples are used.
        floor: The distance between two samples of real data of that size.
        gap_closed: 0 where nothing changed, 1 where samples are as near as real data.
        uncertainty: Standard deviation of gap_closed.
        words: All this in one sentence, or a warning.
        left_out: Why other ratios could not be tried.
    """

    ratio: str
    tried: dict[str, Tried]
    before: Tried
    after: Tried
    floor: float
    words: str
    left_out: list[str] = field(default_factory=list)

    @property
    def plain(self) -> bool:
        """Nothing is selected: samples are given as they are."""
        return self.ratio == PLAIN

    @property
    def helps(self) -> bool:
        """Samples are better for certain."""
        return not self.plain and self.tried[self.ratio].gain_over(self.tried[PLAIN]) > SURE

    @property
    def gap_closed(self) -> float:
        return (self.before.distance - self.after.distance) / self._gap

    @property
    def uncertainty(self) -> float:
        return float(np.hypot(self.before.spread, self.after.spread)) / self._gap

    @property
    def _gap(self) -> float:
        """Of plain samples; at least their own spread, where there is none to close."""
        return max(self.before.distance - self.floor, self.before.spread, 1e-12)

    def as_dict(self) -> dict:
        return {**asdict(self), "gap_closed": self.gap_closed, "uncertainty": self.uncertainty}


class Guard:
    """A label-free distance from samples to held-out real data, with as many of either.

    Images: the Frechet distance in 48 principal components of the pixels. Vectors: the energy distance (Székely & Rizzo
    2004) of the data, every column in units of its spread and within the range of real data, plus that of the distance
    to their 8th neighbour among real data, as a rank among the distances of real data; it sees samples between
    clusters, and no artefact can make it larger than that.

    Args:
        known: (m, ...) real data that axes and neighbours are taken from; not among the others.
        choosing, measuring: (n, ...) each, held out from everything.
    """

    def __init__(self, known: Tensor, choosing: Tensor, measuring: Tensor):
        self.count = min(MOST, len(choosing), len(measuring))
        rows = torch.randperm(len(known), generator=keyed_generator(0, "known"))  # they may lie in order of classes
        rows = rows[: max(self.count, min(MOST_KNOWN, MOST_NUMBERS // known[0].numel()))]
        known = known[rows.to(known.device)]
        self.view, self.between = pixels(known, self.count) if known.dim() == 4 else points(known)
        self.parts = {"choosing": self.view(choosing[: self.count]), "measuring": self.view(measuring[: self.count])}
        (self.floor,) = self.between(*self.parts.values(), [np.arange(self.count)])

    def distance(self, samples: Tensor, part: str) -> Tried:
        """Of `count` samples (count, ...) to a part of the real data."""
        source, rows = np.random.default_rng(0), [np.arange(len(samples))]
        for _ in range(SPLITS):
            rows += np.array_split(source.permutation(len(samples)), 2)
        whole, *halves = self.between(self.view(samples), self.parts[part], rows)
        apart = np.subtract(halves[::2], halves[1::2])
        return Tried(whole, float(np.sqrt(np.mean(np.square(apart))) / 2))


View = Callable[[Tensor], np.ndarray]
# the distances of several selections of rows (n, F) from others (m, F)
Between = Callable[[np.ndarray, np.ndarray, list[np.ndarray]], list[float]]


def flat(data: Tensor) -> np.ndarray:
    return data.flatten(1).double().numpy(force=True)


def pixels(known: Tensor, count: int) -> tuple[View, Between]:
    """Principal components of images, and the Frechet distance."""
    components = min(COMPONENTS, known[0].numel(), len(known) // 4, max(1, count // 4))
    axes = PCA(components, svd_solver="randomized", random_state=0).fit(flat(known))
    return lambda data: axes.transform(flat(data)), lambda a, b, rows: [frechet(a[some], b) for some in rows]


def column_scales(points: np.ndarray) -> np.ndarray:
    """(F,) by which columns of (n, F) are multiplied to have one variance each, and 1 in all: what units they are in
    changes nothing. Constants have the largest scale of the others.
    """
    varies = np.ptp(points, 0) > 0  # the deviation of a constant may be a rounding
    spread = points.std(0)
    spread = np.where(varies, spread, spread[varies].max(initial=0) or 1)
    return 1 / (spread * np.sqrt(points.shape[1]))


def points(known: Tensor) -> tuple[View, Between]:
    """Vectors, every column scaled to one variance and all to 1, cut off where real data end so that no artefact of one
    column outweighs the others; beside them the rank of their distance to a neighbour; energy distances.
    """
    scale = column_scales(flat(known))
    real = flat(known) * scale
    ends = real.min(0), real.max(0)
    search = NearestNeighbors().fit(real)

    def to_neighbour(data: np.ndarray, rank: int) -> np.ndarray:
        return search.kneighbors(data, min(rank, len(real)))[0][:, -1:]

    usual = np.sort(to_neighbour(real[:MOST], NEIGHBOUR + 1), 0)[:, 0]  # each is its own nearest

    def view(data: Tensor) -> np.ndarray:
        points = flat(data) * scale
        rank = np.searchsorted(usual, to_neighbour(points, NEIGHBOUR)) / len(usual)
        return np.column_stack([points.clip(*ends), rank])

    return view, energy


def energy(a: np.ndarray, b: np.ndarray, selections: list[np.ndarray]) -> list[float]:
    """2 E|x - y| - E|x - x'| - E|y - y'|, unbiased: 0 in the mean for rows of one law; the last column apart."""
    def apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return cdist(one[:, :-1], other[:, :-1]) + cdist(one[:, -1:], other[:, -1:])

    within, to_others, of_others = apart(a, a), apart(a, b).mean(1), apart(b, b).sum() / (len(b) * (len(b) - 1))
    found = []
    for rows in selections:
        chosen = np.bincount(rows, minlength=len(a)).astype(float)
        own = chosen @ within @ chosen / (len(rows) * (len(rows) - 1))
        found.append(float(2 * to_others[rows].mean() - own - of_others))
    return found


def choose(names: list[str], sample: Callable[[str, int, int], Tensor], guard: Guard, automatic: bool) -> Expected:
    """Tries every ratio on actual samples.

    Args:
        names: Of ratios; "plain" is tried besides.
        sample: sample(name, n, turn) -> data (n, ...) under the rule and budget that will be used, others at turn 1
            than at turn 0.
        automatic: The best that beats plain samples for certain is used, and plain ones where none does. Otherwise the
            only name is used whatever comes out.
    """
    plain = guard.distance(sample(PLAIN, guard.count, 0), "choosing")
    tried, failed = {PLAIN: plain}, ""
    for name in names:
        try:
            tried[name] = guard.distance(sample(name, guard.count, 0), "choosing")
        except InputError as error:  # for example a rule that runs out of proposals
            if not automatic:
                raise
            failed += f"; ratio {name} could not be sampled from: {error}"
    best = min(tried, key=lambda name: tried[name].distance) if automatic else names[0]
    helps = tried[best].gain_over(plain) > SURE
    ratio = best if helps or not automatic else PLAIN
    before = guard.distance(sample(PLAIN, guard.count, 1), "measuring")
    after = before if ratio == PLAIN else guard.distance(sample(ratio, guard.count, 1), "measuring")
    if automatic and after.distance > before.distance:  # what the one half of the judges saw, the other did not
        ratio, after, failed = PLAIN, before, f"{failed}; {ratio} seemed to, and other real data did not confirm it"
    expected = Expected(ratio, tried, before, after, guard.floor, "")
    figures = (f"distance to real data {before.distance:.3g} -> {after.distance:.3g}, real against real "
               f"{guard.floor:.3g}: {expected.gap_closed:.0%} of the gap closed")
    if ratio == PLAIN:
        words = ("no ratio makes samples better for certain "
                 f"({', '.join(f'{name} {tried[name].distance:.3g}' for name in tried if name != PLAIN)}; plain "
                 f"{plain.distance:.3g} ± {plain.spread:.2g}): the generator's samples are given as they are")
        if guard.count < FEW:
            words += f"; {guard.count} held-out data judged, with {FEW} or more a smaller gain would be seen"
    elif helps and after.distance < before.distance:
        words = f"ratio {ratio}: {figures}"
    else:
        harms = tried[ratio].gain_over(plain) < -SURE
        words = (f"ratio {ratio} makes samples {'worse' if harms else 'no better for certain'} ({figures}); "
                 "use ratio auto")
    return replace(expected, words=words + failed)
