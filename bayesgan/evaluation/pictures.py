"""What a person looks at: grids of images, and scatter plots of vectors."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad

from bayesgan.basics.files import save_figure, write_atomically
from bayesgan.basics.later import later
from bayesgan.data import to_bytes

__all__ = ["image_grid", "save_picture", "scatter"]

Figure = later("matplotlib.figure", "Figure")
PCA = later("sklearn.decomposition", "PCA")

SMALLEST_CELL = 32  # pixels a side; smaller images are enlarged by a whole factor
GAP, BETWEEN = 2, 96  # pixels around images, and their grey


def image_grid(images: Tensor, columns: int = 10) -> Tensor:
    """Images (n, C, H, W) in [-1, 1] as one uint8 picture (3, height, width)."""
    factor = max(1, SMALLEST_CELL // images.shape[-1])
    enlarged = images.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
    count, _, height, width = enlarged.shape
    columns = min(columns, count)
    rows = -(-count // columns)
    cells = torch.full((rows * columns, 3, height + GAP, width + GAP), BETWEEN, dtype=torch.uint8)
    cells[:count, :, GAP:, GAP:] = to_bytes(enlarged.cpu())  # grey ones into all three channels
    lines = cells.unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4).reshape(3, rows * (height + GAP), -1)
    return pad(lines, (0, GAP, 0, GAP), value=BETWEEN)


def scatter(data: Tensor, real: Tensor | None) -> Figure:
    """Vectors (n, D) over real ones (m, D), both on the first two principal axes of these; alone on their own."""
    known = data if real is None else real
    axes = PCA(2).fit(known.cpu()) if known.shape[1] > 2 else None
    figure = Figure(figsize=(5, 5), dpi=100)
    panel = figure.subplots()
    for points, colour, label in ((real, "0.7", "real"), (data, "C1", "generated"))[real is None :]:
        plane = axes.transform(points.cpu()) if axes else points.cpu().numpy()
        panel.scatter(plane[:, 0], plane[:, -1], s=4, c=colour, label=label, linewidths=0)
    panel.legend(loc="upper right", markerscale=3)
    panel.set_xlabel("first axis"), panel.set_ylabel("second axis")
    figure.tight_layout()
    return figure


def save_picture(path: Path, data: Tensor, real: Tensor | None = None) -> None:
    """Images as a grid, vectors as a scatter plot over `real`, if there are such, into a .png; never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if data.dim() == 4:
        picture = Image.fromarray(image_grid(data).permute(1, 2, 0).numpy())
        write_atomically(path, lambda file: picture.save(file, format="png"))
    else:
        save_figure(path, scatter(data, real))
