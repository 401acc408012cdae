"""The most memory that training iterations hold at once, measured where nothing else has used any.

On a CPU that is a process of their own.
"""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from bayesgan.basics.devices import keep_freed_memory
from bayesgan.basics.memory import proc_bytes
from bayesgan.benchmarks.variants import variant
from bayesgan.options import Engines, Options, load_data

__all__ = ["highest_resident_bytes", "iterations_peak"]


def iterations_peak(
    name: str, options: Options, device: torch.device, engines: Engines | None = None, sampling: bool = False
) -> int | None:
    """Bytes beyond the libraries and the data set that the first iterations of a variant held at their peak.

    Args:
        name, engines, sampling: As of `variant`.

    Returns:
        None where the system does not say it.
    """
    if device.type == "cuda":
        return on_cuda(name, options, device, engines, sampling)
    if highest_resident_bytes() is None:
        return None
    context = multiprocessing.get_context("forkserver")  # its children have imported everything and computed nothing
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(1, context) as fresh:
        return fresh.submit(in_this_process, name, options, engines, sampling).result()


def in_this_process(name: str, options: Options, engines: Engines | None, sampling: bool) -> int:
    keep_freed_memory()
    data = load_data(options)
    before = highest_resident_bytes()
    trainer = variant(name, options, data, torch.device("cpu"), engines, sampling)
    for _ in range(2):
        trainer.step()
    return highest_resident_bytes() - before


def highest_resident_bytes() -> int | None:
    """The most that this process has held so far; None where the system does not say it, as on Windows."""
    if Path("/proc/self/status").exists():  # rather than ru_maxrss, which begins with what the parent process held
        return proc_bytes("/proc/self/status", "VmHWM")
    try:
        import resource  # Windows has none
    except ImportError:
        return None
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else 1024 * highest  # macOS counts bytes, others KiB


def on_cuda(name: str, options: Options, device: torch.device, engines: Engines | None, sampling: bool) -> int:
    data = load_data(options).to(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    trainer = variant(name, options, data, device, engines, sampling)
    for _ in range(2):
        trainer.step()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before
