"""What a results_<iter>.json must hold to be read."""

from pathlib import Path

from bayesgan.basics.schema import Number, checked, read_json

__all__ = ["read_results"]

LOSSES = [Number(float)]
RESULTS = {"iteration": Number(int, 0), "timestamp": Number(float), "disc_losses": LOSSES, "gen_losses": LOSSES,
           "temperature": Number(float, 0)}


def read_results(path: Path) -> dict:
    """What a results_<iter>.json holds; raises ValueError where it is damaged."""
    return checked(read_json(path, "it is left out"), RESULTS, str(path), "it is left out")
