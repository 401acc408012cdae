"""Writing files so that a crash, a full disk or a second reader never sees half of one."""

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError

from bayesgan.basics.errors import InputError, reason

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["allow_open_files", "remove_leftovers", "save_figure", "user_cache", "write_arrays", "write_atomically",
           "write_json", "write_text"]

LITTLE = 2**16  # bytes, when a disk is full


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Calls write(temporary file beside `path`), flushes it to disk and renames it to `path`.

    On any failure the temporary file is removed and what stood at `path` before is untouched.

    Raises:
        OSError: If it cannot be written.
        ValueError: If `path` is a folder.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder and a file is to be written; name one in it")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        try:
            write(temporary)
        except (RuntimeError, SafetensorError) as error:  # how torch.save and safetensors report a full disk
            full = shutil.disk_usage(path.parent).free < LITTLE
            number, why = (errno.ENOSPC, os.strerror(errno.ENOSPC)) if full else (errno.EIO, reason(error))
            raise OSError(number, why, str(path)) from error
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """A whole file of text, in UTF-8 whatever the language of the machine."""
    write_atomically(path, lambda file: file.write_text(text, encoding="utf-8"))


def write_json(path: Path, content: object, indent: int | None = 1) -> None:
    """A whole .json, with a line for each entry, or on one line where there are many."""
    write_text(path, json.dumps(content, indent=indent))


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], compressed: bool = False) -> None:
    """A whole .npz."""
    def write(place: Path) -> None:
        with open(place, "wb") as file:  # of a name numpy would give another ending
            (np.savez_compressed if compressed else np.savez)(file, **arrays)

    write_atomically(path, write)


def save_figure(path: Path, figure: "Figure") -> None:
    """A whole .png of a matplotlib figure."""
    write_atomically(path, lambda file: figure.savefig(file, format="png"))


def user_cache() -> Path:
    """This package's folder in the user's cache folder, or that of a user without a home; it may not be there yet."""
    if place := os.environ.get("XDG_CACHE_HOME"):
        return Path(place) / "bayesgan"
    try:
        return Path.home() / ".cache" / "bayesgan"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / f"bayesgan-{os.getuid()}"


def allow_open_files(count: int) -> None:
    """Lets this process hold so many files open besides the usual ones, as far as the system permits."""
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 512
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def remove_leftovers(folder: Path) -> list[Path]:
    """Removes what `write_atomically` had begun in or below a folder when its process was killed; tells which."""
    removed = []
    for path in list(folder.rglob(".*.partial")):
        named = re.fullmatch(r"\..+\.(\d+)\.partial", path.name)
        if named and not alive(int(named[1])):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def alive(process: int) -> bool:
    """Whether a process of this number runs here, whoever's it is; on Windows, where asking would end it, perhaps."""
    if os.name == "nt":
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
