"""What a command line makes of a failure: one line and an exit code."""

import os
import sys
from collections.abc import Callable

from bayesgan.basics.errors import Diverged, InputError
from bayesgan.basics.out_of_memory import is_out_of_memory
from bayesgan.basics.ranks import Agreed, RankLost, rank_here
from bayesgan.basics.stopping import handlers_for, stop_code

__all__ = ["exit_code"]


def exit_code(call: Callable[[], int | None]) -> int:
    """Calls and returns its code, or one of these: 2 bad input, unreadable files or no room, 3 diverged, 4 another rank
    lost, 128 + n after signal n.
    """
    try:
        return call() or 0
    except Agreed as error:
        return 2 if rank_here() else say(f"error: {error}", 2)
    except RankLost as error:
        return say(f"error: {error}; what was saved before is intact, and --resume goes on from a checkpoint", 4)
    except InputError as error:
        return say(f"error: {error}", 2)
    except BrokenPipeError:  # whoever read the output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except OSError as error:
        file, why = error.filename or "a file", error.strerror or error
        return say(f"error: cannot read or write {file} ({why}); what was saved before is intact", 2)
    except Diverged as error:
        return say(f"error: {error}", 3)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return say(
            "error: out of memory; use fewer or smaller networks (--num_gen, --num_mcmc, --df_dim), a smaller "
            "--batch_size or --image_size; what was saved before is intact", 2
        )
    except KeyboardInterrupt as error:
        return say("stopped; what was saved before is intact", stop_code(error))


def say(line: str, code: int) -> int:
    with handlers_for(lambda number, frame: None):  # it is ending already
        print(line, file=sys.stderr, flush=True)
    return code
