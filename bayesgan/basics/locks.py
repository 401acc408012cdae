"""One writer a folder, from whatever process or machine; a crash lets go."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from bayesgan.basics.errors import InputError

__all__ = ["Claimed", "only_writer", "writer_of"]


class Claimed(InputError):
    """Somebody else is at it."""


@contextmanager
def only_writer(folder: Path, what: str, wait: bool = False) -> Iterator[None]:
    """Inside, nobody else is in here for the same folder.

    Args:
        folder: Must exist.
        what: Is done to the folder, for the other's message: "trained", for example.
        wait: Until whoever is has ended, and say so, rather than raise.

    Raises:
        Claimed: If somebody is, naming who; a ValueError.
    """
    lock, owner = FileLock(folder / ".lock"), folder / ".owner.json"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not wait:
            raise Claimed(f"{folder} is being {what} by {described(owner)}; wait for it, or stop it") from None
        print(f"{folder} is being {what} by {described(owner)}; waiting for it", flush=True)
        lock.acquire()
    try:
        owner.write_text(json.dumps({"process": os.getpid(), "machine": socket.gethostname(),
                                     "since": datetime.now().isoformat(timespec="seconds")}))
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def writer_of(folder: Path) -> str | None:
    """Who is writing to a folder now, in words; None if nobody is, whoever was killed at it before."""
    lock, owner = FileLock(folder / ".lock"), folder / ".owner.json"
    if not owner.exists():
        return None
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return described(owner)
    except OSError:  # a folder that cannot be written
        return None
    lock.release()
    return None


def described(owner: Path) -> str:
    """Who holds a lock, as far as that is known."""
    try:
        known = json.loads(owner.read_text())
        return f"process {known['process']} on {known['machine']} since {known['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
