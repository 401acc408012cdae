"""The mark of layers that are random while training. What is random comes in from outside, for every engine alike."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bayesgan.basics.errors import InputError

__all__ = ["Stochastic", "drawn_for", "random_layers"]


class Stochastic(nn.Module):
    """Active while training with a positive `strength`; scoring passes values through.

    A layer gives `draw`, which fills a tensor of its input's shape, and `disturb`, which uses it.

    Attributes:
        drawn: The random numbers of the next pass; `Ensemble.forward` gives them to each member, as it gives weights.
        shapes: Of a network's input -> of what this layer sees of it; known after the first pass.
    """

    def __init__(self, strength: float):
        super().__init__()
        self.strength = strength
        self.shapes: dict[torch.Size, torch.Size] = {}
        self.register_buffer("drawn", None, persistent=False)

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or self.strength == 0:
            return values
        if self.drawn is None:
            raise InputError("a network with noise trains as part of an Ensemble; give forward a torch.Generator a "
                             "member as noise")
        return self.disturb(values, self.drawn)


def random_layers(network: nn.Module) -> dict[str, Stochastic]:
    """By name, those that ever are."""
    return {name: module for name, module in network.named_modules()
            if isinstance(module, Stochastic) and module.strength > 0}


def drawn_for(
    network: nn.Module, inputs: Tensor, sources: Sequence[torch.Generator], dtype: torch.dtype
) -> dict[str, Tensor]:
    """What a training pass of every member needs: buffer name -> (members, ...), each member's from its own source.

    Args:
        network: On the meta device.
        inputs: (members, B, ...); only their shape matters.
    """
    layers, shape, found = random_layers(network), inputs.shape[1:], {}
    if layers and not any(shape in layer.shapes for layer in layers.values()):
        note_shapes(network, layers, torch.empty(shape, dtype=inputs.dtype, device="meta"))
    for name, layer in layers.items():
        if shape in layer.shapes:
            size = len(sources), *layer.shapes[shape]
            values = found[f"{name}.drawn"] = torch.empty(size, device=inputs.device, dtype=dtype)
            for own, source in zip(values, sources, strict=True):
                layer.draw(own, source)
    return found


def note_shapes(network: nn.Module, layers: dict[str, Stochastic], inputs: Tensor) -> None:
    """Each layer of a pass notes the shape it sees: once, as a pass on the meta device takes as long as a small one."""

    def note(layer: Stochastic, given: tuple) -> None:
        layer.shapes[inputs.shape], layer.drawn = given[0].shape, torch.empty_like(given[0])

    hooks = [layer.register_forward_pre_hook(note) for layer in layers.values()]
    try:
        network(inputs)
    finally:
        for hook in hooks:
            hook.remove()
        for layer in layers.values():
            layer.drawn = None
