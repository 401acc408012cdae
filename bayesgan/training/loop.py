"""The loop around the trainer: progress, collecting, saving, stopping."""

import signal
import sys
import threading
import time
from contextlib import contextmanager

import torch
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from bayesgan.data import to_float
from bayesgan.evaluation.pictures import image_grid, save_picture
from bayesgan.training.algorithm import Losses, Trainer, latent_draw
from bayesgan.commands.evaluate import Evaluator, errors_line, headline
from bayesgan.store.run_folder import RunFolder

__all__ = ["train", "Stopped"]

GRID = 100  # samples in a grid
SHOWN = 2000  # real vectors behind a scatter plot


class Stopped(Exception):
    """The user asked to stop; the last iteration is complete and checkpointed."""


def train(trainer: Trainer, folder: RunFolder, evaluator: Evaluator | None = None) -> None:
    """Trains to options.train_iter from wherever `trainer` stands, writing into `folder`.

    Args:
        evaluator: Of a semi-supervised run; asked at every n_save.

    Raises:
        Diverged: If a loss becomes non-finite. What was saved before stays.
        Stopped: After an interrupt or a termination signal, with a checkpoint of the last iteration.
    """
    options = trainer.options
    first_draw = options.burn_in + options.ramp
    progress = Progress(trainer.iteration, options.train_iter)
    history: list[Losses] = []
    with asked_to_stop() as stop, SummaryWriter(folder.path / "tensorboard", purge_step=trainer.iteration + 1) as writer:
        while trainer.iteration < options.train_iter:
            history.append(trainer.step())
            done = trainer.iteration
            ends = done == options.train_iter or stop.is_set()
            saves = ends or done % options.n_save == 0
            # counted from the end, so that the last iteration is always a draw
            collects = done == options.train_iter or (
                done > first_draw and (options.train_iter - done) % options.thin == 0 and not options.ml
            )
            shows = saves or done % options.log_every == 0
            if not (shows or collects):
                continue
            trainer.check(history, done - len(history))
            temperature = trainer.temperature(done - 1)
            if collects:
                groups = {"generators": trainer.generators.state(), "discriminators": trainer.discriminators.state()}
                folder.store.add(groups, done, temperature)
            if not shows:
                continue
            mean = Losses(*(torch.stack([getattr(losses, role) for losses in history]).mean(0)
                            for role in ("discriminators", "generators")))
            history.clear()
            progress.show(done, mean, temperature)
            log_scalars(writer, done, mean, temperature)
            if saves:
                figures = {}
                if evaluator is not None:
                    classified = evaluator.figures()
                    figures = {**headline(classified), "classification": classified}
                    for name, percent in headline(classified).items():
                        writer.add_scalar(f"accuracy/{name}", percent, done)
                    progress.say(errors_line(classified))
                folder.save_results(done, mean, temperature, figures)
                if options.save_weights:
                    folder.save_weights(done, trainer)
                save_samples(trainer, folder, writer, files=options.save_samples or done == options.train_iter)
                folder.save_checkpoint(trainer)
            if ends and done < options.train_iter:
                progress.close()
                raise Stopped
    progress.close()


def log_scalars(writer: SummaryWriter, iteration: int, losses: Losses, temperature: float) -> None:
    """Every member's loss, the means, and the temperature."""
    writer.add_scalar("sampler/temperature", temperature, iteration)
    for role, values in vars(losses).items():
        writer.add_scalar(f"loss/{role}", values.mean(), iteration)
        for member, value in enumerate(values.tolist()):
            writer.add_scalar(f"loss_{role}/{member:02d}", value, iteration)


@torch.no_grad()
def save_samples(trainer: Trainer, folder: RunFolder, writer: SummaryWriter, files: bool) -> None:
    """One picture per generator and one of the mixture, from noise that is the same at every call of the run."""
    members, done = trainer.options.generators, trainer.iteration
    latent = latent_draw(members, GRID, trainer.options.z_dim, trainer.random("fixed noise", iteration=0))
    samples = trainer.generators.forward(latent, train=False)  # (I, 100, ...)
    rows = torch.arange(GRID, device=samples.device)
    mixture = samples[rows % members, rows]
    real = to_float(trainer.data.train[:SHOWN])
    if trainer.data.is_images:
        writer.add_image("samples/mixture", image_grid(mixture), done)
    if files:
        if not trainer.data.is_images:
            mixture = samples.flatten(0, 1)
        save_picture(folder.path / "samples" / f"mixture_{done:08d}.png", mixture, real)
        for member in range(members):
            name = f"generator_{member:02d}_{done:08d}.png"
            save_picture(folder.path / "samples" / name, samples[member], real)


class Progress:
    """A bar on a terminal, plain lines elsewhere: iterations per second, time left, mean losses, temperature."""

    def __init__(self, start: int, total: int):
        self.start, self.total, self.begun = start, total, time.perf_counter()
        self.bar = tqdm(total=total, initial=start, unit="it", dynamic_ncols=True) if sys.stderr.isatty() else None

    def show(self, done: int, losses: Losses, temperature: float) -> None:
        text = (f"discriminators {losses.discriminators.mean():.3f}  generators {losses.generators.mean():.3f}  "
                f"temperature {temperature:.3g}")
        if self.bar is not None:
            self.bar.set_postfix_str(text, refresh=False)
            self.bar.update(done - self.bar.n)
            return
        rate = (done - self.start) / (time.perf_counter() - self.begun)
        left = (self.total - done) / rate
        print(f"{done}/{self.total}  {rate:.2f} it/s  {int(left) // 60}:{int(left) % 60:02d} left  {text}", flush=True)

    def say(self, text: str) -> None:
        """A line of its own, above the bar."""
        tqdm.write(text) if self.bar is not None else print(text, flush=True)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


@contextmanager
def asked_to_stop():
    """An event that the first interrupt or termination signal sets; a second one interrupts at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield event
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number, frame):
        event.set()
        for signal_number, handler in before.items():
            signal.signal(signal_number, handler)

    try:
        for number in before:
            signal.signal(number, handle)
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
