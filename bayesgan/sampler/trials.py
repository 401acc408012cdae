"""The first minibatch of a call: does the model take it, and the likelihood what it says, and by which engine?"""

import torch
from torch import Tensor

from bayesgan.basics.errors import InputError, reason, warn
from bayesgan.ensemble import Ensemble, Outputs
from bayesgan.sampler.checks import check_same_outputs, warn_of_coupling
from bayesgan.sampler.likelihood import Likelihood

__all__ = ["not_taken", "tried"]

FEWEST = 2  # data that batch norm takes


def tried(ensemble: Ensemble, likelihood: Likelihood, inputs: Tensor, targets: Tensor, engine: str) -> str:
    """The engine that computes model and likelihood from here on: "loop" where "vmap" cannot run one of them.

    Args:
        inputs, targets: (chains, B, ...). The ensemble is afterwards as it was.

    Raises:
        ValueError: If either of them cannot be sampled.
    """
    before = {name: tensor.clone() for name, tensor in ensemble.state().items()}
    try:
        outputs = ensemble.forward(inputs, train=True, freeze=True)
        check_same_outputs(outputs, ensemble.forward(inputs, train=True, freeze=True))
        try_half(ensemble, inputs, outputs)
        likelihood.check(outputs, targets)
        if engine == "vmap":
            likelihood.mean_losses(outputs, targets, batched=True)
    except (IndexError, RuntimeError, TypeError, ValueError) as error:  # vmap raises some of these too
        if isinstance(error, (InputError, torch.OutOfMemoryError)):
            raise
        if engine != "vmap":
            raise not_taken(inputs[0], error) from error
        warn(f'"vmap" cannot run this model or likelihood ({reason(error)}); "loop" is used')
        ensemble.use("loop")
        engine = tried(ensemble, likelihood, inputs, targets, "loop")
    ensemble.load_state(before)
    return engine


def try_half(ensemble: Ensemble, inputs: Tensor, outputs: Outputs) -> None:
    """Warns where the model says other things of half of the minibatch (chains, B, ...), if it takes so few."""
    if inputs.shape[1] < 2 * FEWEST:
        return
    try:
        half = ensemble.forward(inputs[:, : inputs.shape[1] // 2], train=True, freeze=True)
    except (IndexError, RuntimeError, TypeError, ValueError):  # a model of one size of minibatches
        return
    warn_of_coupling(outputs, half, inputs.shape[1])


def not_taken(inputs: Tensor, error: Exception) -> InputError:
    """Of inputs (n, ...) on which the model raised."""
    remedy = "give them the shape and the type that it takes"
    if not inputs.is_floating_point():
        remedy = "give it inputs.float() if they are quantities"
    return InputError(f"the model cannot take {inputs.dtype} inputs {tuple(inputs.shape)}, which reach it as they are "
                      f"({reason(error)}); {remedy}")
