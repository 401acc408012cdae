"""SHA256SUMS of an exported folder, as `sha256sum --check SHA256SUMS` reads them."""

import hashlib
import re
from pathlib import Path

from bayesgan.basics.errors import InputError
from bayesgan.basics.files import write_text

__all__ = ["EDITABLE", "SUMS", "read_sums", "require_sum", "write_sums"]

SUMS = "SHA256SUMS"
EDITABLE = "README.md"
LINE = re.compile(r"([0-9a-f]{64})  (?!/|.*\.\.)(.+)")  # nothing outside the folder


def write_sums(folder: Path) -> None:
    """Of every file that is there, but for the model card, which is there to be edited."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    write_text(folder / SUMS, "".join(f"{sha256(folder / name)}  {name}\n" for name in names if name != EDITABLE))


def read_sums(folder: Path) -> dict[str, str]:
    """Name -> SHA-256.

    Raises:
        ValueError: If the file is absent or damaged.
    """
    try:
        lines = [LINE.fullmatch(line) for line in (folder / SUMS).read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        lines = []
    if not lines or None in lines:
        raise InputError(f"{SUMS} is missing or damaged")
    return {line[2]: line[1] for line in lines}


def require_sum(path: Path, expected: str) -> None:
    """Raises InputError where a file is not the one that was written, and OSError where it cannot be read."""
    if sha256(path) != expected:
        raise InputError("it is not what was written")


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
