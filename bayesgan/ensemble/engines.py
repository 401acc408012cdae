"""How all members of an ensemble are computed: one after the other, or as one batched program. Same numbers."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from bayesgan.registry import Registry

__all__ = ["ENGINES"]

Weights = dict[str, Tensor]  # name -> (members, ...)
Engine = Callable[[nn.Module, Weights, Tensor], Tensor | tuple[Tensor, ...]]

ENGINES: Registry[Engine] = Registry("engine")


@ENGINES.register("loop")
def loop(network: nn.Module, weights: Weights, inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
    """Member by member. On a CPU the fastest by far: a convolution of one member already fills the cores."""
    # unbind once, not weight[i] for each member: its backward is one stack instead of a full-size zero tensor each
    members = [dict(zip(weights, slices)) for slices in zip(*(weight.unbind(0) for weight in weights.values()))]
    # oneDNN convolves channels-last images faster; generators, whose inputs are vectors, gained nothing when measured
    if inputs.dim() == 5 and not inputs.is_cuda:
        batches = [batch.contiguous(memory_format=torch.channels_last) for batch in inputs.unbind(0)]
    else:
        batches = inputs.unbind(0)
    outputs = [functional_call(network, member, batch) for member, batch in zip(members, batches)]
    if isinstance(outputs[0], tuple):
        return tuple(torch.stack(part) for part in zip(*outputs))
    return torch.stack(outputs)


@ENGINES.register("vmap")
def batched(network: nn.Module, weights: Weights, inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
    """All members in each operation: fewer, larger kernels, for devices where launches cost more than arithmetic."""
    return vmap(lambda member, batch: functional_call(network, member, batch), randomness="different")(weights, inputs)
