"""What do two chains draw of circles, squares, stars and triangles? Early and late, losses, shapes by generator.

The three figures of the four-shapes tutorial, by default at 64x64: the tutorial's 200x200 cost ten times as much.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import matplotlib.image
import torch
from matplotlib.figure import Figure

from bayesgan.data import to_bytes
from bayesgan.evaluation.image_scores import Judge
from bayesgan.experiments.cells import Cells
from bayesgan.experiments.registry import EXPERIMENTS, Experiment, Report
from bayesgan.experiments.runs import run_cells, seconds
from bayesgan.options import option
from bayesgan.store import Posterior, RunFolder

__all__ = ["Settings", "run"]

MOMENTS = ("early", "middle", "late")
LOSSES = {"generators": "gen_losses", "discriminators, training data": "disc_losses_train",
          "discriminators, test data": "disc_losses_test"}


@dataclass(frozen=True)
class Settings:
    data_path: Path = option(Path("datasets"), "folder with shapes.zip")
    cache_path: Path = option(Path("datasets"), "folder for the decoded pictures")
    image_size: int = option(64, "side of the images, 200 as in the tutorial", least=8, most=200)
    df_dim: int = option(32, "width of the networks next to the data", least=1)
    num_gen: int = option(1, "generators of each of the two chains", least=1)
    temperature: float = option(1.0, "of the posterior", least=0)
    train_iter: int = option(1500, "iterations", least=6)
    samples: int = option(500, "images of each generator whose shape is told", least=1)
    judge_steps: int = option(400, "training of the classifier that tells it", least=1)


class Cell(NamedTuple):
    """The one run."""

    seed: int


def run(settings: Settings, cells: Cells) -> Report:
    """Trains the run, and draws the three figures."""
    given = {name: value for name, value in asdict(settings).items() if name not in ("samples", "judge_steps")}
    wanted = {"dataset": "four_shapes", "z_dim": 10, "num_mcmc": 2, "batch_size": 32, "save_samples": True,
              "n_save": max(1, settings.train_iter // 12), "random_seed": 0, **given}
    (found,) = run_cells(cells, {Cell(0): wanted}, lambda key, folder: measured(folder, settings),
                         samples=settings.samples, judge_steps=settings.judge_steps).values()
    shapes = found["classes"]
    table = [{"generator": name, **{shape: f"{share:.2f}" for shape, share in zip(shapes, shares)}}
             for name, shares in found["shares"].items()]
    note = (f"share of {settings.samples} images of each generator (newest draw), told by a classifier that is right "
            f"on {found['accuracy']:.1%} of real test images; {found['seconds'] / 60:.1f} minutes of training")
    return Report(found, table, {"samples": over_time(found["pictures"]), "losses": curves(found["losses"])}, note)


@torch.no_grad()
def measured(folder: RunFolder, settings: Settings) -> dict:
    """classes, shares: which shapes every generator draws; pictures: three of the run's; losses: name -> curve."""
    data, posterior = folder.load_data(), Posterior(folder, "cpu")
    with torch.enable_grad():
        judge = Judge(data.train, data.train_labels, data.test, data.test_labels, settings.judge_steps)
    newest, shares = next(iter(posterior.newest(1).each("generators"))), {}
    source = torch.Generator().manual_seed(0)
    for member in range(newest.members):
        latent = torch.randn(settings.samples, posterior.options.z_dim, generator=source)
        images = torch.cat([to_bytes(newest.forward_member(member, part)) for part in latent.split(100)])
        shares[str(member)] = judge.scores(images)["class_shares"]
    pictures = sorted((folder.path / "samples").glob("mixture_*.png"))
    results = folder.results()
    return {
        "classes": data.classes, "shares": shares, "accuracy": judge.accuracy, "seconds": seconds(folder),
        "pictures": [str(pictures[at]) for at in (0, len(pictures) // 2, -1)],
        "losses": {name: [(one["iteration"], sum(one[key]) / len(one[key])) for one in results]
                   for name, key in LOSSES.items()},
    }


def over_time(pictures: list[str]) -> Figure:
    """The mixture at three moments."""
    figure = Figure(figsize=(4 * len(pictures), 4.3), dpi=100)
    for panel, moment, path in zip(figure.subplots(1, len(pictures)), MOMENTS, pictures, strict=True):
        panel.imshow(matplotlib.image.imread(path))
        panel.set(title=f"{moment}, iteration {int(Path(path).stem.removeprefix('mixture_'))}", xticks=[], yticks=[])
    figure.tight_layout()
    return figure


def curves(losses: dict[str, list[tuple[int, float]]]) -> Figure:
    """Mean losses over the iterations."""
    figure = Figure(figsize=(6, 3.6), dpi=100)
    panel = figure.subplots()
    for name, curve in losses.items():
        panel.plot(*zip(*curve), ".-", label=name)
    panel.set(xlabel="iteration", ylabel="mean loss")
    panel.legend(fontsize=8)
    figure.tight_layout()
    return figure


EXPERIMENTS.register("four_shapes")(Experiment(Settings, run, __doc__))
