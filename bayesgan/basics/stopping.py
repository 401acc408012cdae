"""Signals that end a command: one line and their usual exit code, from the first moment on. Imports nothing slow."""

import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["STOPPING", "Signalled", "handlers_for", "start", "started", "stop_code"]

# an interrupt, a termination, a closed terminal (which Windows does not have)
STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


BEGUN: list[float] = []  # when `start` was called


class Signalled(KeyboardInterrupt):
    """Raised where the process is by a signal that asks it to stop."""

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number


def stop_code(error: Exception | KeyboardInterrupt) -> int:
    """128 and the signal's number, as shells have it: 130 for an interrupt, 143 for a termination."""
    return 128 + getattr(error, "number", signal.SIGINT)


@contextmanager
def handlers_for(handle) -> Iterator[dict]:
    """Inside, signals that ask to stop call handle(number, frame); those that are ignored, as by nohup, stay ignored.

    Yields:
        Signal -> the handler before; empty in a thread, which signals never reach.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: handler for number in STOPPING if (handler := signal.getsignal(number)) != signal.SIG_IGN}
    try:
        for number in before:
            signal.signal(number, handle)
        yield before
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def start(module: str, **options) -> int:
    """Imports a command line's module and runs its `main(**options)`; returns the exit code."""
    BEGUN.append(time.perf_counter())
    asked = []

    def handle(number: int, frame) -> None:
        asked.append(number)
        raise Signalled(number)

    with handlers_for(handle):
        try:
            main = importlib.import_module(module).main
        except BaseException:
            if not asked:  # an import that is interrupted may raise anything
                raise
            print("stopped before anything was done", file=sys.stderr)
            return stop_code(Signalled(asked[0]))
        try:
            code = main(**options)
        except Signalled as error:  # asked once more while it was ending
            code = stop_code(error)
    if os.environ.get("WORLD_SIZE", "1") != "1":
        # nothing is left to do, and gloo's threads have aborted processes while Python took leave
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def started() -> float:
    """time.perf_counter() when the process's command line began, imports included; now where it began otherwise."""
    return BEGUN.pop() if BEGUN else time.perf_counter()
