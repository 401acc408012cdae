"""A run's folder: what is written where, and how a run is found again.

    config.json  hypers.txt  results_<iter>.json  weights_<iter>.npz  tensorboard/  samples/  checkpoints/  posterior/
    labelled.json  supervised.safetensors                                                          (semi-supervised)

It takes and gives state dictionaries, numbers and lists; who trains is none of its business. See config.py for
config.json, posterior.py for what a finished run is for.
"""

import dataclasses
import json
import pprint
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bayesgan.basics.errors import InputError
from bayesgan.basics.files import write_atomically
from bayesgan.basics.out_of_memory import is_out_of_memory
from bayesgan.data import Dataset, labelled_rows
from bayesgan.ensemble import Ensemble, SampleStore
from bayesgan.options import Options, load_data
from bayesgan.store.config import as_json, computed, describe_data, new_config, started

__all__ = ["GROUPS", "RunFolder", "State"]

GROUPS = ("generators", "discriminators")  # how states are named in draws, checkpoints and weights_<iter>.npz
NETWORKS = {"generators": "generator", "discriminators": "discriminator", "averages": "discriminator"}  # in draws
State = dict[str, Tensor]  # of an ensemble: name -> (members, ...)
Engines = dict[str, tuple[str, bool]]  # "generator" or "discriminator" -> engine's name, whether it is compiled


class RunFolder:
    """Reads and writes one run.

    Attributes:
        path: The folder.
        config: {"options", "data", "versions", "git_commit", "commands", "engines", "device"}, as in config.json.
    """

    def __init__(self, path: Path, config: dict):
        self.path, self.config = Path(path), config

    @classmethod
    def create(
        cls,
        options: Options,
        data: Dataset,
        command: list[str],
        engines: Engines | None = None,
        device: torch.device | str = "cpu",
    ) -> "RunFolder":
        """Makes out_dir/bgan_<dataset>_<time>; never an existing one.

        Args:
            command: The command line's arguments.
            engines: What the run computes with.
            device: Where it computes.

        Raises:
            ValueError: If out_dir is a file or cannot be written.
        """
        folder = cls(new_folder(options), new_config(options, data, command, engines, torch.device(device)))
        folder._write_config()
        if options.semi:
            rows = labelled_rows(data)
            content = {"rows": rows.tolist(), "labels": data.train_labels[rows].tolist()}
            folder._write_text("labelled.json", json.dumps(content))
        hypers = pprint.pformat(folder.config["options"])
        (folder.path / "hypers.txt").write_text(f"Hyper settings:\n{hypers}\n")
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
            for part in ("data", "commands"):
                if part not in config:
                    raise KeyError(part)
            tuple(config["data"]["shape"])
            folder = cls(Path(path), config)
            folder.options()
            return folder
        except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f"{path} is not a run folder: {file} is missing or damaged ({error}); "
                             "name a folder like runs/bgan_digits_1700000000") from None

    def options(self) -> Options:
        """The run's options as they were resolved; what an older version did not have yet is as it was then."""
        known = {field.name: field for field in dataclasses.fields(Options)}
        stored = {"gradient_noise": "ignore", **self.config["options"]}
        values = {name: value for name, value in stored.items() if name in known}
        return Options(**{n: Path(v) if known[n].type is Path else v for n, v in values.items()})

    def engines(self, device: torch.device | str) -> Engines | None:
        """What the run computes with, so that it goes on with the same bits.

        None for runs of older versions, and on another kind of device, where other engines are fast.
        """
        kind = torch.device(device).type
        if self.config.get("device_type", kind) != kind:
            return None
        stored = self.config.get("engines")
        return stored and {role: tuple(engine) for role, engine in stored.items()}

    def ensemble(self, group: str, state: State, device: torch.device | str = "cpu") -> Ensemble:
        """The run's networks with weights of their own.

        Args:
            group: "generators", "discriminators", or "averages", the averaged discriminators of a teacher.
            state: Name -> (members, ...), as in a draw, a checkpoint or weights_<iter>.npz.

        Raises:
            ValueError: If the state belongs to other networks.
        """
        ensemble = self.empty_ensemble(group, len(next(iter(state.values()))), device)
        ensemble.load_state(state)
        return ensemble

    def empty_ensemble(self, group: str, members: int, device: torch.device | str = "cpu") -> Ensemble:
        """The run's networks with weights that are still to be loaded."""
        data = self.config["data"]
        networks = self.options().networks(tuple(data["shape"]), len(data["classes"]))
        return Ensemble(getattr(networks, NETWORKS[group]), members, device=device)

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
        data = load_data(options, self._labelled_rows() if options.semi else None)
        stored, found = self.config["data"], describe_data(options, data)
        if found != stored:
            wrong = [f"{name} {stored.get(name)} (found {value})" for name, value in found.items()
                     if stored.get(name) != value]
            raise InputError(f"the run was trained on other data: {', '.join(wrong)}; name its data with --data_path")
        return data

    def supervised(self, device: torch.device | str = "cpu") -> Ensemble | None:
        """The supervised network that was saved, None without one."""
        path = self.path / "supervised.safetensors"
        return self.ensemble("discriminators", load_file(path), device) if path.exists() else None

    def save_supervised(self, state: State) -> None:
        """Keeps the supervised network beside the run it is the yardstick of."""
        tensors = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
        write_atomically(self.path / "supervised.safetensors", lambda file: save_file(tensors, file))

    def resumed(
        self, options: Options, command: list[str], engines: Engines | None, device: torch.device | str
    ) -> None:
        """Notes a continuation, the options it runs with, and what it computes with and on."""
        self.config |= computed(engines, torch.device(device))
        self.config["options"] = as_json(options)
        self.config["commands"].append(started(command))
        self._write_config()

    @property
    def store(self) -> SampleStore:
        """The collected draws."""
        return SampleStore(self.path / "posterior", self.config["options"]["keep"])

    def save_results(
        self, iteration: int, disc_losses: list[float], gen_losses: list[float], temperature: float, figures: dict
    ) -> None:
        """results_<iter>.json with the reference's keys, the temperature, and what else was measured."""
        content = {
            "disc_losses": disc_losses, "gen_losses": gen_losses, "timestamp": time.time(), "iteration": iteration,
            "temperature": temperature, **figures,
        }
        self._write_text(f"results_{iteration}.json", json.dumps(content))

    def save_weights(self, iteration: int, groups: dict[str, State]) -> None:
        """weights_<iter>.npz: arrays (members, ...) named generators/<weight> and discriminators/<weight>."""
        arrays = {f"{group}/{name}": tensor.cpu().numpy()
                  for group, state in groups.items() for name, tensor in state.items()}

        def write(path: Path) -> None:
            with open(path, "wb") as file:
                np.savez(file, **arrays)

        write_atomically(self.path / f"weights_{iteration}.npz", write)

    def load_weights(self, iteration: int) -> dict[str, State]:
        """What `save_weights` wrote at an iteration: "generators" and "discriminators" -> state.

        Raises:
            ValueError: If there is no such file, or it is damaged.
        """
        path = self.path / f"weights_{iteration}.npz"
        groups: dict[str, State] = {group: {} for group in GROUPS}
        try:
            with np.load(path, allow_pickle=False) as stored:
                for key in stored.files:
                    group, name = key.split("/", 1)
                    groups[group][name] = torch.from_numpy(stored[key])
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"cannot read the weights {path} ({error}); --save_weights writes them") from None
        return groups

    def save_checkpoint(self, state: dict) -> None:
        """checkpoints/last.pt, the one before it kept as previous.pt."""
        folder = self.path / "checkpoints"
        folder.mkdir(exist_ok=True)
        new = folder / "new.pt"
        write_atomically(new, lambda path: torch.save(state, path))
        if (folder / "last.pt").exists():
            (folder / "last.pt").replace(folder / "previous.pt")
        new.replace(folder / "last.pt")

    def load_checkpoint(self, load: Callable[[dict], None], device: torch.device | str = "cpu") -> str | None:
        """Hands the newest checkpoint that can be read to `load`.

        A damaged file is renamed to <name>.damaged, so that it never takes the place of the good previous.pt. One that
        cannot be read for another reason (no memory, a failing disk) stays where it is, and the error goes on.

        Args:
            load: Takes the state; raises where it does not fit.

        Returns:
            The checkpoint's name; None where the run has not written one yet.

        Raises:
            ValueError: If there are checkpoints and all are damaged.
            OSError, MemoryError, RuntimeError: If one could not be read now.
        """
        damaged = []
        for name in ("new.pt", "last.pt", "previous.pt"):
            path = self.path / "checkpoints" / name
            if not path.exists():
                continue
            try:
                load(torch.load(path, map_location=device, weights_only=True))
            except Exception as error:  # torch raises many kinds for a damaged file
                if isinstance(error, OSError) or is_out_of_memory(error):
                    raise
                damaged.append((path, str(error).splitlines()[0] if str(error) else type(error).__name__))
                continue
            for bad, _ in damaged:
                bad.replace(bad.with_name(f"{bad.name}.damaged"))
            return name
        if damaged:
            found = "; ".join(f"{path} ({why})" for path, why in damaged)
            raise InputError(f"no checkpoint can be read: {found}; start the run anew")
        return None

    def _labelled_rows(self) -> Tensor:
        file = self.path / "labelled.json"
        try:
            return torch.tensor(json.loads(file.read_text())["rows"], dtype=torch.int64)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{file} is missing or damaged ({error}); restore it") from None

    def _write_config(self) -> None:
        self._write_text("config.json", json.dumps(self.config, indent=1))

    def _write_text(self, name: str, text: str) -> None:
        write_atomically(self.path / name, lambda path: path.write_text(text))


def new_folder(options: Options) -> Path:
    """Makes the folder; a number is added where two runs begin in one second."""
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
    return path
