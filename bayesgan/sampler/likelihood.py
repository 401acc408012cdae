"""The likelihood as a user gives it, a sum or minus a mean over data, for all chains at once."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._pytree import tree_map

from bayesgan.basics.errors import InputError, reason, refuse_no_function
from bayesgan.ensemble import Outputs
from bayesgan.sampler.checks import check_likelihood, refuse_own_parameters

__all__ = ["Likelihood", "averageable", "one_of", "row_each", "unchanged"]

DISTANCES = (functional.mse_loss, functional.l1_loss, functional.smooth_l1_loss, functional.huber_loss)
DISTANCE_MODULES = (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss)


class Likelihood:
    """One of the two functions of (outputs, targets) that `PosteriorSampler` documents.

    Raises:
        ValueError: If both are given, or none.
    """

    def __init__(self, log_likelihood: Callable | None, mean_loss: Callable | None):
        if (log_likelihood is None) == (mean_loss is None):
            raise InputError("give either log_likelihood (a sum over the batch) or mean_loss (a mean), and not both")
        self.name = "mean_loss" if log_likelihood is None else "log_likelihood"
        self.function = mean_loss if log_likelihood is None else log_likelihood
        self.taken = False  # whether it gave values before
        refuse_no_function(self.function, self.name, "of (outputs, targets)")
        if self.function in DISTANCES or isinstance(self.function, DISTANCE_MODULES):
            raise InputError(f"{self.name} is a distance, without the scale of the noise that makes a probability of "
                             "it, and divides by columns too; for Gaussian noise of standard deviation s give "
                             "log_likelihood=lambda o, t: -((o - t) ** 2).sum() / (2 * s**2)")

    def check(self, outputs: Outputs, targets: Tensor) -> None:
        """Raises ValueError where the function is of the wrong kind; on what all chains returned, (chains, B, ...)."""
        outputs, targets = detached(one_of(outputs, 0)), targets[0].detach()
        with torch.enable_grad():
            refuse_own_parameters(self.name, self._of(outputs, targets))
        check_likelihood(self.name, self._of, outputs, targets)

    def mean_losses(self, outputs: Outputs, targets: Tensor, batched: bool) -> Tensor:
        """Minus the mean log-likelihood of each chain's batch, (chains,).

        Args:
            batched: Compute all chains under torch.func.vmap.
        """
        if batched:
            values = torch.func.vmap(self.function)(outputs, targets)
        else:
            values = torch.stack([self._of(one_of(outputs, chain), targets[chain])
                                  for chain in range(len(targets))])
        self.taken = True
        return values if self.name == "mean_loss" else -values / targets.shape[1]

    def _of(self, outputs: Outputs, targets: Tensor):
        """What the function returns for one chain; ValueError, with what it was asked, where it raises."""
        try:
            return self.function(outputs, targets)
        except torch.OutOfMemoryError:
            raise
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            what, remedy = f"a {type(outputs).__name__}", "pick in it what the likelihood needs"
            if torch.is_tensor(outputs):
                what = f"{outputs.dtype} {tuple(outputs.shape)}"
                remedy = "class numbers are whole and count from 0, other targets have the outputs' shape"
            if self.taken:
                remedy = ("it took what came before: if a chain has left for extreme values, lower lr; else look at "
                          "this minibatch")
            raise InputError(f"{self.name} cannot take what the model returns, {what}, with targets {targets.dtype} "
                             f"{tuple(targets.shape)} ({reason(error)}); {remedy}") from error


def one_of(outputs: Outputs, chain: int) -> Outputs:
    """The outputs of one chain; what is no tensor is the same for all."""
    return tree_map(lambda part: part[chain] if torch.is_tensor(part) else part, outputs)


def detached(outputs: Outputs) -> Outputs:
    return tree_map(lambda part: part.detach() if torch.is_tensor(part) else part, outputs)


def averageable(value) -> Tensor:
    """What `predictive` gave, if a mean of it has a meaning; truth values become 0 and 1."""
    if not torch.is_tensor(value):
        raise InputError(f"predictive must return one tensor, got a {type(value).__name__}; give predictive=, for "
                         "example lambda outputs: outputs[0]")
    if value.dtype == torch.bool:
        return value.float()
    if not value.is_floating_point():
        raise InputError(f"predictive returns {value.dtype}, whose mean over draws has no meaning; return "
                         "probabilities, and pick the class from their mean")
    return value


def row_each(value: Tensor, rows: int) -> Tensor:
    """What `predict` averages, with as many rows as data were asked about."""
    if value.dim() == 0 or len(value) != rows:
        raise InputError(f"predictive must give a row for each of {rows} inputs, got {tuple(value.shape)}; average "
                         "over inputs afterwards, and squeeze one axis by its number")
    return value


def unchanged(outputs: Outputs) -> Outputs:
    """What `predict` averages by default."""
    return outputs
