"""Figures for people: means with their spread, and rows of columns as text."""

from collections.abc import Iterable, Sequence

import numpy as np

__all__ = ["aligned", "markdown", "mean_sd", "sd", "several"]


def sd(values: Sequence[float]) -> float:
    """Standard deviation over seeds or draws, n - 1 in its denominator; 0.0 of a single value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def mean_sd(values: Sequence[float], form: str = ".3f") -> str:
    """"mean ± sd" of several values, both in this format; a single value as it is."""
    mean = format(float(np.mean(values)), form)
    return f"{mean} ± {format(sd(values), form)}" if len(values) > 1 else mean


def several(count: int, noun: str) -> str:
    """"1 draw", "2 draws"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def aligned(cells: Iterable[str], widths: Iterable[int], between: str = "  ") -> str:
    """One line: the first cell to the left of its column, the others to the right."""
    first, *others = zip(cells, widths, strict=True)
    return between.join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)])


def markdown(rows: Sequence[dict[str, str]]) -> str:
    """Rows of column -> text, all with the columns of the first, as a Markdown table that is aligned as text too."""
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    head, *body = (f"| {aligned(cells, widths, ' | ')} |" for cells in lines)
    rule = "|".join("-" * (width + 2) for width in widths)
    return "\n".join([head, f"|{rule}|", *body])
