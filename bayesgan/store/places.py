"""Where a run's own folder is made, below --out_dir."""

import itertools
import os
import time
from pathlib import Path

from bayesgan.basics.errors import InputError
from bayesgan.options import Options

__all__ = ["new_folder", "refuse_no_place"]

NO_PLACE = "--out_dir must be a folder that can be written, got {} ({}); name another"


def refuse_no_place(out_dir: Path) -> None:
    """Raises InputError where no folder can be made in `out_dir`; makes none."""
    place = next(path for path in (out_dir.absolute(), *out_dir.absolute().parents) if path.exists())
    if not (place.is_dir() and os.access(place, os.W_OK)):
        why = "Permission denied" if place.is_dir() else f"{place} is a file"
        raise InputError(NO_PLACE.format(out_dir, why))


def new_folder(options: Options) -> Path:
    """Makes the folder; a number is added where two runs begin in one second."""
    name = f"bgan_{options.dataset}_{int(time.time())}"
    try:
        options.out_dir.mkdir(parents=True, exist_ok=True)
        for attempt in itertools.count():
            path = options.out_dir / (f"{name}_{attempt}" if attempt else name)
            try:
                path.mkdir()
                return path
            except FileExistsError:  # of another run that began in this second
                continue
    except OSError as error:
        raise InputError(NO_PLACE.format(options.out_dir, error.strerror)) from None
