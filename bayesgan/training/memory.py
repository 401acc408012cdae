"""How much memory a run needs at its peak, computed before it starts, and what would fit."""

import dataclasses
import math
from collections.abc import Callable
from inspect import unwrap

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from bayesgan.basics.ranks import Ranks
from bayesgan.data import Dataset
from bayesgan.ensemble import ENGINES, Engine, drawn_for
from bayesgan.ensemble.stochastic import random_layers
from bayesgan.evaluation.classification import CHUNK
from bayesgan.objectives import OBJECTIVES
from bayesgan.options import Engines, Options, default_engines
from bayesgan.training.label_spreading import MOST_POINTS
from bayesgan.training.meetings import batch_sizes
from bayesgan.training.oriented_gradients import ORIENTATIONS, histogram_count
from bayesgan.training.teacher import SIDE

__all__ = ["nearest_fit", "peak_bytes"]

FIXED = 128 * 2**20  # what the libraries keep for themselves
SMALL = 2**29  # weights times numbers in a datum: some hundred data are computed in a tenth of a second
SMALLEST = 8  # minibatches are not halved below this
RESAMPLED = 2 * 100 * 100  # proposals behind the 100 outputs of --resample, and a copy while they are put together


def peak_bytes(
    options: Options, data: Dataset, engines: Engines | None = None, ranks: Ranks | None = None
) -> int:
    """An upper bound on what a run holds at its peak, in bytes, the interpreter and its libraries left out.

        128 MiB + data + max(7 W + 2 A + P + max(2 G + 2 max(D, J), E, S),  R)

    W: weights of all members. In an iteration each has its gradient, momentum, preconditioner, second moment and, for a
    moment, its gradient a second time; one more is for holes between what is freed and what is needed next. When a run
    is measured there are fewer of these, and a collected draw, read and in use. G: what all generators keep of their
    fakes until their backward pass, and their largest single result, kept or not. D and J: the same of the
    discriminators while they train and while they judge the fakes. Twice, for the gradients passing through. E: what
    one network makes of `CHUNK` data, and the test data as floats. A: a teacher's averaged weights, a second time when
    they are measured. P: the class probabilities of all data that a graph has. S: features and neighbours of all data
    when labels are spread, and some more such probabilities. R, after training, with
    --resample: what training held and the system has not got back, all draws at once, training data and proposals as
    floats, and E.

    Args:
        engines: That compute the ensembles; default: as a `Trainer` without any.
        ranks: The processes that have some members each; the bound is that of the one with most.
    """
    own = {role: ENGINES[name] for role, (name, _) in (engines or default_engines(options)).items()}
    scale = 2 if options.precision == "fp64" else 1
    networks = options.networks(data.shape, len(data.classes))
    generator, discriminator = counted(networks.generator, data.shape), counted(networks.discriminator, data.shape)
    own_generators, own_discriminators = (
        max(map(len, (ranks or Ranks()).shares(count))) for count in (options.generators, options.discriminators)
    )
    weights = 4 * scale * (own_generators * weight_count(generator)
                           + own_discriminators * weight_count(discriminator))
    made = kept_bytes(own["generator"], generator, (options.z_dim,), weights=True)
    learnt, judged = (kept_bytes(own["discriminator"], discriminator, data.shape, way) for way in (True, False))
    trained, scored = batch_sizes(options)
    if options.generators:
        scored += options.batch_size * options.feature_matching
    if options.generators and OBJECTIVES[options.objective].gradient_penalty:
        # its points forward, their slope, and both once more backward
        trained += 3 * options.batch_size
    passing = 2 * scale * (
        own_generators * options.gen_batch * made + own_discriminators * max(trained * learnt, scored * judged)
    )
    of_chunk = scale * CHUNK * max(made, learnt)  # without gradients less is kept, never more
    datum = 4 * data.train[0].numel()
    peak = 7 * weights + max(passing, of_chunk + 2 * datum * len(data.test))
    if options.unlabelled_batch:
        averages = 4 * scale * own_discriminators * weight_count(discriminator)
        graph = graph_bytes(options, discriminator, data) if options.spread_moments else 0
        said = 4 * len(data.classes) * len(data.train)
        peak = 2 * averages + said + max(peak, 7 * weights + of_chunk + graph)
    if options.resample is not None:
        floats = datum * (RESAMPLED + 2 * len(data.train) + 4 * len(data.calibration))
        peak = max(peak, (collected(options) + 7) * weights + floats + of_chunk)
    return FIXED + data.train.nbytes + peak


def counted(build: Callable[[], nn.Module], shape: tuple[int, ...]) -> nn.Module:
    """A network to count what it keeps: on the meta device, which computes nothing, but a small one for real.

    The meta device takes torch's compiler along, a second to import.
    """
    with torch.device("meta"):
        network = build()
    small = weight_count(network) * math.prod(shape) < SMALL and not random_layers(network)
    return build() if small else network


def graph_bytes(options: Options, discriminator: nn.Module, data: Dataset) -> int:
    """What label spreading holds of each point: its features four times over, its neighbours, their weights, scores."""
    _, features = discriminator.eval()(torch.zeros(1, *data.shape, device=next(discriminator.parameters()).device))
    side = min(data.shape[-1], SIDE)
    own = ORIENTATIONS * histogram_count(side, side) if data.is_images else data.shape[0]
    widest = max(options.discriminators * features.shape[-1], own)
    each = 16 * widest + 2000 + 64 * len(data.classes)
    return min(len(data.train) + len(data.test), MOST_POINTS) * each


def weight_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def collected(options: Options) -> int:
    """Draws that a run has at its end."""
    if options.ml:
        return 1
    sampled = options.train_iter - options.burn_in - options.ramp
    return min(options.keep, max(1, -(-sampled // options.thin)))


def kept_bytes(engine: Engine, network: nn.Module, shape: tuple[int, ...], weights: bool) -> int:
    """Bytes (float32) per datum that a forward pass of one member keeps to go backward, and its largest single result.

    Inputs and outputs are included; what does not grow with the minibatch, as normalised weights, goes with W.
    """
    small, large = (kept_by_batch(engine, network, shape, weights, batch) for batch in (128, 256))
    return (large - small) // 128


def kept_by_batch(engine: Engine, network: nn.Module, shape: tuple[int, ...], weights: bool, batch: int) -> int:
    network.train()
    parameters = {name: p.detach()[None].requires_grad_(weights) for name, p in network.named_parameters()}
    buffers = {name: b[None] for name, b in network.named_buffers()}
    inputs = torch.zeros(1, batch, *shape, device=next(network.parameters()).device, requires_grad=not weights)
    buffers |= drawn_for(network, inputs, [torch.Generator()], torch.float32)
    own = {p.untyped_storage()._cdata for p in parameters.values()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage.nbytes()
            alive.append(storage)  # or the next one may get its address
        return tensor

    alive: list = []
    with LargestResult(own) as largest, torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = engine(network, {**parameters, **buffers}, inputs)
    parts = outputs if isinstance(outputs, tuple) else (outputs,)
    return sum(kept.values()) + largest.bytes + inputs.nbytes + sum(part.nbytes for part in parts)


class LargestResult(TorchDispatchMode):
    """Within it, `bytes` is the size of the largest tensor an operation returned; no views of storages `without`."""

    def __init__(self, without: set[int]):
        super().__init__()
        self.without, self.bytes = without, 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        results = function(*arguments, **(keywords or {}))
        for result in results if isinstance(results, (tuple, list)) else (results,):
            if isinstance(result, Tensor) and result.untyped_storage()._cdata not in self.without:
                self.bytes = max(self.bytes, result.nbytes)
        return results


# torch wraps it to hide it from its compiler, which it imports for that
LargestResult.__torch_dispatch__ = unwrap(LargestResult.__torch_dispatch__)


def nearest_fit(
    options: Options, data: Dataset, limit: int, engines: Engines | None = None, ranks: Ranks | None = None
) -> dict[str, int] | None:
    """What to change to bring `peak_bytes` within `limit`, as little as possible: minibatches first, then members.

    None where not even single networks on the smallest minibatches fit.
    """
    changed: dict[str, int] = {}
    while peak_bytes(dataclasses.replace(options, **changed), data, engines, ranks) > limit:
        now = dataclasses.replace(options, **changed)
        if now.generators and now.gen_batch > SMALLEST:
            changed["gen_batch_size"] = now.gen_batch // 2
        elif now.batch_size > SMALLEST:
            changed["batch_size"] = now.batch_size // 2
        else:
            name = max(("num_gen", "num_disc", "num_mcmc"), key=lambda flag: getattr(now, flag))
            if getattr(now, name) == 1:
                return None
            changed[name] = getattr(now, name) // 2
    return changed
