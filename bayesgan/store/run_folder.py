"""A run's folder: what is written where, and how a run is found again.

    config.json  hypers.txt  results_<iter>.json  weights_<iter>.npz  tensorboard/  samples/  checkpoints/  posterior/
    labelled.json  supervised.safetensors                                                          (semi-supervised)
"""

import dataclasses
import hashlib
import json
import pprint
import subprocess
import time
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import sklearn
import torch
import torchvision
from safetensors.torch import load_file, save_file

from bayesgan.data import Dataset, labelled_rows
from bayesgan.ensemble import Ensemble, SampleStore
from bayesgan.basics.errors import InputError
from bayesgan.basics.files import write_atomically
from bayesgan.training.algorithm import Engines, Losses, Trainer
from bayesgan.options.options import Options, load_data
from bayesgan.training.supervised import new_classifier, train_supervised

__all__ = ["RunFolder", "describe_data"]


class RunFolder:
    """Reads and writes one run.

    Attributes:
        path: The folder.
        config: {"options", "data", "versions", "git_commit", "commands"}, as in config.json.
    """

    def __init__(self, path: Path, config: dict):
        self.path, self.config = Path(path), config

    @classmethod
    def create(cls, options: Options, data: Dataset, command: list[str], engines: Engines | None = None) -> "RunFolder":
        """Makes out_dir/bgan_<dataset>_<time>; never an existing one. `engines` are what the run computes with.

        Raises:
            ValueError: If out_dir is a file or cannot be written.
        """
        name = f"bgan_{options.dataset}_{int(time.time())}"
        try:
            options.out_dir.mkdir(parents=True, exist_ok=True)
            path, attempt = options.out_dir / name, 0
            while path.exists():
                attempt += 1
                path = options.out_dir / f"{name}_{attempt}"
            path.mkdir()
        except OSError as error:
            raise InputError(f"--out_dir must be a folder that can be written, got {options.out_dir} "
                             f"({error.strerror}); name another") from None
        config = {
            "format": 1,
            "options": as_json(options),
            "data": describe_data(options, data),
            "versions": {"torch": torch.__version__, "torchvision": torchvision.__version__,
                         "numpy": np.__version__, "scikit-learn": sklearn.__version__},
            "git_commit": git_commit(),
            "commands": [entry(command)],
            "engines": engines,
        }
        folder = cls(path, config)
        folder._write_config()
        if options.semi:
            rows = labelled_rows(data)
            content = {"rows": rows.tolist(), "labels": data.train_labels[rows].tolist()}
            folder._write_text("labelled.json", json.dumps(content))
        (path / "hypers.txt").write_text(f"Hyper settings:\n{pprint.pformat(config['options'])}\n")
        return folder

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """An existing run.

        Raises:
            ValueError: If there is no readable config.json.
        """
        file = Path(path) / "config.json"
        try:
            config = json.loads(file.read_text())
            config["data"]["shape"], config["commands"]  # noqa: B018 what every reader needs
            folder = cls(Path(path), config)
            folder.options()
            return folder
        except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f"{path} is not a run folder: {file} is missing or damaged ({error}); "
                             "name a folder like runs/bgan_digits_1700000000") from None

    def options(self) -> Options:
        """The run's options as they were resolved; what an older version did not have yet has its default."""
        known = {field.name: field for field in dataclasses.fields(Options)}
        values = {name: value for name, value in self.config["options"].items() if name in known}
        return Options(**{n: Path(v) if known[n].type is Path else v for n, v in values.items()})

    def engines(self) -> Engines | None:
        """What the run computes with, so that it goes on with the same bits; None for runs of older versions."""
        stored = self.config.get("engines")
        return stored and {role: tuple(engine) for role, engine in stored.items()}

    def load_data(self, data_path: Path | None = None, cache_path: Path | None = None) -> Dataset:
        """The run's data, with its own labelled rows, checked to be what it was trained on.

        Args:
            data_path, cache_path: Where the data is now, if it has moved.

        Raises:
            ValueError: If the data is absent or other data.
        """
        options = self.options()
        options = dataclasses.replace(options, data_path=Path(data_path or options.data_path),
                                      cache_path=Path(cache_path or options.cache_path))
        rows = None
        if options.semi:
            try:
                rows = torch.tensor(json.loads((self.path / "labelled.json").read_text())["rows"], dtype=torch.int64)
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise InputError(f"{self.path / 'labelled.json'} is missing or damaged ({error}); restore it") from None
        data = load_data(options, rows)
        if (found := describe_data(options, data)) != self.config["data"]:
            wrong = [f"{k} {self.config['data'].get(k)} (found {v})" for k, v in found.items()
                     if self.config["data"].get(k) != v]
            raise InputError(f"the run was trained on other data: {', '.join(wrong)}; name its data with --data_path")
        return data

    def supervised(self, data: Dataset, device: torch.device | str = "cpu") -> Ensemble | None:
        """The supervised network of a semi-supervised run; trained and stored at the first call, None with --no_supervised."""
        options, path = self.options(), self.path / "supervised.safetensors"
        if options.no_supervised:
            return None
        classifier = new_classifier(options, data, device)
        if path.exists():
            classifier.load_state(load_file(path))
        else:
            train_supervised(classifier, options, data)
            state = {name: tensor.cpu().contiguous() for name, tensor in classifier.state().items()}
            write_atomically(path, lambda file: save_file(state, file))
        return classifier

    def resumed(self, options: Options, command: list[str]) -> None:
        """Notes a continuation and the options it runs with."""
        self.config["options"] = as_json(options)
        self.config["commands"].append(entry(command))
        self._write_config()

    @property
    def store(self) -> SampleStore:
        """The collected draws."""
        return SampleStore(self.path / "posterior", self.config["options"]["keep"])

    def save_results(self, iteration: int, losses: Losses, temperature: float, figures: dict) -> None:
        """results_<iter>.json with the reference's keys, the temperature, and what else was measured."""
        content = {
            "disc_losses": losses.discriminators.tolist(), "gen_losses": losses.generators.tolist(),
            "timestamp": time.time(), "iteration": iteration, "temperature": temperature, **figures,
        }
        self._write_text(f"results_{iteration}.json", json.dumps(content))

    def save_weights(self, iteration: int, trainer: Trainer) -> None:
        """weights_<iter>.npz: arrays (members, ...) named generators/<weight> and discriminators/<weight>."""
        arrays = {
            f"{group}/{name}": tensor.cpu().numpy()
            for group in ("generators", "discriminators") for name, tensor in getattr(trainer, group).state().items()
        }

        def write(path: Path) -> None:
            with open(path, "wb") as file:
                np.savez(file, **arrays)

        write_atomically(self.path / f"weights_{iteration}.npz", write)

    def save_checkpoint(self, trainer: Trainer) -> None:
        """checkpoints/last.pt, the one before it kept as previous.pt."""
        folder = self.path / "checkpoints"
        folder.mkdir(exist_ok=True)
        new = folder / "new.pt"
        write_atomically(new, lambda path: torch.save(trainer.state_dict(), path))
        if (folder / "last.pt").exists():
            (folder / "last.pt").replace(folder / "previous.pt")
        new.replace(folder / "last.pt")

    def load_checkpoint(self, trainer: Trainer) -> str | None:
        """Loads the newest checkpoint that can be read into `trainer`.

        A damaged last.pt is removed, so that it never takes the place of the good previous.pt.

        Returns:
            The checkpoint's name; None where the run has not written one yet.

        Raises:
            ValueError: If there are checkpoints and none can be read.
        """
        failures = []
        for name in ("new.pt", "last.pt", "previous.pt"):
            path = self.path / "checkpoints" / name
            if not path.exists():
                continue
            try:
                trainer.load_state_dict(torch.load(path, map_location=trainer.device, weights_only=True))
            except Exception as error:  # torch raises many kinds for a damaged file
                failures.append((path, str(error).splitlines()[0] if str(error) else type(error).__name__))
                continue
            for damaged, _ in failures:
                damaged.unlink()
            return name
        if failures:
            raise InputError("no checkpoint can be read: " + "; ".join(f"{path} ({why})" for path, why in failures)
                             + "; start the run anew")
        return None

    def _write_config(self) -> None:
        self._write_text("config.json", json.dumps(self.config, indent=1))

    def _write_text(self, name: str, text: str) -> None:
        write_atomically(self.path / name, lambda path: path.write_text(text))


def describe_data(options: Options, data: Dataset) -> dict:
    """What tells one data set from another, checksum of the training data included, and of the labels that are read."""
    digest = hashlib.sha256(data.train.cpu().numpy().tobytes())
    if options.semi:
        digest.update(data.train_labels[labelled_rows(data)].cpu().numpy().tobytes())
    return {
        "shape": list(data.shape), "network": options.network_for(data), "classes": list(data.classes),
        "train": len(data.train), "test": len(data.test), "calibration": len(data.calibration),
        "checksum": digest.hexdigest()[:16],
    }


def as_json(options: Options) -> dict:
    return {name: str(v) if isinstance(v, Path) else v for name, v in dataclasses.asdict(options).items()}


def entry(command: list[str]) -> dict:
    return {"command": command, "started": datetime.now(timezone.utc).isoformat(timespec="seconds")}


def git_commit() -> str | None:
    """Commit of the code that runs, None outside a checkout."""
    try:
        answer = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True)
    except OSError:
        return None
    return answer.stdout.strip() or None
