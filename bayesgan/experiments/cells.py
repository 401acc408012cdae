"""The parts of an experiment, a file each: found again, and made anew where their settings have changed.

A key is a NamedTuple, for example Cell(model="one GAN", seed=0), whose cell is kept in one_GAN/seed0/cell.json.
Nothing is ever read back from a folder's name.
"""

import json
import os
import subprocess
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import bayesgan
from bayesgan.basics.devices import device_name
from bayesgan.basics.files import write_json
from bayesgan.basics.locks import only_writer
from bayesgan.store.config import git_commit

__all__ = ["Cells", "code_version", "place"]


def code_version() -> dict:
    """version: the checkout's commit, outside of one the package's version; dirty: the checkout's code is changed."""
    commit = git_commit()
    if commit is None:
        return {"version": metadata.version("bayesgan"), "dirty": False}
    command = ["git", "status", "--porcelain", "--", "."]
    package = Path(bayesgan.__file__).parent
    changes = subprocess.run(command, cwd=package, capture_output=True, text=True, check=True)
    return {"version": commit, "dirty": bool(changes.stdout.strip())}


def place(key: NamedTuple) -> Path:
    """The folder of a key: words with _ for spaces, numbers behind the name of their field."""
    return Path(*(value.replace(" ", "_") if isinstance(value, str) else f"{name}{value}"
                  for name, value in key._asdict().items()))


class Cells:
    """The cells in a results folder.

    Attributes:
        folder: The folder.
        version: `code_version()`.
        devices: What the figures so far came from, each named once.
    """

    def __init__(self, folder: Path):
        self.folder, self.version = folder, code_version()
        self.devices: list[str] = []
        self._told: list[str] = []  # versions that a line has been printed for

    def cell(self, key: NamedTuple, settings: dict, compute: Callable[[], object]) -> object:
        """The result of a cell, computed on the CPU if it is not there yet.

        Args:
            settings: Everything that the result follows from, as JSON has it.
            compute: Gives the result, as JSON has it.
        """
        found = self.stored(key, settings)
        if found is not None:
            return found
        folder = self.folder / place(key)
        folder.mkdir(parents=True, exist_ok=True)
        with only_writer(folder, "computed", wait=True):
            found = self.stored(key, settings)  # by whoever was at it
            return self.keep(key, settings, compute(), device_name("cpu")) if found is None else found

    def stored(self, key: NamedTuple, settings: dict) -> object | None:
        """The result of a cell that is there and was made with these settings; a line says what is not as expected."""
        path = self.folder / place(key) / "cell.json"
        if not path.exists():
            return None
        wanted = as_stored({"key": key, "settings": settings})
        try:
            content = json.loads(path.read_text())
            made_with = {"key": content["key"], "settings": content["settings"]}
            version, result, device = content["version"], content["result"], content["device"]
        except (ValueError, KeyError, TypeError) as error:
            print(f"{path} is damaged ({error}): computed anew")
            return None
        if made_with != wanted:
            print(f"{path} was made with another {changed(made_with, wanted)}: computed anew")
            return None
        if version != self.version:
            self.tell_version(path, in_words(version))
        self.note_device(device)
        return result

    def keep(self, key: NamedTuple, settings: dict, result: object, device: str) -> object:
        """Writes a cell, and gives its result back as it will be read.

        Args:
            device: What the result was computed on.
        """
        content = as_stored({"key": key, "settings": settings, "version": self.version, "device": device,
                             "result": result})
        path = self.folder / place(key) / "cell.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, content, indent=None)
        self.note_device(device)
        return content["result"]

    def tell_version(self, path: Path, version: str) -> None:
        """Says that something was made by another version of the code and is used all the same; each version once."""
        if version not in self._told:
            self._told.append(version)
            print(f"{path} was made by version {version}, kept; this is {in_words(self.version)}")

    def note_device(self, device: str) -> None:
        """Remembers what a figure came from."""
        if device not in self.devices:
            self.devices.append(device)


def as_stored(content: dict) -> dict:
    """What reading gives after writing: tuples have become lists, paths text."""
    return json.loads(json.dumps(content, default=os.fspath))


def changed(before: dict, now: dict) -> str:
    """The first setting that differs, or that only one of them has."""
    if before["key"] != now["key"]:
        return "key"
    names = dict.fromkeys([*now["settings"], *before["settings"]])
    return next(name for name in names if before["settings"].get(name, ...) != now["settings"].get(name, ...))


def in_words(version: dict) -> str:
    return f"{version['version'][:12]}{' with changes' if version['dirty'] else ''}"
