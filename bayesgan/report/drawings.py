"""The figures of a report, as text for an <img>: they read on a light and on a dark page."""

import base64
import io
from pathlib import Path

import matplotlib
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from bayesgan.evaluation.pictures import image_grid
from bayesgan.store.results import Curve

__all__ = ["grid", "lines", "picture_file", "row_pairs"]

GREY = "#808080"  # on white and on black
STYLE = {"text.color": GREY, "axes.labelcolor": GREY, "axes.edgecolor": GREY, "xtick.color": GREY, "ytick.color": GREY,
         "axes.titlecolor": GREY, "svg.fonttype": "none", "font.size": 10, "legend.framealpha": 0.0}


def lines(
    named: dict[str, Curve], title: str, unit: str = "iteration", from_zero: bool = False, legend: bool = True
) -> str:
    """Curves, a curve of one point as a point: a data URI of an SVG."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4, 2.6))
        panel = figure.subplots()
        for name, curve in named.items():
            panel.plot(*zip(*curve), "." if len(curve) == 1 else "-", lw=1.2, label=name.replace("$", r"\$"))
        panel.set(title=title, xlabel=unit)
        if from_zero:
            panel.set_ylim(bottom=0)
        if legend and len(named) > 1:
            panel.legend(fontsize=8)
        figure.tight_layout()
        content = io.BytesIO()
        figure.savefig(content, format="svg", transparent=True)
    return uri(content.getvalue(), "svg+xml")


def grid(images: Tensor, columns: int) -> str:
    """Images (n, C, H, W) in [-1, 1]: a data URI of a PNG."""
    picture = Image.fromarray(image_grid(images, columns).permute(1, 2, 0).numpy())
    content = io.BytesIO()
    picture.save(content, format="png", optimize=True)
    return uri(content.getvalue(), "png")


def row_pairs(above: Tensor, below: Tensor) -> str:
    """(n, C, H, W) twice, the one over the other: a data URI of a PNG."""
    return grid(torch.cat([above, below]), len(above))


def picture_file(path: Path) -> str | None:
    """A picture that lies in the run folder, None where it does not."""
    try:
        return uri(path.read_bytes(), "png")
    except OSError:
        return None


def uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
