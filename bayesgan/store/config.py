"""What config.json says of a run: its options, its data, and what it was made by and on."""

import dataclasses
import hashlib
import subprocess
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from bayesgan.basics.devices import device_name
from bayesgan.data import Dataset, labelled_rows
from bayesgan.options import Options

__all__ = ["FORMAT", "as_json", "computed", "describe_data", "git_commit", "new_config", "started"]

# 1: random streams had seeds of 32 bits; 2: not of members; 3: mixture coupling paired whole minibatches; 4: a graph
# never decided all classes before a run settled, and noise had more streams
FORMAT = 5


def new_config(
    options: Options, data: Dataset, command: list[str], engines: dict | None, device: torch.device
) -> dict:
    """Of a run that begins: `engines` and `device` are what it computes with and on."""
    return {
        "format": FORMAT,
        "options": as_json(options),
        "data": describe_data(options, data),
        "units": None if data.units is None else [part.tolist() for part in data.units],
        "values": None if data.values is None else data.values._asdict(),
        "versions": {"torch": torch.__version__, "numpy": np.__version__,
                     **{name: metadata.version(name) for name in ("torchvision", "scikit-learn")}},
        "git_commit": git_commit(),
        "commands": [started(command)],
        "ended": 0,
        **computed(engines, device),
    }


def computed(engines: dict | None, device: torch.device) -> dict:
    """What a run computes with, and on."""
    return {"engines": engines, "device": device_name(device), "device_type": device.type}


def describe_data(options: Options, data: Dataset) -> dict:
    """What tells one data set from another, checksums included: of the training data and the labels that are read, and
    of the rest.
    """
    digest = hashlib.sha256(data.train.cpu().numpy().tobytes())
    if options.semi:
        digest.update(data.train_labels[labelled_rows(data)].cpu().numpy().tobytes())
    return {
        "shape": list(data.shape), "network": options.network_name(data.shape), "classes": list(data.classes),
        "train": len(data.train), "test": len(data.test), "calibration": len(data.calibration),
        "checksum": digest.hexdigest()[:16], "rest": checksum_of_rest(options, data),
    }


def checksum_of_rest(options: Options, data: Dataset) -> str:
    """Of what is not trained on: test and calibration data; and of which training data have labels that are read."""
    parts = [data.test, data.calibration]
    if options.semi:
        parts += [data.test_labels, labelled_rows(data)]
    digest = hashlib.sha256()
    for part in filter(torch.is_tensor, parts):
        digest.update(part.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def as_json(options: Options) -> dict:
    """The options with paths as text."""
    return {name: str(v) if isinstance(v, Path) else v for name, v in dataclasses.asdict(options).items()}


def started(command: list[str]) -> dict:
    """A command line and the time it was given, UTC."""
    return {"command": command, "started": datetime.now(timezone.utc).isoformat(timespec="seconds")}


def git_commit() -> str | None:
    """Commit of the code that runs, None outside a checkout."""
    try:
        answer = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True)
    except OSError:
        return None
    return answer.stdout.strip() or None
