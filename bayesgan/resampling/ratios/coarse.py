"""A ratio on a coarse view of images: it cannot see the artefacts by which a sharp discriminator tells them apart."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from bayesgan.basics.errors import InputError
from bayesgan.resampling.ratios.network import fit_network
from bayesgan.resampling.ratios.task import Task
from bayesgan.resampling.registry import RATIOS, Ratio

__all__ = ["Coarse"]

FINEST = 7  # maps of the default view, a side


@RATIOS.register("coarse")
@dataclass(frozen=True)
class Coarse(Ratio):
    """Eight small networks on averages of the image.

    Attributes:
        side: Averages a side and channel; 0 for the least of 7 and half the image's side.
    """

    side: int = 0

    def lacks(self, task: Task) -> str:
        return "" if task.images else "ratio coarse averages images (n, C, H, W); for vectors use boosting"

    def fit(self, task: Task) -> tuple[Callable[[Tensor], Tensor], str]:
        least = min(task.real.shape[2:])
        side = self.side or max(1, min(FINEST, least // 2))
        if not 1 <= side <= least:
            raise InputError(f"side must be in 1..{least}, the side of the images, got {side}; a coarse view has fewer "
                             "values than the image")
        return fit_network(partial(averages, task, side), task, "averages"), "logit"


def averages(task: Task, side: int, images: Tensor) -> Tensor:
    """(n, C, side, side)."""
    return adaptive_avg_pool2d(task.as_stored(images), side)
