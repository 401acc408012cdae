"""Collected posterior samples on disk: one safetensors file a draw, and an index.json that names them."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bayesgan.basics.errors import InputError
from bayesgan.basics.files import write_atomically

__all__ = ["SampleStore"]


class SampleStore:
    """A folder of draws, each a mapping "group/weight name" -> tensor.

    A draw's file is complete before the index names it, and leaves the index before its file is deleted, so the
    folder is readable at every moment, also after a crash or with a full disk.

    Args:
        folder: Created when the first draw is added.
        keep: The store holds the last `keep` draws; older ones are deleted. None keeps all.
    """

    def __init__(self, folder: Path, keep: int | None = None):
        self.folder = Path(folder)
        self.keep = keep

    @property
    def draws(self) -> list[dict]:
        """One entry a draw, oldest first: {"step", "temperature", "kinetic_temperature", "file"}."""
        index = self.folder / "index.json"
        if not index.exists():
            return []
        try:
            return json.loads(index.read_text())["draws"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{index} is not an index of draws ({error}); restore it or run again") from None

    def add(
        self, groups: dict[str, dict[str, Tensor]], step: int, temperature: float, kinetic: dict | None = None
    ) -> None:
        """Stores a draw.

        Args:
            groups: "generators" and the like -> an ensemble's `state()`.
            step: Steps taken when it was collected.
            temperature: The nominal one.
            kinetic: Group -> tensor -> the kinetic temperature, where it was measured.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"draw_{step:08d}.safetensors"
        tensors = {
            f"{group}/{key}": tensor.cpu().contiguous()
            for group, state in groups.items() for key, tensor in state.items()
        }
        write_atomically(self.folder / name, lambda path: save_file(tensors, path))
        draws = [draw for draw in self.draws if draw["step"] < step]  # a resumed run draws again what it lost
        draws.append({"step": step, "temperature": temperature, "kinetic_temperature": kinetic or {}, "file": name})
        kept = draws if self.keep is None else draws[-self.keep:]
        text = json.dumps({"format": 1, "draws": kept}, indent=1)
        write_atomically(self.folder / "index.json", lambda path: path.write_text(text))
        for file in self.folder.glob("draw_*.safetensors"):
            if file.name not in {draw["file"] for draw in kept}:
                file.unlink()

    def load(self, draw: dict, group: str | None = None) -> dict:
        """The groups of one entry of `draws`: group -> `state()`; or, given its name, the state of one group alone."""
        path = self.folder / draw["file"]
        groups: dict[str, dict[str, Tensor]] = {}
        try:
            with safe_open(path, framework="pt") as file:
                for key in file.keys():
                    own, name = key.split("/", 1)
                    if group in (None, own):
                        groups.setdefault(own, {})[name] = file.get_tensor(key)
        except (OSError, SafetensorError) as error:
            raise InputError(
                f"cannot read the draw {path} ({error}); the index names it, so restore the file"
            ) from None
        if group is None:
            return groups
        if group not in groups:
            raise InputError(f"{path} holds no {group}; the index names it, so restore the file")
        return groups[group]
