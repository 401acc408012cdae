"""Writing files so that a crash, a full disk or a second reader never sees half of one."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError

__all__ = ["write_atomically"]


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Calls write(temporary file beside `path`), flushes it to disk and renames it to `path`.

    On any failure the temporary file is removed and what stood at `path` before is untouched.

    Raises:
        OSError: If it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        try:
            write(temporary)
        except (RuntimeError, SafetensorError) as error:  # how torch.save and safetensors report a full disk
            raise OSError(errno.EIO, str(error).splitlines()[0], str(path)) from error
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
