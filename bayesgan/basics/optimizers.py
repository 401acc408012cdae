"""torch's optimisers without its compiler, which some of their methods import to hide from it: a second and a half."""

from inspect import unwrap

import torch

__all__ = ["Adam", "Optimizer"]


class Optimizer(torch.optim.Optimizer):
    """The base class, as torch's."""

    state_dict = unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = unwrap(torch.optim.Optimizer.load_state_dict)
    zero_grad = unwrap(torch.optim.Optimizer.zero_grad)
    add_param_group = unwrap(torch.optim.Optimizer.add_param_group)


class Adam(Optimizer, torch.optim.Adam):
    """As torch's, but not differentiable."""

    step = torch.no_grad()(unwrap(torch.optim.Adam.step))
