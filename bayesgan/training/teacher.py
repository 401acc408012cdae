"""The teacher of a semi-supervised run: what all discriminators together believe of images without a label."""

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from bayesgan.basics.errors import InputError, warn
from bayesgan.basics.randomness import keyed_generator
from bayesgan.basics.ranks import Ranks
from bayesgan.data import Dataset, labelled_rows, to_float
from bayesgan.data.dataset import UNKNOWN
from bayesgan.ensemble import Ensemble
from bayesgan.evaluation.classification import CHUNK
from bayesgan.training.label_spreading import MOST_POINTS, USUAL_POWER, Spread, View, sharpened, spread_labels
from bayesgan.training.oriented_gradients import gradient_histograms

__all__ = ["LEARNT", "SIDE", "Teacher", "spread_on_features"]

SLOWEST_RATE = 0.002  # of the weights' running mean: it remembers 500 iterations
SURE_SHARE = 0.9  # of all images, whose class is the graph's
LEARNT = 250  # iterations, after which all classes are the graph's; before, it knows little more than pixels tell
LEAST_FOUND = 0.5  # of the labels, each half by the other; a graph that finds fewer is not listened to
WORTH = 0.75  # of the labels; what the data are by themselves finds as many, or has no say later on
SIDE = 32  # of images whose gradients are features, at most


class Teacher:
    """Averaged weights of every discriminator, and a graph's classes.

    An image's class is the likeliest under the average prediction of all members' averaged weights (of all processes:
    each has its own members' here and sums what they predict over all), and the teacher is sure of it if its
    probability is high enough. Once there is a graph, classes are the graph's: of one with networks
    that have hardly learnt those of its surest nine tenths, and of the others the teacher is sure only where both
    agree. A graph that does not find labels again that are hidden from it is not listened to.

    Certain classes teach networks best, and to be surer than the graph has reason to be. So at the end of burn-in, as a
    run settles, the classes of the graph become its probabilities: powers of its shares, the power that fits the labels
    which are hidden from the graph of the data alone (networks have seen these labels), where that is worth anything.

    Neighbours on the graph are near by the networks' features and by what needs no network, images' gradients and
    vectors as they are; by the former alone where the latter tell too little of the classes.

    Attributes:
        average: Name -> (members, ...): the exponential average of weights and statistics.
        probabilities: (n, Y) of the classes, by the graph; 0 before there is one.
        surest: (n,) bool, whose class is the graph's.
        found: Of the newest graph, see `Spread`; NaN before there is one.
        listens: Whether it is listened to.
        decided: Whether it says the class of every image, so that the networks need not be asked.
        asked, sure: How many images were asked about and how many it was sure of, since `share` was called.
    """

    def __init__(
        self, discriminators: Ensemble, count: int, outputs: int, confidence: float, ranks: Ranks | None = None
    ):
        self.discriminators, self.outputs, self.confidence = discriminators, outputs, confidence
        self.ranks = ranks or Ranks()
        self.members = sum(self.ranks.gathered(discriminators.members))
        self.average = {name: tensor.clone() for name, tensor in discriminators.state().items()}
        self.probabilities = torch.zeros(count, outputs, device=discriminators.device)
        self.surest = torch.zeros(count, dtype=torch.bool, device=discriminators.device)
        self.found, self.listens, self.decided = float("nan"), False, False
        self.plain: tuple[View | None, float] | None = None  # the data without a network, if worth it, and its power
        self.asked, self.sure = 0, torch.zeros((), device=discriminators.device)

    @torch.no_grad()
    def update(self, iteration: int) -> None:
        """Moves the average towards the present weights, faster while there have been few iterations."""
        rate = max(SLOWEST_RATE, 9 / (10 + iteration))
        for name, tensor in self.discriminators.state().items():
            if tensor.is_floating_point():
                self.average[name].lerp_(tensor, rate)
            else:
                self.average[name].copy_(tensor)

    @property
    def classes(self) -> Tensor:
        """(n,) what the graph says of each training image, `UNKNOWN` where it says nothing."""
        return classes_of(self.probabilities)

    @torch.no_grad()
    def teach(self, images: Tensor, rows: Tensor, settled: bool = False) -> tuple[Tensor, Tensor]:
        """Class probabilities (U, Y) of training images, and whether it is sure, (U,) bool.

        Args:
            images: (U, ...), as they are seen.
            rows: (U,) which these are.
            settled: Probabilities of the graph's surest, not certain classes.
        """
        self.asked += len(rows)
        by_graph, surest = self.probabilities[rows], self.surest[rows]
        said = classes_of(by_graph)
        of_graph = by_graph if settled else certain(said, by_graph)
        if self.decided:
            self.sure += len(rows)
            return of_graph, surest
        total = images.new_zeros(len(images), self.outputs, dtype=self.discriminators.dtype)
        if self.discriminators.members:
            inputs = images.expand(self.discriminators.members, *images.shape)
            logits, _ = self.discriminators.forward(inputs, train=False, state=self.average)
            total = logits.softmax(-1).sum(0)
        probability, classes = (self.ranks.sum(total) / self.members).max(-1)
        agreed = (said == classes) | (said == UNKNOWN)
        sure = surest | (agreed & (probability > self.confidence))
        self.sure += sure.sum()
        return torch.where(surest[:, None], of_graph, certain(classes, by_graph)), sure

    def spread(self, data: Dataset, iteration: int) -> None:
        """Spreads the labels that `data` has along a graph of its training part, and keeps what it says.

        Args:
            iteration: At 0 networks have learnt nothing: the graph is one of the data alone. Before `LEARNT` only the
                classes it is surest of count.
        """
        among, parts, found = points_of_graph(data), [], None
        if iteration > 0:
            features = last_features(self.discriminators, data.train[among], self.average)
            parts = [features] if self.ranks.size == 1 else self.ranks.at_first(features)
        if self.ranks.first:
            if iteration == 0 or self.plain is None:
                view, graph = spread_plainly(data, among)
                self.plain = view if worth(graph) else None, graph.power if worth(graph) else USUAL_POWER
            view, power = self.plain
            if iteration > 0:
                graph = spread_among(data, among, [View(torch.cat(parts, 1)), *([] if view is None else [view])])
            probabilities = torch.from_numpy(sharpened(graph.shares.numpy(), power)).float()
            found = probabilities, graph.surest(SURE_SHARE if iteration < LEARNT else 1.0), graph.found
        probabilities, surest, self.found = self.ranks.gathered(found)[0]  # of one: roundings differ between machines
        self.probabilities.zero_()
        self.surest.fill_(False)
        if not self.found < LEAST_FOUND:  # NaN where there is one label a class
            self.probabilities[among] = probabilities.to(among.device)
            self.surest[among] = surest.to(among.device)
            rows = labelled_rows(data)
            self.probabilities[rows] = certain(data.train_labels[rows], self.probabilities[rows])
            self.surest[rows] = True
        self._look()

    def _look(self) -> None:
        """Once, rather than wait for the device in every iteration."""
        self.listens, self.decided = bool(self.surest.any()), bool(self.surest.all())

    def doubts(self) -> str:
        """Why the newest graph is not listened to, in words; empty where it is."""
        if not self.found < LEAST_FOUND:
            return ""
        return f"{not_found(self.found)}: not listened to this time (--spread_labels 0 leaves it out)"

    def share(self) -> float:
        """Of the images asked about since the last call, how many it was sure of; NaN before the first."""
        share = self.sure.item() / self.asked if self.asked else float("nan")
        self.asked, self.sure = 0, torch.zeros_like(self.sure)
        return share

    def state_dict(self) -> dict:
        """Tensors alone."""
        return {"average": self.average, "probabilities": self.probabilities, "surest": self.surest}

    def load_state_dict(self, state: dict) -> None:
        """Continues where `state_dict()` was taken; raises ValueError for a state of other networks or data."""
        own = {**self.average, "probabilities": self.probabilities, "surest": self.surest}
        if "classes" in state:  # of an older version
            classes = state["classes"].to(self.probabilities.device)
            if len(classes) != len(self.probabilities) or classes.max() >= self.outputs:
                raise InputError("the teacher of a checkpoint has other classes; it is damaged, or of another run")
            state = {**state, "probabilities": certain(classes, self.probabilities)}
        stored = {**state["average"], "probabilities": state["probabilities"], "surest": state["surest"]}
        if {name: tensor.shape for name, tensor in own.items()} != {name: t.shape for name, t in stored.items()}:
            raise InputError("the teacher of a checkpoint has other shapes; it is damaged, or of another run")
        for name, tensor in stored.items():
            own[name].copy_(tensor)
        self._look()


def not_found(share: float) -> str:
    return f"label spreading finds {share:.0%} of the labels again that are hidden from it"


def classes_of(probabilities: Tensor) -> Tensor:
    """(n, Y) -> the likeliest (n,), `UNKNOWN` where all are 0."""
    best, classes = probabilities.max(1)
    return classes.where(best > 0, UNKNOWN)


def certain(classes: Tensor, like: Tensor) -> Tensor:
    """Probabilities like (n, Y) of classes (n,), 0 where they are `UNKNOWN`; one_hot would wait for the device."""
    return torch.zeros_like(like).scatter_(1, classes.clamp_min(0)[:, None], (classes != UNKNOWN)[:, None].to(like))


def spread_on_features(discriminators: Ensemble, data: Dataset, others: Tensor) -> Tensor:
    """What label spreading says of `others` (m, ...), on the graph that a `Teacher` would have: (m, classes)."""
    among = points_of_graph(data)
    views, of_others = [View(last_features(discriminators, data.train[among]))], [last_features(discriminators, others)]
    view, graph = spread_plainly(data, among)
    if worth(graph):
        views, of_others = [*views, view], [*of_others, last_features(None, others)]
    spread = spread_among(data, among, views, of_others)
    if spread.found < LEAST_FOUND:
        warn(f"{not_found(spread.found)}: it may be wrong about the others too")
    return spread.others


def spread_plainly(data: Dataset, among: Tensor) -> tuple[View, Spread]:
    """What the data are without a network, and label spreading along that alone."""
    view = View(last_features(None, data.train[among]), lengths=data.train.dim() == 2)
    return view, spread_among(data, among, [view])


def worth(graph: Spread) -> bool:
    """Whether a graph of the data alone tells enough of the classes to stand beside networks' features."""
    return graph.found >= WORTH


def points_of_graph(data: Dataset) -> Tensor:
    """Rows of the training data that are in the graph: all, or the labelled and a random part of the others."""
    rows, among = labelled_rows(data), torch.arange(len(data.train), device=data.train.device)
    if len(among) > MOST_POINTS:
        source = keyed_generator(0, "graph", device=among.device)
        chosen = torch.randperm(len(among), generator=source, device=among.device)[: max(0, MOST_POINTS - len(rows))]
        among = torch.cat([rows, chosen]).unique()
    return among


def spread_among(data: Dataset, among: Tensor, views: list[View], of_others: list[Tensor] | None = None) -> Spread:
    """Label spreading on the rows `among` of the training data, seen in these ways."""
    rows = labelled_rows(data)
    return spread_labels(views, torch.searchsorted(among, rows), data.train_labels[rows], len(data.classes),
                         of_others)


@torch.no_grad()
def last_features(discriminators: Ensemble | None, data: Tensor, state: dict[str, Tensor] | None = None) -> Tensor:
    """(n, ...) as it is stored, or floats -> (n, members · F); without discriminators what needs no network."""
    if discriminators is not None and not discriminators.members:
        return torch.zeros(len(data), 0, device=discriminators.device, dtype=discriminators.dtype)
    if discriminators is None and data.dim() < 4:
        return to_float(data)
    if discriminators is None:
        side, parts = min(SIDE, data.shape[-1]), map(to_float, data.split(CHUNK))
        return torch.cat([gradient_histograms(adaptive_avg_pool2d(part, side)) for part in parts])
    parts = []
    for part in data.split(CHUNK):
        images = to_float(part).to(discriminators.device)
        inputs = images.expand(discriminators.members, *images.shape)
        _, features = discriminators.forward(inputs, train=False, state=state)  # (members, n, F)
        parts.append(features.transpose(0, 1).flatten(1))
    return torch.cat(parts)
