"""The command line of run_bgan.py: from arguments to a finished run, and every failure as one line."""

import argparse
import dataclasses
import sys
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch

from bayesgan.data import Dataset, to_float
from bayesgan.basics.devices import check_precision, keep_freed_memory, pick_device
from bayesgan.basics.errors import Diverged, InputError
from bayesgan.evaluation.pictures import save_picture
from bayesgan.commands.exit_codes import exit_code, is_out_of_memory
from bayesgan.store.posterior import load_posterior
from bayesgan.commands.resample import resample_run
from bayesgan.training.algorithm import Engines, Trainer, default_engines
from bayesgan.commands.evaluate import Evaluator, evaluate
from bayesgan.training.engine_choice import choose_engines
from bayesgan.training.loop import SHOWN, Stopped, train
from bayesgan.training.memory import available_bytes, data_limit, nearest_fit, peak_bytes
from bayesgan.options.options import Options, add_flags, load_data, resolve
from bayesgan.store.run_folder import RunFolder

__all__ = ["main"]

# what a resumed run may change: how far and where it goes, not what it samples
CHANGEABLE = {"train_iter", "device", "gpu_id", "data_path", "cache_path", "n_save", "log_every", "save_samples",
              "save_weights", "keep", "resample"}


class Parser(argparse.ArgumentParser):
    def error(self, message: str):
        raise InputError(f"{message}; see --help")


def main(arguments: list[str] | None = None, semi: bool = False) -> int:
    """Runs the command line; returns the exit code: 0 done, 2 bad input or no room, 3 diverged, 130 stopped by the user.

    Args:
        arguments: Of the command line; default: the process's.
        semi: As run_bgan_semi.py.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    keep_freed_memory()
    return exit_code(lambda: run(arguments, semi))


def run(arguments: list[str], semi: bool) -> int:
    parser = Parser(
        prog=program(semi), allow_abbrev=False,
        description="Samples the posterior over GAN weights with SGHMC (Saatchi & Wilson 2017), "
                    + ("semi-supervised: a classifier from N labels and all images." if semi else "unsupervised."),
        epilog="The data sets digits, synthetic and gaussians25 bring smaller defaults of their own; "
               "--dry_run shows what a command comes to.",
    )
    add_flags(parser, semi)
    if not semi:
        parser.add_argument("--N", type=int, default=argparse.SUPPRESS, help="refused: see run_bgan_semi.py")
    parser.add_argument("--resume", type=Path, metavar="DIR", help="continue the run in this folder")
    parser.add_argument("--dry_run", "--dry-run", action="store_true",
                        help="check everything, time one iteration, write nothing")
    given = vars(parser.parse_args(arguments))
    resume, dry_run = given.pop("resume"), given.pop("dry_run")
    if "N" in given and not semi:
        raise InputError(f"--N is the number of labels and an unsupervised run reads none, got {given['N']}; leave it out, "
                         "or use run_bgan_semi.py")
    resumed = None if resume is None else RunFolder.open(resume)
    if resumed is not None:
        if resumed.options().semi != semi:
            raise InputError(f"{resume} is a run of {program(not semi)}, got {program(semi)}; resume it with the former")
        options, notes = continued(resumed, given), []
    else:
        options, notes = resolve(given, semi)
    device = pick_device(options.device, options.gpu_id)
    for note in notes:
        print(note)
    check_precision(options.precision, device)
    data = load_data(options) if resumed is None else resumed.load_data(options.data_path, options.cache_path)
    engines = None if resumed is None else resumed.engines()
    if engines is None:
        with memory_explained(options, data, device, default_engines(options)):
            engines, notes = choose_engines(options, data, device)
        print(*notes, sep="\n", end="\n" if notes else "")
    with memory_explained(options, data, device, engines):
        return compute(Trainer(options, data, device, engines), data, arguments, resumed, dry_run)


def compute(trainer: Trainer, data: Dataset, arguments: list[str], resumed: RunFolder | None, dry_run: bool) -> int:
    """Everything after the input has been read and checked and the engines are chosen; returns the exit code."""
    options, device = trainer.options, trainer.device
    print(describe(trainer), flush=True)
    if resumed is not None:
        checkpoint = resumed.load_checkpoint(trainer)
        if trainer.iteration >= options.train_iter:
            raise InputError(f"{resumed.path} has done its {trainer.iteration} iterations; add some with --train_iter")
        print(f"resuming {resumed.path} at iteration {trainer.iteration}, from {checkpoint or 'the start'}")
    if dry_run:
        seconds = timed_step(trainer)
        left = options.train_iter - trainer.iteration
        print(f"dry run: {seconds:.2f} s per iteration, about {seconds * left / 60:.1f} minutes; no run was written")
        return 0
    if resumed is not None:
        folder = resumed
        folder.resumed(options, arguments)
    else:
        folder = RunFolder.create(options, data, arguments, trainer.engines)
    print(f"writing to {folder.path}", flush=True)
    begun = time.perf_counter()
    try:
        evaluator = Evaluator(trainer, folder, folder.supervised(data, device)) if options.semi else None
        train(trainer, folder, evaluator)
    except Diverged as error:
        last = folder.path / "checkpoints" / "last.pt"
        raise Diverged(f"{error}; " + (f"the last good checkpoint is {last}" if last.exists() else
                                       "no checkpoint had been written, --n_save says when")) from None
    except Stopped:
        print(f"stopped after iteration {trainer.iteration}; go on with: --resume {folder.path}")
        return 130
    print(summary(trainer, folder, time.perf_counter() - begun))
    return 0


@contextmanager
def memory_explained(options: Options, data: Dataset, device: torch.device, engines: Engines):
    """Turns running out of memory into an InputError that says what was needed and what fits."""
    available = available_bytes(device)
    try:
        with data_limit(available) if device.type == "cpu" and sys.platform == "linux" else nullcontext():
            yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        needed = peak_bytes(options, data, engines)
        # it did not fit, whatever the formula says
        fits = fitting(options, data, min(available, int(0.8 * needed)), engines)
        raise InputError(f"out of memory: {memory(options, needed)}, and {available / 2**30:.1f} GiB could be had; {fits} fits; "
                         "what was saved before is intact") from None


def memory(options: Options, needed: int) -> str:
    return (f"{options.generators} generators on minibatches of {options.gen_batch} and {options.discriminators} "
            f"discriminators on {options.batch_size} need at most {needed / 2**30:.1f} GiB")


def fitting(options: Options, data: Dataset, limit: int, engines: Engines) -> str:
    changes = nearest_fit(options, data, limit, engines)
    return "only a lower --df_dim" if changes is None else " ".join(f"--{name} {value}" for name, value in changes.items())


def continued(folder: RunFolder, given: dict) -> Options:
    """The options of `folder` with what may change taken from `given`.

    Raises:
        ValueError: Listing every difference that would make it another run.
    """
    stored = folder.options()
    wrong = [f"--{k} {v} (the run has {getattr(stored, k)})" for k, v in given.items()
             if k not in CHANGEABLE and v != getattr(stored, k)]
    if wrong:
        raise InputError(f"a resumed run keeps its options, got {', '.join(wrong)}; leave them out or start a new run")
    changes = {k: v for k, v in given.items() if k in CHANGEABLE}
    if "device" in changes:
        changes.setdefault("gpu_id", None)
    elif "gpu_id" in changes:
        changes["device"] = "cuda"
    options = dataclasses.replace(stored, **changes)
    return resolve(vars(options), options.semi)[0]


def program(semi: bool) -> str:
    return "run_bgan_semi.py" if semi else "run_bgan.py"


def describe(trainer: Trainer) -> str:
    """One paragraph: what will be sampled."""
    options, data = trainer.options, trainer.data
    needed, available = peak_bytes(options, data, trainer.engines), available_bytes(trainer.device)
    sampling = ("temperature 0 throughout" if options.temperature == 0 else
                f"{options.burn_in} burn-in, then temperature {options.temperature:g}, a draw every {options.thin}")
    return (
        f"{data.name}: {len(data.train)} training data of shape {'x'.join(map(str, data.shape))}"
        + (f", {options.N} of them labelled, {len(data.classes)} classes" if options.semi else "")
        + f"; {len(data.calibration)} more held out, {len(data.test)} for testing\n"
        f"{options.generators} generators of {trainer.generators.weight_count():,} weights, "
        f"{options.discriminators} discriminators of {trainer.discriminators.weight_count():,}, on {trainer.device}, "
        f"at most {needed / 2**30:.1f} GiB of memory\n"
        f"{options.train_iter} iterations: {sampling}"
        + (f"\nwarning: {memory(options, needed)} of memory, the device has {available / 2**30:.1f}; "
           f"{fitting(options, data, available, trainer.engines)} fits"
           if needed > available else "")
    )


def timed_step(trainer: Trainer) -> float:
    """Seconds of the second iteration: the first also warms up."""
    trainer.step()
    begun = time.perf_counter()
    losses = trainer.step()
    losses.generators.sum().item()
    return time.perf_counter() - begun


def summary(trainer: Trainer, folder: RunFolder, seconds: float) -> str:
    """What a user wants to know at the end; also makes the picture of the whole posterior."""
    posterior = load_posterior(folder.path)
    picture = folder.path / "samples" / "posterior.png"
    count = 100 if trainer.data.is_images else 1000
    save_picture(picture, posterior.sample(count), to_float(trainer.data.train[:SHOWN]).cpu())
    if trainer.options.resample is not None:
        resample_run(folder.path, 100, method=trainer.options.resample, device=trainer.device)
    known = f"\n{evaluate(folder.path, trainer.device)}\n" if trainer.options.semi else ""
    return (
        f"{known}\ndone in {seconds / 60:.1f} minutes: {len(posterior.draws)} draws of {trainer.options.generators} generators\n"
        f"  look at    {picture}   (mixture of everything collected; one grid per generator beside it)\n"
        f"  follow     tensorboard --logdir {folder.path / 'tensorboard'}\n"
        f"  sample     python -c \"from bayesgan import load_posterior; "
        f"print(load_posterior('{folder.path}').sample(64, seed=1).shape)\"\n"
        + (f"  calibration {folder.path / 'evaluation' / 'uncertainty.png'}\n" if known else "") +
        f"  go on      python {program(trainer.options.semi)} --resume {folder.path} --train_iter {2 * trainer.options.train_iter}"
    )
