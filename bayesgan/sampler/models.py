"""A user's module made ready to be sampled: what is frozen stays, rows of padding stay, all else moves."""

import copy

import torch
from torch import Tensor, nn

from bayesgan.basics.errors import InputError

__all__ = ["padding_rows", "sampled_copy"]


def sampled_copy(model: nn.Module, device: torch.device) -> nn.Module:
    """A copy of `model` whose parameters are what is sampled, one name each; frozen ones are constants of it.

    Raises:
        ValueError: If nothing can be sampled, or a parameter is not real or has two names.
    """
    wanted = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    for name, parameter in wanted.items():
        if not parameter.is_floating_point():
            raise InputError(f"parameter {name} is {parameter.dtype}; only real floating-point ones can be sampled")
    if not wanted:
        frozen = len(list(model.parameters()))
        raise InputError(
            "the model has no parameters; there is nothing to sample" if not frozen else
            f"all {frozen} parameters of the model are frozen; set requires_grad where it is to be sampled")
    named_twice = [parameter for _, parameter in model.named_parameters(remove_duplicate=False)
                   if parameter.requires_grad]
    if len(wanted) < len(named_twice):
        raise InputError("the model uses one parameter under two names; tied weights cannot be sampled, untie them")
    model = copy.deepcopy(model)
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if not parameter.requires_grad:
                delattr(module, name)
                setattr(module, name, parameter.detach().to(device))  # a plain attribute: shared by all chains
    return model


def padding_rows(model: nn.Module) -> dict[str, Tensor]:
    """Name of each embedding's weight with a padding_idx -> (rows, 1) bool, True at that row."""
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) and module.padding_idx is not None:
            mask = torch.zeros(module.num_embeddings, 1, dtype=torch.bool)
            mask[module.padding_idx] = True
            found[f"{name}.weight" if name else "weight"] = mask
    return found
