"""Training runs as parts of an experiment: each in a folder of its own, found again, taken up again, several at once."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from datetime import datetime
from pathlib import Path

from bayesgan.basics.errors import InputError
from bayesgan.commands.train import main
from bayesgan.options.options import resolve
from bayesgan.store.run_folder import RunFolder

__all__ = ["command_line", "last_results", "seconds", "trained", "trained_all"]

PROGRAM = "import sys; from bayesgan.commands.train import main; sys.exit(main(sys.argv[1:], semi={semi}))"


def command_line(given: dict) -> list[str]:
    """Options as a user types them."""
    return [f"--{'' if v else 'no-'}{k}" if isinstance(v, bool) else f"--{k}={v}" for k, v in given.items()]


def trained(place: Path, given: dict, semi: bool = False, threads: int | None = None) -> Path:
    """The run with these options in `place`, trained or resumed first if it is not complete; its output goes to place/log.txt.

    Args:
        threads: Of a process of its own; None trains in this one.

    Raises:
        ValueError: If `place` holds a run with other options, or training fails.
    """
    runs = sorted(place.glob("bgan_*"))
    if runs:
        stored, wanted = RunFolder.open(runs[-1]).options(), resolve({**given, "out_dir": place}, semi)[0]
        if wrong := [k for k, v in vars(wanted).items() if getattr(stored, k) != v]:
            raise InputError(f"{runs[-1]} was made with another {wrong[0]}; name another --out_dir")
        if (runs[-1] / "samples" / "posterior.png").exists() and last_results(runs[-1])["iteration"] == wanted.train_iter:
            return runs[-1]  # the picture is the last thing but one that a run writes
    flags = ["--resume", str(runs[-1])] if runs else [*command_line(given), f"--out_dir={place}"]
    place.mkdir(parents=True, exist_ok=True)
    with open(place / "log.txt", "a") as log:
        if threads is None:
            with redirect_stdout(log), redirect_stderr(log):
                code = main(flags, semi)
        else:  # beside others: a process of its own
            code = subprocess.run([sys.executable, "-c", PROGRAM.format(semi=semi), *flags], stdout=log, stderr=log,
                                  env=os.environ | {"OMP_NUM_THREADS": str(threads)}).returncode
    if code:
        reason = (place / "log.txt").read_text().strip().splitlines()[-1]
        raise InputError(f"the run in {place} ended with code {code}: {reason.removeprefix('error: ')}")
    return sorted(place.glob("bgan_*"))[-1]


def trained_all(wanted: dict[Path, dict], semi: bool, jobs: int) -> dict[Path, Path]:
    """`trained` for each place -> options, `jobs` at a time, with a line for each that is done."""
    if jobs < 1:
        raise InputError(f"--jobs must be at least 1, got {jobs}")
    threads = max(1, (os.cpu_count() or 1) // jobs) if jobs > 1 else None
    done: dict[Path, Path] = {}
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(trained, place, given, semi, threads) for place, given in wanted.items()] if threads else []
        for number, (place, given) in enumerate(wanted.items()):
            done[place] = futures[number].result() if threads else trained(place, given, semi)
            print(f"{len(done)}/{len(wanted)}  {place}", flush=True)
    return done


def last_results(run: Path) -> dict:
    """The newest results_<iter>.json of a run."""
    newest = max(run.glob("results_*.json"), key=lambda path: int(path.stem.split("_")[1]))
    return json.loads(newest.read_text())


def seconds(run: Path) -> float:
    """Time from the run's start to its last results; of the last command where it was resumed."""
    started = RunFolder.open(run).config["commands"][-1]["started"]
    return last_results(run)["timestamp"] - datetime.fromisoformat(started).timestamp()
