"""Sets of images side by side: one classifier judges all of them, a fresh one tells each from real images."""

from matplotlib.figure import Figure
from torch import Tensor

from bayesgan.data import Dataset, to_bytes
from bayesgan.evaluation.image_scores import Judge, two_sample_auc
from bayesgan.experiments.registry import Report

__all__ = ["compare", "report"]


def compare(sets: dict[str, Tensor], data: Dataset, judge_steps: int) -> dict[str, dict]:
    """The scores of each set (n, C, H, W) in [-1, 1]; see `Judge.scores` and `two_sample_auc`."""
    judge = Judge(data.train, data.train_labels, data.test, data.test_labels, judge_steps)
    rows = {}
    for name, images in sets.items():
        images = to_bytes(images)  # as real images are stored, or a classifier tells them by their grey levels
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
