"""The registry of experiments, and what every one of them is."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from matplotlib.figure import Figure
from torch import Tensor

from bayesgan.basics.registry import Registry
from bayesgan.experiments.cells import Cells

__all__ = ["EXPERIMENTS", "Experiment", "Report"]


@dataclass(frozen=True)
class Report:
    """What an experiment found; frame.py writes it.

    Attributes:
        results: The figures, as JSON has them.
        table: Rows of column -> text.
        pictures: Name -> a figure, or images (n, C, H, W) in [-1, 1].
        note: What the table's figures are, one line.
        files: Name -> text of what else is written.
    """

    results: object
    table: list[dict[str, str]]
    pictures: dict[str, Figure | Tensor]
    note: str = ""
    files: dict[str, str] = field(default_factory=dict)


class Experiment(NamedTuple):
    """A question and how it is answered.

    Attributes:
        settings: A frozen dataclass, a flag each field (bayesgan.options.option).
        run: (its instance, the results folder's cells) -> report.
        about: The module's docstring; its first line is a sentence, the question.
    """

    settings: type
    run: Callable[[object, Cells], Report]
    about: str


EXPERIMENTS: Registry[Experiment] = Registry("experiment")
