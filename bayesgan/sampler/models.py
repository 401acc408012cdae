"""A user's module made ready to be sampled: what is frozen stays, rows of padding stay, all else moves."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from bayesgan.basics.errors import InputError, reason
from bayesgan.ensemble import Ensemble, checksum, weights_of

__all__ = ["padding_rows", "sampled_copy", "set_start"]


def sampled_copy(model: nn.Module, device: torch.device) -> tuple[nn.Module, str]:
    """A copy of `model` whose parameters are what is sampled, one name each; frozen and empty ones are constants of it.

    Returns:
        The copy, and a checksum of the constants.

    Raises:
        ValueError: If nothing can be sampled, or a parameter is not real or has two names.
    """
    if any(map(is_lazy, model.parameters())):
        raise InputError("the model has parameters without a shape yet (nn.Lazy...); call it on some inputs once")
    wanted = {name: parameter for name, parameter in model.named_parameters() if is_sampled(parameter)}
    for name, parameter in wanted.items():
        if not parameter.is_floating_point():
            raise InputError(f"parameter {name} is {parameter.dtype}; only real floating-point ones can be sampled")
    if not wanted:
        frozen = len(list(model.parameters()))
        raise InputError(
            "the model has no parameters; there is nothing to sample" if not frozen else
            f"all {frozen} parameters of the model are frozen; set requires_grad where it is to be sampled")
    named_twice = [parameter for _, parameter in model.named_parameters(remove_duplicate=False)
                   if is_sampled(parameter)]
    if len(wanted) < len(named_twice):
        raise InputError("the model uses one parameter under two names; tied weights cannot be sampled, untie them")
    for name, module in model.named_modules():
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) and module.sparse:
            raise InputError(f"{name} is an embedding with sparse gradients, which a prior fills; set sparse=False")
    try:
        model, constants = copy.deepcopy(model), {}
    except Exception as error:  # of many kinds
        raise InputError(f"the model cannot be copied ({reason(error)}); give one that copy.deepcopy takes: of "
                         "torch.nn.utils.weight_norm the one in parametrizations, of a scripted module the "
                         "original") from None
    for part in model.modules():
        own = list(part.parameters())
        if own and not any(map(is_sampled, own)):
            for inner in part.modules():
                inner.stays_in_eval = True
        elif model.training and not part.training:
            part.stays_in_eval = True
    for place, module in model.named_modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if not is_sampled(parameter):
                value = constants[f"{place}.{name}"] = parameter.detach()
                delattr(module, name)
                setattr(module, name, value.to(device))  # a plain attribute: shared by all chains
    return model, checksum({name: value.cpu().contiguous() for name, value in constants.items()})


def is_sampled(parameter: Tensor) -> bool:
    return parameter.requires_grad and parameter.numel() > 0


def padding_rows(model: nn.Module) -> dict[str, Tensor]:
    """Name of each embedding's weight with a padding_idx -> (rows, 1) bool, True at that row."""
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) and module.padding_idx is not None:
            mask = torch.zeros(module.num_embeddings, 1, dtype=torch.bool)
            mask[module.padding_idx] = True
            found[f"{name}.weight" if name else "weight"] = mask
    return found


@torch.no_grad()
def set_start(ensemble: Ensemble, model: nn.Module, padding: dict[str, Tensor], start: str) -> None:
    """Buffers and gains as in the model, and every weight where `start` is "model"; rows of padding in any case."""
    parameters, weights = dict(model.named_parameters()), weights_of(model)
    for name, tensor in ensemble.state().items():
        if name not in parameters:
            tensor.copy_(model.get_buffer(name))
        elif start == "model" or (name not in weights and "bias" not in name.split(".")[-1]):
            tensor.copy_(parameters[name])
        elif name in padding:
            tensor.copy_(torch.where(padding[name].to(tensor.device), parameters[name], tensor))
