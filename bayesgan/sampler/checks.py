"""What cannot be sampled, found before the chain moves: models, likelihoods of the wrong scale or sign, randomness."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from bayesgan.basics.errors import InputError, warn
from bayesgan.ensemble import Outputs

__all__ = ["check_finite", "check_given", "check_likelihood", "check_moved", "check_same_outputs",
           "check_state", "refuse_own_parameters", "warn_of_coupling"]

FEW = 8  # data that a likelihood is asked about one by one


def check_given(moving: list[Tensor], name: Callable[[Tensor], str]) -> None:
    """Raises ValueError where nothing is to be moved, or a parameter that is has no gradient."""
    if not moving:
        raise InputError("no parameter requires a gradient, so there is nothing to move; unfreeze some")
    for parameter in moving:
        if parameter.grad is None:
            raise InputError(f"{name(parameter)} has no gradient; call backward() first, or freeze it with "
                             "requires_grad_(False)")


def check_finite(moving: list[Tensor], name: Callable[[Tensor], str], step: int, always: bool) -> None:
    """Raises ValueError for a gradient with NaN or infinity in it.

    Args:
        always: Whether the step before was checked as well.
    """
    # a sum is the cheapest pass that NaN and infinity survive; a finite overflow is told apart below
    sums = torch.stack([parameter.grad.sum().double() for parameter in moving])
    if sums.isfinite().all():
        return
    for parameter in moving:
        if not parameter.grad.isfinite().all():
            raise InputError(f"{name(parameter)} has a non-finite gradient at step {step}"
                             f"{'' if always else ' or shortly before'}; lower the step size (lr, eta) or clip "
                             "the loss")


def check_state(state_dict: dict, parameters: list[Tensor]) -> None:
    """Raises ValueError for a stored state of SGHMC that is not one of these parameters, or holds NaN."""
    extra = state_dict["sghmc"]
    if type(extra.get("steps")) is not int or extra["steps"] < 0 or type(extra.get("frozen")) is not bool:
        raise InputError(f"a stored chain is damaged: steps {extra.get('steps')!r}, frozen {extra.get('frozen')!r}")
    for number, values in state_dict["state"].items():
        if type(number) is not int or not 0 <= number < len(parameters):
            raise InputError(f"a stored chain is damaged: it has a parameter {number!r} of {len(parameters)}")
        if not (isinstance(eta := values.get("eta", 1.0), (int, float)) and 0 < eta < float("inf")):
            raise InputError(f"a stored chain is damaged: the step size of parameter {number} is {eta!r}")
        for name, value in values.items():
            if torch.is_tensor(value) and (value.shape != parameters[number].shape or not value.isfinite().all()):
                raise InputError(f"a stored chain is damaged: {name} of parameter {number} has shape "
                                 f"{tuple(value.shape)}, or NaN, for a parameter of {tuple(parameters[number].shape)}")


def check_moved(name: str, momentum: Tensor, after: Tensor, before: Tensor) -> None:
    """Raises ValueError where noise was added and every weight has rounded back to what it was."""
    step = momentum.abs().max()
    if step > 0 and torch.equal(after, before):
        raise InputError(f"{name} does not move: steps of {step:.1g} are lost in {after.dtype} numbers of "
                         f"{before.abs().max():.1g}; raise eta, or use a wider type")


def check_same_outputs(once: Outputs, twice: Outputs) -> None:
    """Raises ValueError if a model gave two answers in training mode to the same inputs: it has noise of its own."""
    pairs = [pair for pair in zip(tree_leaves(once), tree_leaves(twice)) if torch.is_tensor(pair[0])]
    if not all(torch.allclose(*pair, rtol=1e-3, atol=1e-5, equal_nan=True) for pair in pairs):
        raise InputError(
            "the model is random while it trains (dropout, also inside attention and LSTMs, or noise), which is no "
            "part of the posterior; set its rate to 0. Or its buffers change what it says, as those of spectral_norm: "
            "leave that out"
        )


def warn_of_coupling(whole: Outputs, half: Outputs, rows: int) -> None:
    """Warns where a model (chains, rows, ...) says other things of the first half of a minibatch that is alone."""
    for one, other in zip(tree_leaves(whole), tree_leaves(half)):
        if not torch.is_tensor(one) or one.dim() < 2 or one.shape[1] != rows:
            continue
        if not torch.allclose(one[:, : other.shape[1]], other, rtol=1e-2, atol=1e-3, equal_nan=True):
            warn("what the model says of a datum depends on the others in its minibatch (batch norm), so that "
                 "no posterior of independent data is sampled; use group or layer norm, or freeze that part")
            return


def refuse_own_parameters(name: str, value) -> None:
    """Raises ValueError where what a likelihood gave of outputs without a gradient has one."""
    if torch.is_tensor(value) and value.requires_grad:
        raise InputError(f"{name} depends on parameters of its own, which no chain moves; put a scale of the noise "
                         "into the model, as one of its outputs, a regulariser into prior, and freeze what is constant "
                         "by requires_grad_(False)")


@torch.no_grad()
def check_likelihood(name: str, function: Callable, outputs: Outputs, targets: Tensor) -> None:
    """Raises ValueError for a likelihood of the wrong kind, on one chain's (B, ...) outputs and targets.

    A sum doubles when the batch is repeated and a mean stays: the mistake that is off by a factor of N. A batch's value
    is the sum, or the mean, of those of its data one by one: with (n, 1) against (n) it is not. And a likelihood falls
    when the outputs leave the targets: with the wrong sign the chain would flee from the data.

    Args:
        name: "log_likelihood" or "mean_loss".
        function: What the user gave under that name.
    """
    summed = name == "log_likelihood"
    once = function(outputs, targets)
    twice = function(rows_of(outputs, lambda part: torch.cat([part] * 2), len(targets)), torch.cat([targets] * 2))
    if not torch.is_tensor(once) or once.dim() != 0:
        shape = tuple(once.shape) if torch.is_tensor(once) else type(once).__name__
        raise InputError(
            f"{name} must return a scalar tensor, got {shape}; end it with {'.sum()' if summed else '.mean()'}"
        )
    is_mean = torch.isclose(twice, once, rtol=1e-3)
    is_sum = torch.isclose(twice, 2 * once, rtol=1e-3)
    if summed and is_mean and not is_sum:
        raise InputError(
            "log_likelihood must return the sum over the batch and returns a mean; use "
            'reduction="sum", or pass minus it as mean_loss'
        )
    if not summed and is_sum and not is_mean:
        raise InputError(
            "mean_loss must return the mean over the batch and returns a sum; use "
            'reduction="mean", or pass minus it as log_likelihood'
        )
    check_additive(name, function, outputs, targets)
    check_columns(name, function, outputs, targets)
    best, off = fits_and_misfits(outputs, targets)
    if best is None or (targets.is_floating_point() and not one_column_says_something(function, outputs, targets)):
        return
    try:
        values = torch.stack([function(at, targets) for at in (best, *off)]).double()
    except Exception:  # the likelihood takes other outputs, such as probabilities: nothing can be told
        return
    fall = values[0] - values[1:].mean() if summed else values[1:].mean() - values[0]
    # a probability of classes has no positive logarithm, whatever the model's outputs mean
    if not targets.is_floating_point() and (once <= 0 if summed else once >= 0):
        return
    if values.isfinite().all() and fall < -1e-6 * (1 + values.abs().max()):
        raise InputError(
            f"{name} is better the further the outputs are from the targets ({values[0]:.4g} on them, "
            f"{values[1:].mean():.4g} away): its sign is wrong; "
            + ("return log p, which is minus the loss" if summed else "return the loss, which is minus log p")
        )


def check_additive(name: str, function: Callable, outputs: Outputs, targets: Tensor) -> None:
    """Raises ValueError where a batch's value is not the sum, or the mean, of its data's own.

    Asked of data with targets as different as there are: data may lie in order of classes, or some be ignored.
    """
    rows = min(FEW, len(targets))
    in_order = targets.reshape(len(targets), -1).double().sum(1).argsort()
    chosen = in_order[torch.linspace(0, len(targets) - 1, rows).long()]

    def at(part: Tensor) -> Tensor:
        return function(rows_of(outputs, lambda output: output[part], len(targets)), targets[part]).double()

    try:
        together = at(chosen)
        alone = torch.stack([at(row) for row in chosen.split(1)])
    except Exception:  # the likelihood takes no parts of a batch
        return
    if name == "mean_loss" and together.isfinite() and alone.isnan().any():
        raise InputError("mean_loss of one datum alone is NaN, and of several it is not, as where some targets are "
                         "ignored: a mean over the others counts as one over all; leave these data out, or give the "
                         "sum as log_likelihood")
    expected = alone.sum() if name == "log_likelihood" else alone.mean()
    scale = alone.abs().sum() / (1 if name == "log_likelihood" else rows)
    coarse = any(leaf.dtype in (torch.bfloat16, torch.float16) for leaf in tree_leaves(outputs)
                 if torch.is_tensor(leaf))
    if not alone.isfinite().all() or (together - expected).abs() <= (0.03 if coarse else 1e-3) * scale + 1e-6:
        return
    shapes = " and ".join(str(tuple(leaf.shape[1:])) for leaf in tree_leaves(outputs) if torch.is_tensor(leaf))
    kind = "sum" if name == "log_likelihood" else "mean"
    reason = "it is no plain sum or mean over data; leave out what couples or weighs them"
    if torch.is_tensor(outputs) and outputs.dim() != targets.dim() and outputs.numel() == targets.numel():
        reason = "their shapes broadcast against each other; bring both to one shape, for example outputs.squeeze(-1)"
    raise InputError(f"{name} of {rows} data is {together:.4g} and the {kind} of theirs one by one {expected:.4g}, for "
                     f"outputs of shape {shapes} and targets of shape {tuple(targets.shape[1:])} a datum: {reason}")


def check_columns(name: str, function: Callable, outputs: Outputs, targets: Tensor) -> None:
    """Raises ValueError for a mean over the numbers of a target, which makes a posterior as many times too wide.

    Where the value of some of them is the mean of those of one at a time, and not the sum. What picks them by place
    cannot be asked about one of them.
    """
    if not torch.is_tensor(outputs):
        return
    extra = outputs.dim() - targets.dim()  # 1 where class scores have an axis of their own, before the others or last
    for axis in range(1, targets.dim()):
        for own in {axis, axis + extra} if extra in (0, 1) else ():
            count = min(FEW, targets.shape[axis])
            if count < 2 or outputs.shape[own] != targets.shape[axis]:
                continue

            try:
                parts = [function(outputs.narrow(own, start, length), targets.narrow(axis, start, length)).double()
                         for start, length in ((0, count), *((place, 1) for place in range(count)))]
                together, alone = parts[0], torch.stack(parts[1:])
            except Exception:  # it takes so many numbers and no others
                continue
            if torch.isclose(together, alone.mean(), rtol=1e-3) and not torch.isclose(together, alone.sum(), rtol=1e-3):
                raise InputError(f"{name} is a mean over the {targets[0].numel()} numbers of each target too, which "
                                 "makes the posterior as many times too wide; sum over these (also where a factor of "
                                 "yours makes up for it)")


def one_column_says_something(function: Callable, outputs: Tensor, targets: Tensor) -> bool:
    """Whether the numbers of a target are of one kind, and not a time and an event, or a count and its total."""
    try:
        return targets.dim() < 2 or targets.shape[1] < 2 or bool(function(outputs[:, :1], targets[:, :1]).isfinite())
    except Exception:
        return False


def rows_of(outputs: Outputs, pick: Callable[[Tensor], Tensor], rows: int) -> Outputs:
    """`pick` of every output with a row a datum; others, such as a loss of the model's own, as they are."""
    return tree_map(
        lambda part: pick(part) if torch.is_tensor(part) and part.dim() > 0 and len(part) == rows else part, outputs)


def fits_and_misfits(outputs: Outputs, targets: Tensor) -> tuple[Tensor | None, list[Tensor]]:
    """Outputs that meet the targets and some about as far from them on every side; None where neither can be told.

    For class numbers, log-probabilities, which both cross_entropy and nll_loss take: the true class or another one
    is likely. For real targets of the outputs' shape: the targets themselves, and shifted up and down.
    """
    if not torch.is_tensor(outputs) or outputs.is_complex():
        return None, []
    if not targets.is_floating_point() and outputs.dim() == targets.dim() + 1 == 2 and outputs.shape[1] > 1:
        classes = outputs.shape[1]
        if targets.min() < 0 or targets.max() >= classes:
            return None, []
        turned = [(targets.long() + shift) % classes for shift in range(classes)]
        best, *off = (
            (4 * nn.functional.one_hot(labels, classes).to(outputs)).log_softmax(1) for labels in turned
        )
        return best, off
    if targets.is_floating_point() and targets.shape == outputs.shape:
        best = targets.to(outputs)
        spread = best.std() if best.numel() > 1 and best.std() > 0 else best.new_ones(())
        return best, [best + spread, best - spread]
    return None, []
