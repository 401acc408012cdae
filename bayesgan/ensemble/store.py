"""Collected posterior samples on disk: one safetensors file a draw, and an index.json that names them."""

import re
from pathlib import Path

import torch
from torch import Tensor

from bayesgan.basics.errors import InputError
from bayesgan.basics.files import allow_open_files, write_json
from bayesgan.basics.ranks import Ranks
from bayesgan.basics.schema import Number, Optional, checked, read_json
from bayesgan.ensemble.tensor_files import TensorFile, write_tensors

__all__ = ["SampleStore", "StoredDraw"]

FORMAT = 1
FILE_NAME = re.compile(r"draw_\d+(\.\d+of\d+)?\.safetensors")  # nothing outside the folder
ENTRY = {"step": Number(int, 0), "temperature": Number(float, 0), "kinetic_temperature": Optional(dict),
         "file": FILE_NAME, "more": Optional([FILE_NAME])}
ATTEMPTS = 100  # at opening all draws of an index while draws come and go


def files_of(entry: dict) -> list[str]:
    """The files of a draw, one of each process."""
    return [entry["file"], *(entry.get("more") or [])]


def not_empty(state: dict[str, Tensor]) -> bool:
    return any(len(tensor) for tensor in state.values())


class StoredDraw:
    """A draw whose file is held open: its weights can be read also after the store has dropped it.

    Attributes:
        entry: As in the index.
    """

    def __init__(self, folder: Path, entry: dict):
        self.entry, self.folder = entry, folder
        self.files = [TensorFile(folder / name) for name in files_of(entry)]

    def load(self, group: str) -> dict[str, Tensor]:
        """The state of one group, all members; raises ValueError where it is damaged."""
        parts = [file.group(group) for file in self.files if group in file.names] or [self.files[0].group(group)]
        if len(parts) == 1:
            return parts[0]
        if any(part.keys() != parts[0].keys() for part in parts):
            raise InputError(f"the files of draw {self.entry['step']} in {self.folder} do not belong together; restore "
                             "them")
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def __getstate__(self) -> dict:
        return {"entry": self.entry, "folder": self.folder}  # an open file stays with its process

    def __setstate__(self, state: dict) -> None:
        self.__init__(state["folder"], state["entry"])


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
        """One entry a draw, oldest first: {"step", "temperature", "kinetic_temperature", "file"}.

        What several processes drew has "more" files. Older versions measured no kinetic temperature: {}.

        Raises:
            ValueError: If the index is damaged.
        """
        index = self.folder / "index.json"
        if not index.exists():
            if files := list(self.folder.glob("draw_*.safetensors")):
                raise InputError(f"{index} is missing beside {len(files)} draws; restore it, or move them away")
            return []
        content = read_json(index, "restore it or run again")
        draws = checked(content, {"draws": [ENTRY]}, str(index), "restore it or run again")["draws"]
        if any(after["step"] <= before["step"] for before, after in zip(draws, draws[1:])):
            raise InputError(f"{index} is damaged: its draws are not in order; restore it or run again")
        return [{**draw, "kinetic_temperature": draw.get("kinetic_temperature") or {}} for draw in draws]

    def add(
        self, groups: dict[str, dict[str, Tensor]], step: int, temperature: float, kinetic: dict | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        """Stores a draw.

        Args:
            groups: "generators" and the like -> an ensemble's `state()`, of the members of this process.
            step: Steps taken when it was collected.
            temperature: The nominal one.
            kinetic: Group -> tensor -> the kinetic temperature, where it was measured.
            ranks: The processes, each of which calls this at the same time; the first writes the index.
        """
        ranks = ranks or Ranks()
        self.folder.mkdir(parents=True, exist_ok=True)
        part = f".{ranks.rank}of{ranks.size}" if ranks.size > 1 else ""
        name = f"draw_{step:08d}{part}.safetensors"
        ranks.from_first(self._begin)  # before anybody has a file there
        write_tensors(self.folder / name, {group: state for group, state in groups.items() if not_empty(state)})
        first, *more = ranks.gathered(name)
        if ranks.first:
            entry = {"step": step, "temperature": temperature, "kinetic_temperature": kinetic or {}, "file": first}
            self._enter({**entry, "more": more} if more else entry)
        ranks.gathered(None)  # nobody reads an index without it

    def drop_after(self, step: int) -> None:
        """Drops the draws that were collected later."""
        before = self.draws
        kept = [draw for draw in before if draw["step"] <= step]
        if len(kept) < len(before):
            self._write(kept)
            self._remove(before, kept)

    def _begin(self) -> None:
        if not (self.folder / "index.json").exists() and not self.draws:
            self._write([])  # so that draws without an index are always one that was lost

    def _enter(self, entry: dict) -> None:
        """Puts a draw whose files are complete into the index."""
        before = self.draws
        draws = [*(draw for draw in before if draw["step"] < entry["step"]), entry]  # a resumed run draws again
        kept = draws if self.keep is None else draws[-self.keep:]
        self._write(kept)
        of_step = {path.name for path in self.folder.glob(f"draw_{entry['step']:08d}*.safetensors")}  # by other ranks
        self._remove(before, kept, of_step)

    def _remove(self, before: list[dict], kept: list[dict], others: set[str] = frozenset()) -> None:
        """The files of draws, and others, that none of those kept has."""
        named = {file for draw in kept for file in files_of(draw)}
        for file in (others | {file for draw in before for file in files_of(draw)}) - named:
            (self.folder / file).unlink(missing_ok=True)

    def _write(self, draws: list[dict]) -> None:
        write_json(self.folder / "index.json", {"format": FORMAT, "draws": draws})

    def opened(self, newest: int | None = None) -> list[StoredDraw]:
        """All draws, or so many of the newest, held open: what is dropped or drawn anew later changes nothing of them.

        Raises:
            ValueError: If the index or a file is damaged, or a file that the index goes on naming is absent.
        """
        missing = absent = None
        for _ in range(ATTEMPTS):
            entries = self.draws[-newest:] if newest else self.draws
            allow_open_files(len(entries))
            if missing is not None and missing in entries:
                raise InputError(f"{absent} is absent and the index names it; restore the file")
            found = []
            try:
                for missing in entries:
                    found.append(StoredDraw(self.folder, missing))
                return found
            except FileNotFoundError as error:  # the store was full and went on
                absent = error.filename
        raise InputError(f"draws of {self.folder} come and go faster than they can be opened; try again")
