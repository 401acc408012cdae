"""What a results_<iter>.json must hold to be read, and what a run's results say of its classifiers."""

from pathlib import Path

from bayesgan.basics.schema import Number, checked, read_json

__all__ = ["CLASSIFIERS", "Curve", "best_errors", "error_curves", "last_of_posterior", "read_results"]

Curve = list[tuple[int, float]]  # iteration, value
CLASSIFIERS = {"supervised": "supervised, same labels", "current": "present ensemble",
               "averaged": "averaged weights", "posterior": "posterior"}

LOSSES = [Number(float)]
RESULTS = {"iteration": Number(int, 0), "timestamp": Number(float), "disc_losses": LOSSES, "gen_losses": LOSSES,
           "temperature": Number(float, 0)}


def read_results(path: Path) -> dict:
    """What a results_<iter>.json holds; raises ValueError where it is damaged."""
    return checked(read_json(path, "it is left out"), RESULTS, str(path), "it is left out")


def error_curves(results: list[dict]) -> dict[str, Curve]:
    """Classifier -> errors at each save; empty without labels."""
    found: dict[str, Curve] = {}
    for one in results:
        for name in CLASSIFIERS:
            if figures := (one.get("classification") or {}).get(name):
                found.setdefault(name, []).append((one["iteration"], figures["errors"]))
    return found


def last_of_posterior(results: list[dict]) -> dict:
    """The posterior's figures on all test data at the last save; empty without labels, or before the first draw."""
    return ((results[-1].get("classification") or {}).get("posterior") or {}) if results else {}


def best_errors(results: list[dict]) -> int | None:
    """The fewest errors of the posterior on all test data at any save; None without labels."""
    found = [one["classification"]["posterior"]["errors"] for one in results
             if isinstance(one.get("classification"), dict) and one["classification"].get("posterior")]
    return min(found, default=None)
