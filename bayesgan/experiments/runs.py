"""Training runs as parts of an experiment: each in a place of its own, found again, taken up again, several at once."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from bayesgan.basics.errors import InputError
from bayesgan.basics.locks import Claimed, only_writer
from bayesgan.basics.stopping import Signalled
from bayesgan.commands.train import main
from bayesgan.experiments.cells import Cells, place
from bayesgan.options import Options, flag_words, resolve
from bayesgan.store.config import as_json
from bayesgan.store.run_folder import RunFolder

__all__ = ["device_of", "last_results", "run_cells", "seconds", "trained", "trained_all"]

CHILDREN: list[subprocess.Popen] = []  # runs beside this process
PROGRAM = "import sys; from bayesgan.commands.train import main; sys.exit(main(sys.argv[1:], semi={semi}))"


def run_cells(
    cells: Cells, wanted: dict[NamedTuple, dict], measure: Callable[[NamedTuple, RunFolder], object],
    semi: bool = False, jobs: int = 1, **settings,
) -> dict[NamedTuple, object]:
    """A cell for each training run: what is there is read, what is missing is trained and measured.

    Args:
        wanted: Key -> options of the run, as a user gives them.
        measure: Key and finished run -> the cell's result.
        jobs: Runs at the same time.
        settings: What the results follow from besides the options.

    Returns:
        Key -> result, in the order of `wanted`.
    """
    whole = {key: {**as_json(options_at(cells.folder, key, given, semi)), **settings} for key, given in wanted.items()}
    for own in whole.values():
        del own["out_dir"]  # a results folder may be moved
    found = {key: cells.stored(key, own) for key, own in whole.items()}
    missing = {cells.folder / place(key): key for key, result in found.items() if result is None}
    runs = trained_all({path: wanted[key] for path, key in missing.items()}, semi, jobs)
    for number, (path, run) in enumerate(runs, 1):
        key, folder = missing[path], RunFolder.open(run)
        commit = folder.config.get("git_commit")
        if commit is not None and commit != cells.version["version"]:
            cells.tell_version(run, commit[:12])
        found[key] = cells.keep(key, whole[key], measure(key, folder), device_of(folder))
        print(f"{number}/{len(missing)}  {path}", flush=True)
    return found


def options_at(folder: Path, key: NamedTuple, given: dict, semi: bool) -> Options:
    return resolve({**given, "out_dir": folder / place(key)}, semi)[0]


def trained_all(wanted: dict[Path, dict], semi: bool, jobs: int) -> Iterator[tuple[Path, Path]]:
    """`trained` for each place -> options, `jobs` at a time: (place, run) as soon as each is done.

    What another process is at, here or on a machine that shares the folder, comes last.
    """
    if jobs == 1:
        taken = []
        for path, given in wanted.items():
            try:
                run = trained(path, given, semi)
            except Claimed:
                taken.append(path)
                continue
            yield path, run
        for path in taken:
            yield path, trained(path, wanted[path], semi, wait=True)
        return
    threads = max(1, (os.cpu_count() or 1) // jobs)
    pool = ThreadPoolExecutor(jobs)
    try:
        futures = {path: pool.submit(trained, path, given, semi, threads, True) for path, given in wanted.items()}
        for path, future in futures.items():
            yield path, future.result()
    finally:  # after a failure nothing more is begun, and what runs saves and ends
        for process in list(CHILDREN):
            process.terminate()
        pool.shutdown(cancel_futures=True)


def trained(
    path: Path, given: dict, semi: bool = False, threads: int | None = None, wait: bool = False
) -> Path:
    """The finished run with these options in `path`, trained or resumed first; its output goes to path/log.txt.

    Args:
        threads: Of a process of its own; None trains in this one.
        wait: Until another process that is at it has ended, rather than raise.

    Raises:
        Claimed: If another process is at it.
        ValueError: If training fails.
    """
    path.mkdir(parents=True, exist_ok=True)
    with only_writer(path, "trained", wait):
        return trained_alone(path, given, semi, threads)


def trained_alone(path: Path, given: dict, semi: bool, threads: int | None) -> Path:
    """`trained`, by the only process that is at it."""
    wanted = resolve({**given, "out_dir": path}, semi)[0]
    run = begun(path, wanted)
    if run is not None and RunFolder.open(run).ended:
        return run
    flags = flag_words({**given, "out_dir": path}) if run is None else ["--resume", str(run)]
    with open(path / "log.txt", "a") as log:
        if threads is None:
            with redirect_stdout(log), redirect_stderr(log):
                code = main(flags, semi)
        else:  # beside others
            command = [sys.executable, "-c", PROGRAM.format(semi=semi), *flags]
            environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
            with subprocess.Popen(command, stdout=log, stderr=log, env=environment) as process:
                CHILDREN.append(process)
                code = process.wait()
                CHILDREN.remove(process)
    if code > 128:
        raise Signalled(code - 128)  # the run has said so in its log, and goes on at the next call
    if code:
        words = (path / "log.txt").read_text().strip().splitlines() or ["it left no word"]
        raise InputError(f"the run in {path} ended with code {code}: {words[-1].removeprefix('error: ')}; its log is "
                         f"{path / 'log.txt'}")
    return begun(path, wanted)


def begun(path: Path, wanted: Options) -> Path | None:
    """The newest run in `path` that has these options; where there are only others, a line says what they differ in."""
    differences = []
    for run in sorted(path.glob("bgan_*"), reverse=True):
        try:
            stored = RunFolder.open(run).options()
        except InputError as error:
            differences.append(str(error))
            continue
        other = [field.name for field in dataclasses.fields(Options)
                 if field.name != "out_dir" and getattr(stored, field.name) != getattr(wanted, field.name)]
        if not other:
            return run
        differences.append(f"{run} was made with another {other[0]}")
    if differences:
        print(f"{differences[0]}: trained anew beside it")
    return None


def last_results(run: Path) -> dict:
    """The results_<iter>.json of a run's last iteration."""
    return RunFolder.open(run).results()[-1]


def device_of(run: RunFolder) -> str:
    """What a run was computed on, as it says itself."""
    return run.config.get("device") or "a device that the run does not name"


def seconds(run: RunFolder) -> float:
    """Time from the run's start to its last results; of the last command where it was resumed."""
    started = run.config["commands"][-1]["started"]
    return last_results(run.path)["timestamp"] - datetime.fromisoformat(started).timestamp()
