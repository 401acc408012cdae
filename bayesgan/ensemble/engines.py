"""How all members of an ensemble are computed: one after the other, or as one batched program. Same numbers."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.utils._pytree import tree_map

from bayesgan.basics.registry import Registry
from bayesgan.ensemble.patches import PatchProducts

__all__ = ["ENGINES", "Engine", "Outputs", "first_output", "graphs_skipped", "laid_out", "make_engine", "mark_static"]

Weights = dict[str, Tensor]  # name -> (members, ...)
Outputs = Tensor | tuple | list | dict  # tensors (members, ...) in the structure that the network returns
Engine = Callable[[nn.Module, Weights, Tensor], Outputs]

ENGINES: Registry[Engine] = Registry("engine")


def make_engine(name: str, compiled: bool = False, device: torch.device | str = "cpu") -> Engine:
    """The engine of this name, through torch.compile if asked for; on a GPU that also replays it as CUDA graphs.

    What torch cannot compile as a whole raises when it is first used: in pieces it would be slower than not compiled.
    """
    if not compiled:
        return ENGINES[name]
    # torch counts both roles, training and scoring, and every shape against one limit; past it, it silently stops
    # compiling
    torch._dynamo.config.cache_size_limit = max(torch._dynamo.config.cache_size_limit, 64)
    mode = "reduce-overhead" if torch.device(device).type == "cuda" else None
    return torch.compile(ENGINES[name], dynamic=False, fullgraph=True, mode=mode)


def mark_static(tensors: Iterable[Tensor]) -> None:
    """Tells CUDA graphs that these stay where they are, changed in place: so they are not copied at each replay.

    And a graph that changes one, as normalisation does its running statistics, would not be replayed at all without.
    """
    for tensor in tensors:
        torch._dynamo.mark_static_address(tensor, guard=False)  # on each detached view anew: no reason to compile again


def first_output(outputs: Outputs) -> Tensor:
    """A generator's images, or of a discriminator's logits and features the former."""
    return outputs[0] if isinstance(outputs, (tuple, list)) else outputs


def graphs_skipped() -> int:
    """How many compiled pieces run without CUDA graphs so far, which torch says nowhere else."""
    return torch._dynamo.utils.counters["inductor"]["cudagraph_skips"]


def laid_out(network: nn.Module, batch: Tensor) -> Tensor:
    """Images (B, C, H, W) in channels-last order on a CPU, where oneDNN convolves them faster.

    For networks whose class says `channels_last = True`: others may call `view` on their maps, which then fails.
    Generators, whose inputs are vectors, gained nothing when measured, nor did bfloat16, in which normalising
    channels-last maps takes longer than all convolutions.
    """
    known = getattr(network, "channels_last", False)
    if not known or batch.dim() != 4 or batch.is_cuda or torch.is_autocast_enabled("cpu"):
        return batch
    # contiguous() leaves images of one channel alone, which fit both layouts and count as channels-first
    return batch.clone(memory_format=torch.channels_last)


def assigned(network: nn.Module, before: Weights, after: Weights) -> list[str]:
    """Names of the buffers that a call in training put others in the place of, rather than change them."""
    if torch.compiler.is_compiling() or not network.training:
        return []
    return [name for name, tensor in before.items() if after[name] is not tensor]


@ENGINES.register("loop")
def loop(network: nn.Module, weights: Weights, inputs: Tensor) -> Outputs:
    """Member by member. On a CPU the fastest for convolutions that fill the cores by themselves."""
    # unbind once, not weight[i] for each member: its backward is one stack instead of a full-size zero tensor each
    members = [dict(zip(weights, slices)) for slices in zip(*(weight.unbind(0) for weight in weights.values()))]
    outputs = []
    for member, batch in zip(members, inputs.unbind(0)):
        before = dict(member)
        outputs.append(functional_call(network, member, laid_out(network, batch)))
        for name in assigned(network, before, member):
            with torch.no_grad():
                before[name].copy_(member[name])
    if torch.is_tensor(outputs[0]):
        return torch.stack(outputs)
    return tree_map(lambda *parts: torch.stack(parts) if torch.is_tensor(parts[0]) else parts[0], *outputs)


@ENGINES.register("vmap")
def batched(network: nn.Module, weights: Weights, inputs: Tensor) -> Outputs:
    """All members in each operation (grouped convolutions, batched matrix products): for many small members."""
    def call(member: Weights, batch: Tensor) -> Outputs:
        before = dict(member)
        outputs = functional_call(network, member, batch)
        if names := assigned(network, before, member):
            raise RuntimeError(f"it assigns {names[0]}, where {names[0]}.copy_() would change it in place")
        return outputs

    return vmap(call, randomness="different")(weights, inputs)


@ENGINES.register("patches")
def patches(network: nn.Module, weights: Weights, inputs: Tensor) -> Outputs:
    """As vmap, convolutions as batched matrix products of image patches: for large generators; takes more memory."""
    with PatchProducts():
        return batched(network, weights, inputs)
