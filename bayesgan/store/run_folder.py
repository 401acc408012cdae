"""A run's folder: what is written where, and how a run is found again.

    config.json  hypers.txt  results_<iter>.json  weights_<iter>.npz  tensorboard/  samples/  checkpoints/  posterior/
    labelled.json  supervised.safetensors                                                          (semi-supervised)

It takes and gives state dictionaries, numbers and lists; who trains is none of its business. See config.py for
config.json, posterior.py for what a finished run is for.
"""

import dataclasses
import os
import pprint
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bayesgan.basics.errors import InputError, reason
from bayesgan.basics.files import remove_leftovers, write_arrays, write_json, write_text
from bayesgan.basics.locks import only_writer
from bayesgan.basics.ranks import Ranks
from bayesgan.basics.schema import Number, checked, read_json
from bayesgan.data import Dataset, Values, labelled_rows
from bayesgan.ensemble import Ensemble, SampleStore, TensorFile, write_tensors
from bayesgan.options import GROUPS, Engines, Options, load_data
from bayesgan.store.checkpoints import load_checkpoint, read_checkpoint, rotate, save_checkpoint
from bayesgan.store.config import (
    as_json,
    computed,
    describe_data,
    new_config,
    read_config,
    started,
    stored_engines,
    stored_options,
    stored_units,
)
from bayesgan.store.places import new_folder
from bayesgan.store.results import read_results

__all__ = ["RunFolder", "State"]

NETWORKS = {"generators": "generator", "discriminators": "discriminator", "averages": "discriminator"}  # in draws
LABELLED = {"rows": [Number(int, 0)], "labels": [Number(int, 0)]}
State = dict[str, Tensor]  # of an ensemble: name -> (members, ...)


class RunFolder:
    """Reads and writes one run.

    Attributes:
        path: The folder.
        config: As in config.json.
    """

    def __init__(self, path: Path, config: dict):
        self.path, self.config = Path(path), config

    @classmethod
    def create(
        cls, options: Options, data: Dataset, command: list[str], engines: Engines | None = None,
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
        if options.semi:
            rows = labelled_rows(data)
            content = {"rows": rows.tolist(), "labels": data.train_labels[rows].tolist()}
            write_json(folder.path / "labelled.json", content, indent=None)
        folder._write_hypers()
        folder._write_config()  # last: with it the folder is a run
        return folder

    @classmethod
    def open(cls, path: Path | str) -> "RunFolder":
        """An existing run.

        Raises:
            ValueError: If there is no readable config.json, or it is of a newer version.
        """
        if not isinstance(path, (str, os.PathLike)):
            raise InputError(f"a run folder must be a path, got {path!r}; name one like runs/bgan_digits_1700000000")
        return cls(Path(path), read_config(Path(path)))

    def options(self) -> Options:
        """The run's options as they were resolved."""
        return stored_options(self.config)

    def engines(self, device: torch.device | str) -> Engines | None:
        """What the run computes with, so that it goes on with the same bits.

        None for runs of older versions, and on another kind of device, where other engines are fast.

        Raises:
            ValueError: If they are none that there are.
        """
        return stored_engines(self.config, torch.device(device), self.path / "config.json")

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
        data = load_data(options, self.labelled_rows() if options.semi else None)
        stored, found = self.config["data"], describe_data(options, data)
        wrong = [f"{name} {stored[name]} (found {value})" for name, value in found.items()
                 if stored.get(name, value if name == "rest" else None) != value]  # older runs do not say
        if wrong:
            raise InputError(f"the run was trained on other data: {', '.join(wrong)}; name its data with --data_path, "
                             "or if these are they, use its draws alone: older versions cut parts and standardised "
                             "vectors by other rows")
        return data

    def supervised(self, device: torch.device | str = "cpu") -> Ensemble | None:
        """The supervised network that was saved, None without one."""
        path = self.path / "supervised.safetensors"
        return self.ensemble("discriminators", TensorFile(path).group(""), device) if path.exists() else None

    def save_supervised(self, state: State) -> None:
        """Keeps the supervised network beside the run it is the yardstick of."""
        write_tensors(self.path / "supervised.safetensors", {"": state})

    def drop_supervised(self) -> None:
        """Has it trained anew when it is asked for."""
        (self.path / "supervised.safetensors").unlink(missing_ok=True)

    def resumed(
        self, options: Options, command: list[str], engines: Engines | None, device: torch.device | str
    ) -> None:
        """Notes a continuation, the options it runs with, and what it computes with and on."""
        self.config |= computed(engines, torch.device(device))
        self.config["options"] = as_json(options)
        self.config["commands"].append(started(command))
        self._write_hypers()
        self._write_config()

    @property
    def store(self) -> SampleStore:
        """The collected draws."""
        return SampleStore(self.path / "posterior", self.config["options"]["keep"])

    @property
    def newest_step(self) -> int:
        """The iteration of the newest draw, 0 without one: what was measured of the draws is told apart by it."""
        draws = self.store.draws
        return draws[-1]["step"] if draws else 0

    def save_results(
        self, iteration: int, disc_losses: list[float], gen_losses: list[float], temperature: float, figures: dict
    ) -> None:
        """results_<iter>.json with the reference's keys, the temperature, and what else was measured."""
        content = {
            "disc_losses": disc_losses, "gen_losses": gen_losses, "timestamp": time.time(), "iteration": iteration,
            "temperature": temperature, **figures,
        }
        write_json(self.path / f"results_{iteration}.json", content, indent=None)

    def add_results(self, iteration: int, figures: dict) -> None:
        """Puts what was measured later into results_<iter>.json, if there is one."""
        path = self.path / f"results_{iteration}.json"
        if path.exists():
            write_json(path, read_results(path) | figures, indent=None)

    def save_weights(self, iteration: int, groups: dict[str, State]) -> None:
        """weights_<iter>.npz: arrays (members, ...) named generators/<weight> and discriminators/<weight>."""
        arrays = {f"{group}/{name}": tensor.cpu().numpy()
                  for group, state in groups.items() for name, tensor in state.items()}
        write_arrays(self.path / f"weights_{iteration}.npz", arrays)

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
        except Exception as error:  # of many kinds, as bytes that were changed call for
            raise InputError(f"cannot read the weights {path} ({reason(error)}); --save_weights writes them") from None
        return groups

    def save_checkpoint(self, state: dict, ranks: Ranks | None = None) -> None:
        """Keeps the state of the trainer, and the one before; see `checkpoints.save_checkpoint`."""
        save_checkpoint(self.path / "checkpoints", state, ranks)

    def load_checkpoint(
        self, load: Callable[[dict], None], device: torch.device | str = "cpu", set_aside: bool = True,
        ranks: Ranks | None = None,
    ) -> str | None:
        """Hands the newest checkpoint that can be read to `load`; see `checkpoints.load_checkpoint`.

        Args:
            ranks: The processes, each of which calls this at the same time; the first one chooses.
        """
        place, ranks = self.path / "checkpoints", ranks or Ranks()
        if ranks.size > 1:
            device = "cpu"  # it is of all members, and each process takes its own
        name = ranks.from_first(lambda: load_checkpoint(place, load, device, set_aside))
        others = name is not None and not ranks.first
        ranks.together(lambda: load(read_checkpoint(place / name, device)) if others else None)
        return name

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Inside, this process alone trains the run; what a killed one had begun to write is finished or removed first.

        Raises:
            ValueError: If another process does.
        """
        with only_writer(self.path, "trained"):
            remove_leftovers(self.path)
            rotate(self.path / "checkpoints")
            yield

    @property
    def units(self) -> tuple[Tensor, Tensor] | None:
        """Mean and spread (D,) that the user's vectors were standardised by; None of images and bundled data.

        The spread of a constant is 0, or 1 in older runs.
        """
        return stored_units(self.config)

    @property
    def values(self) -> Values | None:
        """What numbers in the user's images were taken for; None of other data and in older runs."""
        stored = self.config.get("values")
        return None if stored is None else Values(**stored)

    def require(self) -> None:
        """Raises InputError where the folder was removed under the run, which would write half a one in its place."""
        if not (self.path / "config.json").exists():
            raise InputError(f"{self.path} is gone while the run was writing to it; start the run anew")

    @property
    def exported(self) -> bool:
        """Whether `python -m bayesgan export` made it: draws, and nothing of the training."""
        return self.config.get("exported") is True

    @property
    def ended(self) -> bool:
        """Whether everything that follows the last iteration has been done."""
        last = self.config["options"]["train_iter"]
        if "ended" in self.config:
            return self.config["ended"] == last
        # of a version that did not note it: the picture came after the last results
        picture, results = self.path / "samples" / "posterior.png", self.path / f"results_{last}.json"
        return picture.exists() and results.exists()

    def end(self, seconds: dict[str, float]) -> None:
        """Notes that it has, and what the last command spent its seconds on."""
        self.config["ended"] = self.config["options"]["train_iter"]
        self.config["commands"][-1]["seconds"] = {name: round(value, 2) for name, value in seconds.items()}
        self._write_config()

    def results(self) -> list[dict]:
        """Every results_<iter>.json that can be read, in the order of iterations; a line says which cannot."""
        found = []
        for path in self.path.glob("results_*.json"):
            try:
                found.append(read_results(path))
            except InputError as error:
                print(f"warning: {error}")
        return sorted(found, key=lambda results: results["iteration"])

    def labelled_rows(self) -> Tensor:
        """Rows of the training data whose labels the run reads; raises ValueError where the file is damaged."""
        file = self.path / "labelled.json"
        if self.exported:
            raise InputError(f"{self.path} is an exported folder, which holds no labels; name the run it was made from")
        content = checked(read_json(file, "restore it"), LABELLED, str(file), "restore it")
        return torch.tensor(content["rows"], dtype=torch.int64)

    def _write_config(self) -> None:
        write_json(self.path / "config.json", self.config)

    def _write_hypers(self) -> None:
        write_text(self.path / "hypers.txt", f"Hyper settings:\n{pprint.pformat(self.config['options'])}\n")
