"""Downloads that a data set does for itself where its files are nowhere to be found."""

import shutil
from collections.abc import Callable
from pathlib import Path

from bayesgan.basics.errors import InputError, reason

__all__ = ["fetch"]


def fetch(name: str, target: Path, download: Callable[[], None], advice: str) -> None:
    """Runs `download`, which fills the folder `target`; where it fails, no folder is left that was not there before.

    Raises:
        ValueError: If it fails, in one line that ends with `advice`.
    """
    print(f"{name}: not in {target}; downloading", flush=True)
    made = next((folder for folder in reversed([target, *target.parents]) if not folder.exists()), None)
    try:
        download()
    except BaseException as error:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
        if not isinstance(error, (OSError, RuntimeError)):
            raise
        raise InputError(f"{name}: not in {target} and the download failed ({reason(error)}); {advice}") from None
