"""The registry of experiments, and what they all write."""

import argparse
import json
import platform
from collections.abc import Callable
from datetime import date
from pathlib import Path

import torch

from bayesgan.basics.files import write_atomically
from bayesgan.basics.registry import Registry

__all__ = ["EXPERIMENTS", "save_results"]

Experiment = tuple[Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], None]]
EXPERIMENTS: Registry[Experiment] = Registry("experiment")


def save_results(path: Path, command: str, results: object) -> None:
    """results.json: the figures with what they were measured on."""
    content = {
        "command": command, "date": date.today().isoformat(), "torch": torch.__version__,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads"
                   + (f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""),
        "results": results,
    }
    write_atomically(path, lambda file: file.write_text(json.dumps(content, indent=1)))
