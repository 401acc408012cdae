"""What config.json says of a run: its options, its data, and what it was made by and on."""

import dataclasses
import hashlib
import re
import subprocess
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bayesgan.basics.devices import device_name
from bayesgan.basics.errors import InputError
from bayesgan.basics.schema import Number, Optional, checked, read_json
from bayesgan.data import Dataset, labelled_rows
from bayesgan.ensemble import ENGINES
from bayesgan.options import ROLES, Engines, Options, check_stored

__all__ = ["FORMAT", "as_json", "computed", "describe_data", "git_commit", "new_config", "read_config", "started",
           "stored_engines", "stored_options", "stored_units"]

# 1: random streams had seeds of 32 bits; 2: not of members; 3: mixture coupling paired whole minibatches; 4: a graph
# never decided all classes before a run settled, and noise had more streams
FORMAT = 5
REMEDY = "restore it from a copy, or start the run anew"
WHOLE = Number(int, 0)
CONFIG = {
    "options": dict,
    "data": {"shape": [Number(int, 1)], "classes": [str], "network": str, "train": WHOLE, "test": WHOLE,
             "calibration": WHOLE, "checksum": str, "rest": Optional(str)},
    "commands": [{"command": [str], "started": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.*")}, ...],
    "format": Optional(Number(int, 1)),
    "versions": Optional(dict),
    "device_type": Optional(str),
    "ended": Optional(WHOLE),
    "exported": Optional(bool),
    "units": Optional([[Number(float)]]),
    "values": Optional({"black": Number(float), "white": Number(float), "kind": re.compile(r"bool|u?int\d+|float\d+")}),
}


def new_config(
    options: Options, data: Dataset, command: list[str], engines: Engines | None, device: torch.device
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


def computed(engines: Engines | None, device: torch.device) -> dict:
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
    """Commit of the code that runs, None outside a checkout, as where it is installed in somebody's."""
    own = Path(__file__)
    try:
        known, answer = (subprocess.run(["git", *words], cwd=own.parent, capture_output=True, text=True)
                         for words in (["ls-files", "--error-unmatch", own.name], ["rev-parse", "HEAD"]))
    except OSError:
        return None
    return None if known.returncode else answer.stdout.strip() or None


def read_config(path: Path) -> dict:
    """config.json of a run's folder.

    Raises:
        ValueError: If there is none that can be read, or it is of a newer version.
    """
    file = path / "config.json"
    if not file.is_file():
        raise InputError(f"{path} is not a run folder, {file} is missing; name a folder like "
                         "runs/bgan_digits_1700000000")
    config = checked(read_json(file, REMEDY), CONFIG, str(file), REMEDY)
    if (config.get("format") or 1) > FORMAT:
        raise InputError(f"{path} was made by a newer version, format {config['format']} and not {FORMAT}; update "
                         "bayesgan to read it")
    try:
        options = stored_options(config)
        check_stored(options)
        if None in (options.burn_in, options.ramp, options.thin):
            raise InputError("burn_in, ramp and thin must be numbers")
        check_units(stored_units(config), config["data"]["shape"])
    except (InputError, TypeError) as error:
        raise InputError(f"{file} is damaged ({error}); {REMEDY}") from None
    return config


def stored_options(config: dict) -> Options:
    """A run's options; what an older version did not have yet is as it was then."""
    known = {field.name: field for field in dataclasses.fields(Options)}
    if unknown := sorted(config["options"].keys() - known.keys()):
        raise InputError(f"there is no option {unknown[0]!r}")
    stored = {"gradient_noise": "ignore", **config["options"]}
    return Options(**{n: Path(v) if known[n].type is Path and isinstance(v, str) else v for n, v in stored.items()})


def stored_engines(config: dict, device: torch.device, file: Path) -> Engines | None:
    """What a run computes with, on the kind of device that it began on; `file` is the config's, for errors."""
    if config.get("device_type", device.type) != device.type:
        return None
    stored = config.get("engines")
    if stored is None:
        return None
    try:
        found = {role: (name, compiled) for role, (name, compiled) in stored.items()}
        if set(found) != set(ROLES) or any(name not in ENGINES or type(compiled) is not bool
                                           for name, compiled in found.values()):
            raise ValueError(f"engines are {stored}")
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{file} is damaged ({error}); {REMEDY}") from None
    return found


def stored_units(config: dict) -> tuple[Tensor, Tensor] | None:
    """Mean and spread (D,) that vectors were standardised by."""
    stored = config.get("units")
    return None if stored is None else tuple(torch.tensor(part, dtype=torch.float64) for part in stored)


def check_units(units: tuple[Tensor, ...] | None, shape: list[int]) -> None:
    """Raises InputError where data of this shape cannot have been standardised so."""
    if units is not None and not (len(units) == 2 and all(list(part.shape) == shape for part in units)
                                  and units[1].min() >= 0 < units[1].max()):
        raise InputError(f"units must be a mean and a spread of {shape[0]} numbers each, no spread below 0 or all 0")
