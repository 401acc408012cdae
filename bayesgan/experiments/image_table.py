"""Sets of images side by side: one classifier judges all of them, a fresh one tells each from real images."""

import torch
from matplotlib.figure import Figure
from torch import Tensor

from bayesgan.basics.randomness import keyed_generator
from bayesgan.data import Dataset, to_bytes, to_float
from bayesgan.evaluation.image_scores import Judge, two_sample_auc
from bayesgan.experiments.registry import Report

__all__ = ["compare", "report"]


def compare(sets: dict[str, Tensor], data: Dataset, judge_steps: int) -> dict[str, dict]:
    """The scores of each set (n, C, H, W) in [-1, 1], and of real ones; see `Judge.scores` and `two_sample_auc`.

    The test images are halved: one half is the row "real", the other the reference of the Frechet distance. All sets
    are cut to one size, since that distance depends on it.
    """
    order = torch.randperm(len(data.test), generator=keyed_generator(0, "reference"))
    count = min(len(order) // 2, *map(len, sets.values()))
    sets = {**sets, "real": to_float(data.test[order[:count]])}
    reference = data.test[order[count : 2 * count]]
    judge = Judge(data.train, data.train_labels, data.test, data.test_labels, judge_steps, reference=reference)
    rows = {}
    for name, images in sets.items():
        images = to_bytes(images[:count])  # as real images are stored, or a classifier tells them by their grey levels
        auc = two_sample_auc(data.train[: len(images)], images, max(1, judge_steps // 3))
        rows[name] = {**judge.scores(images), "two_sample_auc": auc, "judge_accuracy": judge.accuracy,
                      "images": len(images)}
        print(f"scored {name}", flush=True)
    return rows


def report(rows: dict[str, dict], pictures: dict[str, Figure | Tensor]) -> Report:
    """What `compare` found, with pictures of it."""
    table = [
        {"set": name, "images": str(row["images"]), "classes": str(row["covered"]),
         "class score": f"{row['class_score']:.2f}", "Frechet": f"{row['frechet']:.2f}",
         "two-sample AUC (.5 is best)": f"{row['two_sample_auc']:.3f}"}
        for name, row in rows.items()
    ]
    accuracy = next(iter(rows.values()))["judge_accuracy"]
    return Report(rows, table, pictures, f"judge's accuracy on real test images {accuracy:.4f}")
