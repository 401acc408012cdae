"""How much memory this process could have, and a limit that turns the kernel's kill into an error."""

import os
import sys
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path

import torch

__all__ = ["available_bytes", "data_limit", "libraries_bytes", "proc_bytes", "room"]

CONTAINER = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def available_bytes(device: torch.device) -> int | None:
    """What this process could hold on the device: free memory, and what it holds already; None if nobody tells."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    limits = []
    for file in CONTAINER:
        text = Path(file).read_text().strip() if Path(file).exists() else "max"
        if text.isdigit():
            limits.append(int(text))
    if sys.platform != "win32":  # which has no module resource, and no sysconf
        import resource

        outside = resource.getrlimit(resource.RLIMIT_DATA)[0]
        if outside != resource.RLIM_INFINITY:
            limits.append(outside)
        try:
            limits.append(proc_bytes("/proc/meminfo", "MemAvailable") + proc_bytes("/proc/self/status", "VmData"))
        except (OSError, StopIteration):  # no Linux: all there is
            limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(limits, default=None)


@cache
def libraries_bytes() -> int:
    """What the interpreter and its libraries hold, if it is asked first before anything else is; 0 where nobody tells.
    """
    try:
        return proc_bytes("/proc/self/status", "VmData")
    except (OSError, StopIteration):
        return 0


def room(device: torch.device) -> int | None:
    """`available_bytes` for data, networks and training, without the libraries that a processor's memory holds too."""
    available = available_bytes(device)
    return available if available is None or device.type != "cpu" else available - libraries_bytes()


def proc_bytes(file: str, name: str) -> int:
    """A line "name: kB" of a file of Linux's /proc, in bytes."""
    line = next(line for line in Path(file).read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def data_limit(limit: int | None, device: torch.device):
    """A context in which this process's allocations beyond `limit` bytes fail, where the kernel would end it silently.

    Linux and the CPU alone; elsewhere nothing changes. `limit` is at most the `available_bytes`, which a limit set
    from outside is part of.
    """
    return limited(limit) if sys.platform == "linux" and device.type == "cpu" else nullcontext()


@contextmanager
def limited(limit: int):
    import resource

    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, hard))
