"""The temperature that a chain really has, read off its momentum."""

import torch
from torch import Tensor

from bayesgan.basics.errors import InputError
from bayesgan.sampler.sghmc import SGHMC

__all__ = ["kinetic_temperature"]


@torch.no_grad()
def kinetic_temperature(chain: SGHMC, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    """Kinetic temperature of each chain and parameter just before a step, bias of the scheme divided out.

    With momentum v, gradient g of U and preconditioner C, averaged over a tensor's weights:

        symplectic:  (1 - alpha/2) E[v²/C] / eta - E[g·v] / 2
        baoa:        E[v²/C] / eta + beta_hat (4 - 3 alpha) / (4 - 2 alpha)

    On a quadratic potential both are T exactly, whatever eta and the curvature (baoa with beta_hat to leading order in
    eta times the curvature): v² alone reads
    T · 4/(4 - 2 alpha - eta k), and E[g·v] = 2 eta k T/(4 - 2 alpha - eta k) is what tells k. So this shows heat from
    gradient noise, not the symplectic scheme's own bias in θ; right after a phase at another temperature it lags.

    Returns:
        Name -> (chains,), where the chain is: nothing waits for the device. Without parameters that it does not move.
    """
    groups = {parameter: group for group in chain.param_groups for parameter in group["params"]}
    temperatures = {}
    for name, parameter in parameters.items():
        if parameter not in groups or not parameter.requires_grad:
            continue
        group, state, chains = groups[parameter], chain.state[parameter], len(parameter) if parameter.dim() else 1
        if "momentum" not in state:
            temperatures[name] = parameter.new_zeros(chains)
            continue
        values = chain.values_of(group, parameter, max(0, chain.steps - 1))
        eta, alpha = state.get("eta", values["eta"]), values["alpha"]
        momentum = state["momentum"].reshape(chains, -1)
        square = momentum**2
        if "preconditioner" in state:
            square = square / state["preconditioner"].reshape(chains, -1)
        moving = 1.0 if "held" not in state else 1 - state["held"].reshape(chains, -1).float().mean(1)
        value = square.mean(1) / eta / moving
        if chain.scheme == "symplectic":
            if parameter.grad is None:
                raise InputError(f"{name} has no gradient; ask between backward() and step(), before zero_grad()")
            force = group["gradient_scale"] * parameter.grad.reshape(chains, -1)
            value = (1 - alpha / 2) * value - (force * momentum).mean(1) / moving / 2
        else:
            value = value + values["beta_hat"] * (4 - 3 * alpha) / (4 - 2 * alpha)
        # where every weight is held nothing has a temperature, and nothing is wrong
        temperatures[name] = value if "held" not in state else value.where(moving > 0, values["temperature"])
    return temperatures
