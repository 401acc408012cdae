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
    """

    def __init__(self, strength: float):
        super().__init__()
        self.strength = strength
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
    layers, shapes = random_layers(network), {}
    if not layers:
        return {}

    def note(name: str, layer: Stochastic, values: Tensor) -> None:
        shapes[name], layer.drawn = values.shape, torch.empty_like(values)

    hooks = [layer.register_forward_pre_hook(lambda layer, given, name=name: note(name, layer, given[0]))
             for name, layer in layers.items()]
    try:
        network(torch.empty(inputs.shape[1:], dtype=inputs.dtype, device="meta"))
    finally:
        for hook in hooks:
            hook.remove()
        for layer in layers.values():
            layer.drawn = None
    found = {}
    for name, shape in shapes.items():
        values = found[f"{name}.drawn"] = torch.empty(len(sources), *shape, device=inputs.device, dtype=dtype)
        for own, source in zip(values, sources, strict=True):
            layers[name].draw(own, source)
    return found
