"""What a command line makes of a failure: one line and an exit code."""

import sys
from collections.abc import Callable

import torch

from bayesgan.basics.errors import Diverged, InputError

__all__ = ["exit_code", "is_out_of_memory"]


def is_out_of_memory(error: BaseException) -> bool:
    """Of any device; torch's CPU allocator raises a plain RuntimeError."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "alloc" in str(error)


def exit_code(call: Callable[[], int | None]) -> int:
    """Calls and returns its code, or: 2 bad input, unreadable files or no room, 3 diverged, 130 stopped by the user."""
    try:
        return call() or 0
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: cannot read or write {error.filename or 'a file'} ({error.strerror or error}); what was saved "
              "before is intact", file=sys.stderr)
        return 2
    except Diverged as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        print("error: out of memory; use fewer or smaller networks (--num_gen, --num_mcmc, --df_dim), a smaller "
              "--batch_size or --image_size; what was saved before is intact", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; what was saved before is intact", file=sys.stderr)
        return 130
