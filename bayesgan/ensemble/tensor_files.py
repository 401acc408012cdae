"""Named tensors in a safetensors file that knows its own checksums, group by group."""

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bayesgan.basics.errors import InputError, reason
from bayesgan.basics.files import write_atomically

__all__ = ["TensorFile", "checksum", "write_tensors"]

Groups = dict[str, dict[str, Tensor]]  # "generators" and the like -> name -> tensor


def write_tensors(path: Path, groups: Groups) -> None:
    """Writes tensors as "group/name", of the group "" as "name", with each group's SHA-256 in the file's metadata."""
    groups = {group: {name: tensor.cpu().contiguous() for name, tensor in state.items()}
              for group, state in groups.items()}
    tensors = {key(group, name): tensor for group, state in groups.items() for name, tensor in state.items()}
    # one entry: safetensors writes several in a random order, and equal draws are equal files
    metadata = {"sha256": json.dumps({group: checksum(state) for group, state in groups.items()})}
    write_atomically(path, lambda file: save_file(tensors, file, metadata))


def key(group: str, name: str) -> str:
    return f"{group}/{name}" if group else name


def checksum(state: dict[str, Tensor]) -> str:
    """Of names, types, shapes and bits."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy() if tensor.numel() else b"")
    return digest.hexdigest()


class TensorFile:
    """An open file of `write_tensors`: it can be read on after it has been deleted or replaced.

    Only the file is held, no memory: a mapping would count each tensor that was ever read.

    Attributes:
        names: Group -> names of its tensors.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is damaged.
    """

    def __init__(self, path: Path):
        self.path = path
        self._held = open(path, "rb")
        try:
            with self._opened() as file:
                self.checksums = json.loads((file.metadata() or {}).get("sha256", "{}"))  # older files have none
                if not isinstance(self.checksums, dict):
                    raise ValueError("its checksums are damaged")
                self.names: dict[str, list[str]] = {}
                for whole in file.keys():
                    group, _, name = whole.rpartition("/")
                    self.names.setdefault(group, []).append(name)
        except (OSError, SafetensorError, RuntimeError, ValueError) as error:
            raise InputError(f"cannot read {path} ({reason(error)}); restore the file") from None

    def _opened(self) -> safe_open:
        """The very file that is held, where the system has a name for it; elsewhere what is at its path."""
        held = Path(f"/proc/self/fd/{self._held.fileno()}")
        return safe_open(held if held.exists() else self.path, framework="pt")

    def group(self, group: str) -> dict[str, Tensor]:
        """The tensors of one group by name, compared with the checksum that was written with them.

        Raises:
            ValueError: If there is no such group, or a bit has changed.
        """
        if group not in self.names:
            raise InputError(f"{self.path} holds no {group}; restore the file")
        try:
            with self._opened() as file:
                state = {name: file.get_tensor(key(group, name)) for name in self.names[group]}
        except (OSError, SafetensorError, RuntimeError) as error:
            raise InputError(f"cannot read {self.path} ({reason(error)}); restore the file") from None
        if self.checksums and self.checksums.get(group) != checksum(state):
            raise InputError(f"{self.path} is damaged: its {group} are not what was written; restore the file")
        return state
