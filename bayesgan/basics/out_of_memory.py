"""Which errors mean that a device has no memory left."""

import torch

__all__ = ["is_out_of_memory"]

# what torch's allocators, the CUDA runtime, cuBLAS, cuDNN and oneDNN say in a plain error
PHRASES = (
    "not enough memory",
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "failed to allocate",
    "unable to allocate",
    "std::bad_alloc",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "could not create a memory object",
    "could not create a primitive",
)
PLAIN = (RuntimeError, getattr(torch, "AcceleratorError", RuntimeError))  # the latter since torch 2.8


def is_out_of_memory(error: BaseException) -> bool:
    """Of any device; torch's CPU allocator raises a plain RuntimeError."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return type(error) in PLAIN and any(phrase.lower() in text for phrase in PHRASES)
