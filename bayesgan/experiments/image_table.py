"""Sets of images side by side: one classifier judges all of them, a fresh one tells each from real images."""

import torch
from matplotlib.figure import Figure
from torch import Tensor

from bayesgan.basics.randomness import keyed_generator
from bayesgan.basics.tables import mean_sd
from bayesgan.data import Dataset, some, to_bytes, to_float
from bayesgan.evaluation.image_scores import Judge, two_sample_auc
from bayesgan.evaluation.pictures import image_grid
from bayesgan.experiments.registry import Report

__all__ = ["compare", "report", "side_by_side"]

FIGURES = {"class_score": ("class score", ".2f"), "class_kl": ("class KL", ".3f"), "frechet": ("Frechet", ".1f"),
           "precision": ("precision", ".2f"), "recall": ("recall", ".2f"),
           "two_sample_auc": ("two-sample AUC (.5 is best)", ".3f")}


def judged_by(data: Dataset, count: int, steps: int) -> tuple[Judge, Tensor]:
    """A judge with half of the test images, at most `count`, as its reference; and as many of the other half."""
    order = torch.randperm(len(data.test), generator=keyed_generator(0, "reference"))
    count = min(len(order) // 2, count)
    judge = Judge(data.train, data.train_labels, data.test, data.test_labels, steps,
                  reference=data.test[order[count : 2 * count]])
    return judge, data.test[order[:count]]


def compare(sets: dict[str, Tensor], data: Dataset, judge_steps: int) -> dict[str, dict]:
    """The scores of each set (n, C, H, W) in [-1, 1], and of real ones; see `Judge.scores` and `two_sample_auc`.

    All sets are cut to one size, since a Frechet distance depends on it.
    """
    judge, real = judged_by(data, min(map(len, sets.values())), judge_steps)
    rows = {}
    for name, images in {**sets, "real": to_float(real)}.items():
        images = to_bytes(images[: len(real)])  # as real images are stored, or a classifier tells them by grey levels
        auc = two_sample_auc(some(data.train, len(images)), images, max(1, judge_steps // 3))
        rows[name] = {**judge.scores(images), "two_sample_auc": auc, "judge_accuracy": judge.accuracy,
                      "images": len(images)}
        print(f"scored {name}", flush=True)
    return rows


def report(seeds: list[dict[str, dict]], pictures: dict[str, Figure | Tensor]) -> Report:
    """What `compare` found for each seed, with pictures of it."""
    names = dict.fromkeys(name for rows in seeds for name in rows)
    table = []
    for name in names:
        own = [rows[name] for rows in seeds if name in rows]
        table.append({"set": name, "seeds": str(len(own)), "classes": mean_sd([row["covered"] for row in own], ".1f"),
                      **{title: mean_sd([row[key] for row in own], form) for key, (title, form) in FIGURES.items()}})
    first = next(row for name, row in seeds[0].items() if name.endswith("real"))
    note = (f"mean ± sd over {len(seeds)} seeds, {first['images']} images; the judge's accuracy on real test images "
            f"{first['judge_accuracy']:.4f}")
    return Report(seeds, table, pictures, note)


def side_by_side(shown: dict[str, Tensor]) -> Figure:
    """A grid of 64 of each, next to each other."""
    figure = Figure(figsize=(4 * len(shown), 4.3), dpi=100)
    for panel, (name, images) in zip(figure.subplots(1, len(shown)), shown.items(), strict=True):
        panel.imshow(image_grid(to_float(images), columns=8).permute(1, 2, 0).numpy())
        panel.set(title=name, xticks=[], yticks=[])
    figure.tight_layout()
    return figure
