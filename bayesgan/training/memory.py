"""How much memory a run needs at its peak, computed before it starts, and what would fit."""

import dataclasses
import os
import resource
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from bayesgan.data import Dataset
from bayesgan.ensemble import ENGINES, Engine
from bayesgan.networks import NETWORKS
from bayesgan.objectives import OBJECTIVES
from bayesgan.training.algorithm import Engines, batch_sizes, default_engines
from bayesgan.options.options import Options

__all__ = ["available_bytes", "data_limit", "nearest_fit", "peak_bytes", "proc_bytes"]

FIXED = 128 * 2**20  # what the libraries keep for themselves
SMALLEST = 8  # minibatches are not halved below this


def peak_bytes(options: Options, data: Dataset, engines: Engines | None = None) -> int:
    """An upper bound on what an iteration holds at its peak, in bytes, the interpreter and its libraries left out.

        128 MiB + data + 7 W + 2 G + 2 max(D, J)

    W: weights of all members; with each go its gradient, momentum, preconditioner, second moment and, for a moment, its
    gradient a second time; one more is for holes between what is freed and what is needed next. G: what all generators
    keep of their fakes until their backward pass, and their largest single result, kept or not. D and J: the same of the
    discriminators while they train and while they judge the fakes. Twice, for the gradients passing through.

    Args:
        engines: That compute the ensembles; default: as a `Trainer` without any.
    """
    own = {role: ENGINES[name] for role, (name, _) in (engines or default_engines(options)).items()}
    width = 8 if options.precision == "fp64" else 4
    sizes = options.sizes(data.shape, len(data.classes) if options.semi else 1)
    generator, discriminator = (network(sizes) for network in meta_pair(options, data))
    count = [sum(p.numel() for p in network.parameters()) for network in (generator, discriminator)]
    members = options.generators, options.discriminators
    weights = sum(m * n for m, n in zip(members, count)) * width
    made = kept_bytes(own["generator"], generator, (options.z_dim,), weights=True)
    learnt, judged = (kept_bytes(own["discriminator"], discriminator, data.shape, weights) for weights in (True, False))
    trained, scored = batch_sizes(options)
    scored += options.batch_size * options.feature_matching
    if OBJECTIVES[options.objective].gradient_penalty:  # its points forward, their slope, and both once more backward
        trained += 3 * options.batch_size
    scale = width // 4
    return FIXED + data.train.nbytes + 7 * weights + 2 * scale * (
        options.generators * options.gen_batch * made + options.discriminators * max(trained * learnt, scored * judged))


def meta_pair(options: Options, data: Dataset):
    """The pair's constructors, on the meta device: shapes without memory."""
    def on_meta(network):
        def build(sizes):
            with torch.device("meta"):
                return network(sizes)
        return build

    return [on_meta(network) for network in NETWORKS[options.network_for(data)]]


def kept_bytes(engine: Engine, network: nn.Module, shape: tuple[int, ...], weights: bool) -> int:
    """Bytes (float32) per datum that a forward pass of one member keeps for its backward pass, and its largest single result.

    Inputs and outputs are included; what does not grow with the minibatch, as normalised weights, goes with W.
    """
    small, large = (kept_by_batch(engine, network, shape, weights, batch) for batch in (128, 256))
    return (large - small) // 128


def kept_by_batch(engine: Engine, network: nn.Module, shape: tuple[int, ...], weights: bool, batch: int) -> int:
    network.train(weights)
    for module in network.modules():
        if hasattr(module, "generator"):  # random while training
            module.generator = torch.Generator()
    parameters = {name: p.detach()[None].requires_grad_(weights) for name, p in network.named_parameters()}
    buffers = {name: b[None] for name, b in network.named_buffers()}
    own = {p.untyped_storage()._cdata for p in parameters.values()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage.nbytes()
            alive.append(storage)  # or the next one may get its address
        return tensor

    alive: list = []
    inputs = torch.zeros(1, batch, *shape, device="meta", requires_grad=not weights)
    with LargestResult(own) as largest, torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = engine(network, {**parameters, **buffers}, inputs)
    parts = outputs if isinstance(outputs, tuple) else (outputs,)
    return sum(kept.values()) + largest.bytes + inputs.nbytes + sum(part.nbytes for part in parts)


class LargestResult(TorchDispatchMode):
    """Within it, `bytes` is the size of the largest tensor that an operation returned, views of the storages `without` left out."""

    def __init__(self, without: set[int]):
        super().__init__()
        self.without, self.bytes = without, 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        results = function(*arguments, **(keywords or {}))
        for result in results if isinstance(results, (tuple, list)) else (results,):
            if isinstance(result, Tensor) and result.untyped_storage()._cdata not in self.without:
                self.bytes = max(self.bytes, result.nbytes)
        return results


def available_bytes(device: torch.device) -> int:
    """What this process could hold on the device: free memory, and what it holds already."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    limits = [resource.getrlimit(resource.RLIMIT_DATA)[0]]
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):  # of a container
        text = Path(file).read_text().strip() if Path(file).exists() else "max"
        limits.append(int(text) if text.isdigit() else resource.RLIM_INFINITY)
    try:
        limits.append(proc_bytes("/proc/meminfo", "MemAvailable") + proc_bytes("/proc/self/status", "VmData"))
    except (OSError, StopIteration):  # no Linux: all there is
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(limit for limit in limits if limit != resource.RLIM_INFINITY)


def proc_bytes(file: str, name: str) -> int:
    """A line "name: kB" of a file of Linux's /proc, in bytes."""
    line = next(line for line in Path(file).read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


@contextmanager
def data_limit(limit: int):
    """Within it, this process's allocations beyond `limit` bytes fail, where the kernel would end the process without a word.

    `limit` is at most the `available_bytes`, which a limit set from outside is part of.
    """
    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, hard))


def nearest_fit(options: Options, data: Dataset, limit: int, engines: Engines | None = None) -> dict[str, int] | None:
    """What to change for the largest setting whose `peak_bytes` stay within `limit`: minibatches are halved first, then members.

    None where not even single networks on the smallest minibatches fit.
    """
    changed: dict[str, int] = {}
    while peak_bytes(dataclasses.replace(options, **changed), data, engines) > limit:
        now = dataclasses.replace(options, **changed)
        if now.gen_batch > SMALLEST:
            changed["gen_batch_size"] = now.gen_batch // 2
        elif now.batch_size > SMALLEST:
            changed["batch_size"] = now.batch_size // 2
        else:
            name = max(("num_gen", "num_disc", "num_mcmc"), key=lambda flag: getattr(now, flag))
            if getattr(now, name) == 1:
                return None
            changed[name] = getattr(now, name) // 2
    return changed
