"""Which errors mean that a device has no memory left."""

import torch

__all__ = ["is_out_of_memory"]

# what torch's allocators, cuBLAS, cuDNN and oneDNN say in a plain RuntimeError
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
)


def is_out_of_memory(error: BaseException) -> bool:
    """Of any device; torch's CPU allocator raises a plain RuntimeError."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return type(error) is RuntimeError and any(phrase.lower() in text for phrase in PHRASES)
