"""The command lines run_bgan.py and run_bgan_semi.py: from arguments to a finished run, every failure as one line."""

import argparse
import dataclasses
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from itertools import pairwise
from pathlib import Path

import torch

from bayesgan.basics.devices import natively_bf16, pick_device, set_arithmetic
from bayesgan.basics.errors import Diverged, InputError
from bayesgan.basics.memory import libraries_bytes
from bayesgan.basics.ranks import Agreed, Ranks, connected, rank_here
from bayesgan.basics.stopping import started, stop_code
from bayesgan.commands.ending import summary, time_in_words
from bayesgan.commands.evaluate import Evaluator, supervised_network
from bayesgan.commands.going_on import continued, opened, resume, told_when_stopped
from bayesgan.commands.outlook import describe, memory_explained
from bayesgan.commands.parser import Parser, call
from bayesgan.data import Dataset
from bayesgan.options import (
    Engines,
    Options,
    add_flags,
    default_engines,
    explain,
    given_flags,
    idle,
    load_data,
    resolve,
    script_name,
    with_counted_labels,
)
from bayesgan.options.loading import check_data
from bayesgan.store import RunFolder
from bayesgan.store.config import as_json, describe_data, git_commit
from bayesgan.store.places import refuse_no_place
from bayesgan.training.algorithm import Trainer
from bayesgan.training.engine_choice import choose_engines
from bayesgan.training.loop import Stopped, train
from bayesgan.training.supervised import supervised_iterations

__all__ = ["main"]

PLACES = ("data_path", "cache_path", "gpu_id")  # which may be others on another machine


def main(arguments: list[str] | None = None, semi: bool = False) -> int:
    """Runs the command line; returns the exit code; see `exit_code`.

    Args:
        arguments: Of the command line; default: the process's.
        semi: As run_bgan_semi.py.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    begun = started()
    libraries_bytes()  # before there are data
    return call(lambda: run(arguments, semi, begun))


def run(arguments: list[str], semi: bool, begun: float) -> int:
    with connected() as ranks, only_first_tells():
        found = ranks.together(lambda: prepared(arguments, semi))
        if found is None:
            return 0
        parsed, given, options, folder, data, device = found
        ranks = ranks.within(options.rank_timeout)
        check_alike(ranks, options, data)
        engines = None if folder is None else folder.engines(device)
        if engines is None:
            with memory_explained(options, data, device, default_engines(options), ranks):
                engines, notes = ranks.from_first(lambda: choose_engines(share_of(options, ranks), data, device))
            for note in notes:
                print(note)
        with memory_explained(options, data, device, engines, ranks):
            if parsed.dry_run:
                lines = explain(options, given, semi, folder is not None)
                return dry_run(options, data, device, engines, ranks, folder, lines)
            return whole_run(options, data, device, engines, ranks, folder, arguments, begun)


def prepared(
    arguments: list[str], semi: bool
) -> tuple[argparse.Namespace, dict, Options, RunFolder | None, Dataset, torch.device] | None:
    """Everything that is read and checked before anything is computed; None where a resumed run is complete."""
    parsed = parser(semi).parse_args(arguments)
    given = given_flags(parsed, Options)
    if "N" in given and not semi:
        raise InputError(f"--N is the number of labels and an unsupervised run reads none, got {given['N']}; leave it "
                         "out, or use run_bgan_semi.py")
    if parsed.resume is None:
        folder = None
        options, notes = resolve(given, semi)
    else:
        folder = opened(parsed.resume, semi)
        options = continued(folder, given)
        notes = idle(given, options)
    if folder is not None and folder.ended and options.train_iter == folder.options().train_iter:
        ignored = [f"--{name}" for name in given if getattr(options, name) != getattr(folder.options(), name)]
        unused = f"; {', '.join(ignored)} changed nothing" if ignored else ""
        print(f"{parsed.resume} is complete, all {options.train_iter} iterations and what follows them{unused}; add "
              f"some with --train_iter {2 * options.train_iter}, resample it with python -m bayesgan resample")
        return None
    device = pick_device(options.device, options.gpu_id)
    if folder is None and "precision" not in given and options.precision == "bf16" and not natively_bf16(device):
        options = dataclasses.replace(options, precision="fp32")
        notes.append(f"--precision fp32, not bf16, for which this {device.type} device has no instructions: slower")
    set_arithmetic(options.precision, device, options.deterministic)
    for note in notes:
        print(note)
    if folder is None:
        data = load_data(options)
    else:
        data = folder.load_data(options.data_path, options.cache_path)
        check_data(options, data)  # what may change
    return parsed, given, with_counted_labels(options, data), folder, data, device


@contextmanager
def only_first_tells() -> Iterator[None]:
    """Within it the other ranks print nothing; their errors are seen all the same."""
    if rank_here() == 0:
        yield
        return
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        yield


def check_alike(ranks: Ranks, options: Options, data: Dataset) -> None:
    """Raises InputError where there is a rank without a member, or ranks would not compute the same run."""
    most = max(options.generators, options.discriminators)
    if ranks.size > most:
        raise Agreed(f"there may be as many ranks as generators or discriminators, of whichever there are more, got "
                     f"{ranks.size} for {options.generators} and {options.discriminators}; start {most}")
    own = {name: value for name, value in as_json(options).items() if name not in PLACES}
    ranks.agree(**own, data=describe_data(options, data)["checksum"], commit=git_commit(), torch=torch.__version__)


def share_of(options: Options, ranks: Ranks) -> Options:
    """The same with as many members as the first rank has, to be timed and measured by themselves."""
    if ranks.size == 1:
        return options
    generators, discriminators = (
        max(map(len, ranks.shares(count))) for count in (options.generators, options.discriminators)
    )
    return dataclasses.replace(options, num_mcmc=1, num_gen=generators, num_disc=discriminators)


def parser(semi: bool) -> argparse.ArgumentParser:
    kind = "semi-supervised: a classifier from N labels and all images." if semi else "unsupervised."
    own = Parser(
        prog=script_name(semi),
        description=f"Samples the posterior over GAN weights with SGHMC (Saatchi & Wilson 2017), {kind}",
        epilog="The data sets digits, synthetic and gaussians25 bring smaller defaults of their own; --dry_run shows "
               "what a command comes to. Every flag may be written with dashes or underscores.",
    )
    add_flags(own, Options, semi)
    if not semi:
        own.add_argument("--N", type=int, default=argparse.SUPPRESS, help="refused: see run_bgan_semi.py")
    own.add_argument("--resume", type=Path, metavar="DIR", help="continue the run in this folder")
    own.add_argument("--dry_run", action="store_true", help="check everything, time one iteration, make no run")
    return own


def dry_run(
    options: Options, data: Dataset, device: torch.device, engines: Engines, ranks: Ranks, folder: RunFolder | None,
    lines: list[str],
) -> int:
    """Prints what would be sampled, every value that is not a default, and how long it would take."""
    if folder is None:
        refuse_no_place(options.out_dir)
    trainer = Trainer(options, data, device, engines, ranks)
    print(describe(trainer))
    if folder is not None:
        resume(folder, trainer, set_aside=False)
    print("values that are not the defaults:", *lines, sep="\n")
    left = options.train_iter - trainer.iteration
    spreadings = sum(moment >= trainer.iteration for moment in options.spread_moments)
    seconds, spreading = timed(trainer, spreadings > 0)
    minutes = (seconds * left + spreading * spreadings) / 60
    print(f"dry run: {seconds:.2f} s per iteration, about {minutes:.1f} minutes; no run was written")
    return 0


def whole_run(
    options: Options, data: Dataset, device: torch.device, engines: Engines, ranks: Ranks, folder: RunFolder | None,
    arguments: list[str], begun: float,
) -> int:
    """Everything after the input has been read and checked and the engines are chosen; returns the exit code.

    Args:
        begun: time.perf_counter() when the command began.
    """
    trainer = Trainer(options, data, device, engines, ranks)
    print(describe(trainer), flush=True)
    begins = folder is None
    if begins:
        path = ranks.from_first(lambda: RunFolder.create(options, data, arguments, engines, device).path)
        folder = RunFolder.open(path)
    with ExitStack() as held:
        ranks.from_first(lambda: held.enter_context(folder.writing()))
        if not begins:
            if ranks.from_first(lambda: RunFolder.open(folder.path).config != folder.config):
                raise Agreed(f"{folder.path} was gone on with by another process meanwhile; give the command again")
            resume(folder, trainer)
            if supervised_iterations(folder.options()) < supervised_iterations(options):
                ranks.from_first(folder.drop_supervised)  # the yardstick of a shorter run
            ranks.from_first(lambda: folder.resumed(options, arguments, engines, device))
        print(f"writing to {folder.path}", flush=True)
        hint = f"go on with: --resume {shlex.quote(str(folder.path))}"
        held.enter_context(told_when_stopped(hint))
        moments = [begun, time.perf_counter()]
        try:
            # else only what follows is left to do
            newest = ranks.from_first(lambda: folder.newest_step)
            going_on = trainer.iteration < options.train_iter or newest != trainer.iteration
            measure = evaluator(trainer, folder) if options.semi and going_on else None
            moments.append(time.perf_counter())
            outside = train(trainer, folder, measure)
            moments.append(time.perf_counter())
        except Diverged as error:
            last = folder.path / "checkpoints" / "last.pt"
            kept = f"the last good checkpoint is {last}" if last.exists() else (
                "no checkpoint had been written, --n_save says when")
            raise Diverged(f"{error}; {kept}") from None
        except Stopped as stopped:
            print(f"stopped after iteration {trainer.iteration}; {hint}")
            return stop_code(stopped)
        del trainer  # what follows needs its memory
        if not ranks.first:
            return 0
        print(summary(folder, data, device, measure.asked if measure else None))
        start, supervised, training, end = (b - a for a, b in pairwise([*moments, time.perf_counter()]))
        seconds = {"start": start, "supervised": supervised, "iterations": training - outside, "saving": outside,
                   "end": end}
        print(time_in_words(seconds))
        folder.end(seconds)
    return 0


def evaluator(trainer: Trainer, folder: RunFolder) -> Evaluator:
    """What a semi-supervised run is measured with; its supervised network is trained here if there is none yet."""
    classifier = None
    if trainer.ranks.first:
        classifier = supervised_network(folder, trainer.options, trainer.data, trainer.device)
    averages = None if trainer.teacher is None else trainer.teacher.average
    return Evaluator(trainer.discriminators.ensemble, trainer.data, folder, classifier, averages, trainer.ranks)


def timed(trainer: Trainer, spreads: bool) -> tuple[float, float]:
    """Seconds of an iteration after the first, and of a label spreading, 0 where there is none to come."""
    trainer.step()  # warms up
    begun = time.perf_counter()
    trainer.step().generators.sum().item()
    stepped = time.perf_counter()
    if spreads:
        trainer.teacher.spread(trainer.data, trainer.iteration)
    return stepped - begun, time.perf_counter() - stepped
