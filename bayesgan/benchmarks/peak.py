"""The most memory that training iterations hold at once: on a CPU in a process of their own, whose memory nothing else has used."""

import multiprocessing
import resource
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from bayesgan.benchmarks.variants import variant
from bayesgan.basics.devices import keep_freed_memory
from bayesgan.training.algorithm import Engines
from bayesgan.training.memory import proc_bytes
from bayesgan.options.options import Options, load_data

__all__ = ["iterations_peak"]


def iterations_peak(
    name: str, options: Options, device: torch.device, engines: Engines | None = None, sampling: bool = False
) -> int:
    """Bytes beyond the libraries and the data set that the first iterations of a variant (`variant`) held at their peak."""
    if device.type == "cuda":
        return on_cuda(name, options, device, engines, sampling)
    context = multiprocessing.get_context("forkserver")  # its children have imported everything and computed nothing
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(1, context) as fresh:
        return fresh.submit(in_this_process, name, options, engines, sampling).result()


def in_this_process(name: str, options: Options, engines: Engines | None, sampling: bool) -> int:
    keep_freed_memory()
    data = load_data(options)
    before = highest_resident_bytes()
    trainer = variant(name, options, data, torch.device("cpu"), engines, sampling)
    trainer.step(), trainer.step()
    return highest_resident_bytes() - before


def highest_resident_bytes() -> int:
    """Of this process so far. Not ru_maxrss where there is /proc: that begins with what the parent process held."""
    if Path("/proc/self/status").exists():
        return proc_bytes("/proc/self/status", "VmHWM")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def on_cuda(name: str, options: Options, device: torch.device, engines: Engines | None, sampling: bool) -> int:
    data = load_data(options).to(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    trainer = variant(name, options, data, device, engines, sampling)
    trainer.step(), trainer.step()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before
