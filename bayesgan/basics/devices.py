"""Which device a command computes on, and how the process uses its memory."""

import ctypes
import os
import platform
from pathlib import Path

import torch

from bayesgan.basics.errors import InputError, reason
from bayesgan.basics.ranks import environment_number, ranks_started

__all__ = ["DEVICES", "device_name", "keep_freed_memory", "natively_bf16", "pick_device", "set_arithmetic",
           "usable_device"]

DEVICES = ("auto", "cpu", "cuda")


def pick_device(name: str, gpu_id: int | None = None) -> torch.device:
    """The device asked for; auto is a GPU if there is one. Each rank on a machine has its own.

    Raises:
        ValueError: If the name is unknown, or a GPU is asked for and absent.
    """
    if name not in DEVICES:
        raise InputError(f"--device must be one of: {', '.join(DEVICES)}; got {name!r}")
    count, together = torch.cuda.device_count(), ranks_started() > 1
    if name == "cpu" or (name == "auto" and count == 0):
        return torch.device("cpu")
    if (gpu_id or 0) >= count:
        flag = f"--gpu_id {gpu_id}" if gpu_id is not None else "--device cuda"
        raise InputError(f"{flag} asks for a GPU that is absent ({count} found); leave it out to run on the CPU")
    if together and gpu_id is None:
        gpu_id = environment_number("LOCAL_RANK", 0)
        if gpu_id >= count:
            raise InputError(f"each rank needs a GPU of its own, got rank {gpu_id} on a machine with {count}; start "
                             "fewer, or give --device cpu")
    return torch.device("cuda", gpu_id or 0)


def usable_device(device: torch.device | str) -> torch.device:
    """The device that a caller named.

    Raises:
        ValueError: If torch knows no such device, it is absent, or does not compute (meta).
    """
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (AssertionError, ImportError, RuntimeError, TypeError) as error:  # of either kind, as torch was built
        raise InputError(f"device must be one that is here, got {device!r} ({reason(error)}); give cpu") from None
    if found.type == "meta":
        raise InputError("device must be one that computes, got meta; give cpu, or a GPU as cuda")
    return found


def set_arithmetic(precision: str, device: torch.device, deterministic: bool = False) -> None:
    """Sets how this process computes on the device: convolutions and matrix products alike, reproducibly or not.

    torch by itself lets a GPU round the inputs of convolutions to TensorFloat-32 and leaves matrix products alone.

    Raises:
        ValueError: For a precision that the device has no arithmetic for.
    """
    check_precision(precision, device)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    deterministic = deterministic and device.type == "cuda"  # a CPU is reproducible as it is
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS asks for; read when it starts
    if torch.are_deterministic_algorithms_enabled() != deterministic:  # torch imports its compiler here, for seconds
        torch.use_deterministic_algorithms(deterministic)
    torch.utils.deterministic.fill_uninitialized_memory = False  # which is for finding errors, and costs time


def check_precision(name: str, device: torch.device) -> None:
    """Raises ValueError for a precision that the device has no arithmetic for."""
    if name == "tf32" and (device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 0)):
        raise InputError(
            f"--precision tf32 is for NVIDIA GPUs since Ampere, which this {device.type} device is not; "
            "use --precision fp32"
        )
    imitated = device.type == "cpu" and (
        torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())
    if name == "bf16" and not (natively_bf16(device) or imitated):
        raise InputError(
            f"--precision bf16 needs bfloat16 arithmetic, which this {device.type} device lacks; use --precision fp32"
        )


def natively_bf16(device: torch.device) -> bool:
    """Whether it has instructions for bfloat16; a CPU without can imitate them, slower than single precision."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # private: a torch without them counts as without
    return any(getattr(torch.cpu, name, bool)() for name in asked)


def device_name(device: torch.device | str) -> str:
    """What people call it: the GPU's name, or the processor's with its cores and the threads in use."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"


def processor() -> str:
    """Linux's name of the processor, elsewhere the architecture."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def keep_freed_memory() -> None:
    """Has the C library keep what this process frees, for what it allocates next; glibc only, else nothing changes.

    By default glibc returns every large tensor to the kernel, which hands it out again as new pages, cleared one by
    one: on a CPU a quarter of an iteration at the reference size. The peak stays as it is; at rest it is still held.
    """
    if platform.libc_ver()[0] == "glibc":
        m_trim_threshold, m_mmap_max = -1, -4  # malloc.h
        library = ctypes.CDLL(None)
        library.mallopt(m_mmap_max, 0)
        library.mallopt(m_trim_threshold, -1)  # never
