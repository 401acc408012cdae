"""Sets of images side by side: one classifier judges all of them, a fresh one tells each from real images."""

from torch import Tensor

from bayesgan.data import Dataset, to_bytes
from bayesgan.evaluation.image_scores import Judge, two_sample_auc

__all__ = ["compare"]


def compare(sets: dict[str, Tensor], data: Dataset, judge_steps: int) -> dict[str, dict]:
    """Prints and returns the scores of each set (n, C, H, W) in [-1, 1]; see `Judge.scores` and `two_sample_auc`."""
    judge = Judge(data.train, data.train_labels, data.test, data.test_labels, judge_steps)
    print(f"\njudge's accuracy on real test images {judge.accuracy:.4f}")
    print(f"{'':22}images   classes   class score   Frechet   two-sample AUC (.5 is best)")
    rows = {}
    for name, images in sets.items():
        images = to_bytes(images)  # as real images are stored, or a classifier tells them by their grey levels
        rows[name] = {**judge.scores(images), "two_sample_auc": two_sample_auc(data.train[: len(images)], images, max(1, judge_steps // 3)),
                      "judge_accuracy": judge.accuracy, "images": len(images)}
        print(f"{name:22}{len(images):6}   {rows[name]['covered']:4}      {rows[name]['class_score']:8.2f}    "
              f"{rows[name]['frechet']:8.2f}   {rows[name]['two_sample_auc']:.3f}", flush=True)
    return rows
