"""The loop around the trainer: progress, collecting, saving, stopping."""

import signal
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from bayesgan.basics.progress import Progress
from bayesgan.basics.stopping import handlers_for
from bayesgan.data import some, to_float
from bayesgan.evaluation.pictures import image_grid, save_picture
from bayesgan.options import Options
from bayesgan.store import RunFolder
from bayesgan.training.algorithm import Trainer
from bayesgan.training.events import Events
from bayesgan.training.losses import Losses

__all__ = ["Figures", "SHOWN", "Stopped", "train"]

GRID = 100  # samples in a grid
IN_A_HISTOGRAM = 10_000  # weights
SELDOM = 0.05  # a teacher sure of fewer has done nothing
SHOWN = 2000  # real vectors behind a scatter plot


class Stopped(Exception):
    """A signal asked to stop; the last iteration is complete and checkpointed.

    Attributes:
        number: Of the signal.
    """

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


@dataclass(frozen=True)
class Figures:
    """What a run measures at a save, besides losses.

    Attributes:
        results: For results_<iter>.json.
        scalars: Name -> value, for TensorBoard.
        line: For people.
    """

    results: dict
    scalars: dict[str, float]
    line: str


@dataclass(frozen=True)
class Due:
    """What is to be done after an iteration.

    Attributes:
        collect: The weights are a draw.
        show: Losses are reported.
        save: Results, pictures and a checkpoint are written.
        end: The run ends here, done or stopped.
    """

    collect: bool
    show: bool
    save: bool
    end: bool

    @classmethod
    def after(cls, done: int, options: Options, stopping: bool) -> "Due":
        last = done == options.train_iter
        # counted from the end, so that the last iteration is always a draw
        on_the_beat = (options.train_iter - done) % options.thin == 0
        sampling = done > options.burn_in + options.ramp and not options.ml
        end = last or stopping
        save = end or done % options.n_save == 0
        show = save or done % options.log_every == 0
        return cls(collect=last or (sampling and on_the_beat), show=show, save=save, end=end)


def train(trainer: Trainer, folder: RunFolder, measure: Callable[[], Figures] | None = None) -> float:
    """Trains to options.train_iter from wherever `trainer` stands, writing into `folder`.

    Of several processes each calls it at the same time; the first writes and tells.

    Args:
        measure: Asked at every n_save, when the newest draw is in the store.

    Returns:
        Seconds of collecting, measuring, telling and saving, all that is no iteration.

    Raises:
        Diverged: If a loss becomes non-finite. What was saved before stays.
        Stopped: After a signal that asks to stop, with a checkpoint of the last iteration.
    """
    options = trainer.options
    history: list[Losses] = []
    progress = Progress(options.train_iter, trainer.iteration)
    ranks, outside, begun = trainer.ranks, 0.0, trainer.iteration
    saved = begun > 0  # whether there is a checkpoint
    events = Events(folder.path / "tensorboard" if ranks.first else None, trainer.iteration, progress.say)
    with asked_to_stop() as asked, events as writer, progress:
        while trainer.iteration < options.train_iter:
            spreading = trainer.iteration in options.spread_moments
            history.append(trainer.step())
            done = trainer.iteration
            if spreading and (words := trainer.teacher.doubts()):
                progress.say(f"warning: {words}")
            stopping = ranks.most(asked[0] if asked else 0)
            due = Due.after(done, options, bool(stopping))
            if not (due.show or due.collect):
                continue
            trainer.check(history, done - len(history))
            temperature, since = trainer.temperature(done - 1), time.perf_counter()
            if due.collect or due.save:
                folder.require()
            if due.collect:
                folder.store.add(trainer.draw(), done, temperature, trainer.kinetic_temperatures(), ranks)
                if not (saved or due.save):  # draws without any could not be gone on from
                    folder.save_checkpoint(trainer.state_dict(), ranks)
            saved |= due.collect or due.save
            if due.show:
                mean = trainer.mean(history)
                history.clear()
                taught = trainer.teacher.share() if trainer.teacher is not None else None
                progress.show(done, state_in_words(mean, temperature, taught))
                log_scalars(writer, done, mean, temperature)
                if taught is not None:
                    writer.add_scalar("teacher/sure", taught, done)
            if due.save:
                figures = measure() if measure is not None else None
                save(trainer, folder, writer, mean, temperature, figures, taught)
                if figures is not None:
                    progress.say(figures.line)
                for player in trainer.players:
                    if words := player.heat(options.temperature):
                        progress.say(f"warning: {words}")
                if due.end and taught is not None and taught < SELDOM:
                    progress.say(f"warning: the teacher is sure of {taught:.1%} of the unlabelled images, too few to "
                                 "teach; lower --confidence, train longer or label more")
            outside += time.perf_counter() - since
            if stopping:
                raise Stopped(stopping)
        if trainer.iteration == begun == options.train_iter:
            complete(trainer, folder, writer, measure)
        if stopping := ranks.most(asked[0] if asked else 0):  # while the last was saved
            raise Stopped(stopping)
    return outside


def complete(trainer: Trainer, folder: RunFolder, writer: Events, measure: Callable[[], Figures] | None) -> None:
    """Makes an end of a run that was meant to go further: no draw beyond its last iteration, whose draw, pictures and
    figures it has.
    """
    done, ranks = trainer.iteration, trainer.ranks
    ranks.from_first(lambda: folder.store.drop_after(done))
    if all(draw["step"] != done for draw in ranks.from_first(lambda: folder.store.draws)):
        folder.store.add(trainer.draw(), done, trainer.temperature(done - 1), trainer.kinetic_temperatures(), ranks)
    save_samples(trainer, folder, writer, files=True)
    if measure is not None:
        figures = measure()
        ranks.from_first(lambda: folder.add_results(done, figures.results))


def state_in_words(losses: Losses, temperature: float, taught: float | None) -> str:
    """Mean losses and temperature; with a teacher, the share of the unlabelled images that it is sure of."""
    sure = "" if taught is None else f"  teacher sure of {taught:.0%}"
    means = "".join(f"{group} {values.mean():.3f}  " for group, values in vars(losses).items() if len(values))
    return f"{means}temperature {temperature:.3g}{sure}"


def save(
    trainer: Trainer, folder: RunFolder, writer: Events, mean: Losses, temperature: float,
    figures: Figures | None, taught: float | None,
) -> None:
    """Results, weights, pictures, and last the checkpoint that a resumed run starts from."""
    options, done = trainer.options, trainer.iteration
    if figures is not None:
        for name, value in figures.scalars.items():
            writer.add_scalar(name, value, done)
    kinetic = trainer.kinetic_temperatures()
    for group, values in kinetic.items():
        for name, value in values.items():
            writer.add_scalar(f"kinetic_{group}/{name}", value, done)
    corrections = {player.group: player.corrections() for player in trainer.players}
    results = {"kinetic_temperature": kinetic, "gradient_noise": corrections}
    for part, data in (("train", trainer.data.train), ("test", trainer.data.test)):
        if len(data) and options.generators:
            results[f"disc_losses_{part}"] = losses = trainer.losses_on(data).tolist()
            writer.add_scalar(f"loss_{part}/discriminators", sum(losses) / len(losses), done)
    if taught is not None:
        results["teacher_sure"] = taught
    if figures is not None:
        results |= figures.results
    if trainer.ranks.first:
        log_weights(trainer, writer)
    if done == options.train_iter:
        last = {f"loss/{group}": losses.mean().item() for group, losses in vars(mean).items() if len(losses)}
        writer.add_hparams(vars(options), last | (figures.scalars if figures is not None else {}))
    if trainer.ranks.first:
        folder.save_results(done, mean.discriminators.tolist(), mean.generators.tolist(), temperature, results)
    if options.save_weights:
        states = {group: {name: trainer.ranks.at_first(tensor) for name, tensor in state.items()}
                  for group, state in trainer.states().items()}
        if trainer.ranks.first:
            folder.save_weights(done, {group: {name: torch.cat(parts) for name, parts in state.items()}
                                       for group, state in states.items()})
    save_samples(trainer, folder, writer, files=options.save_samples or done == options.train_iter)
    folder.save_checkpoint(trainer.state_dict(), trainer.ranks)


def log_scalars(writer: Events, iteration: int, losses: Losses, temperature: float) -> None:
    """Every member's loss, the means, and the temperature."""
    writer.add_scalar("sampler/temperature", temperature, iteration)
    for group, values in vars(losses).items():
        if len(values):
            writer.add_scalar(f"loss/{group}", values.mean(), iteration)
        for member, value in enumerate(values.tolist()):
            writer.add_scalar(f"loss_{group}/{member:02d}", value, iteration)


def log_weights(trainer: Trainer, writer: Events) -> None:
    """Histograms of every tensor of the members of this process, of a part of its weights where there are many."""
    for player in trainer.players:
        for name, weights in player.ensemble.parameters.items():
            flat = weights.detach().flatten()
            if len(flat):
                every = 1 + len(flat) // IN_A_HISTOGRAM
                writer.add_histogram(f"weights_{player.group}/{name}", flat[::every].cpu(), trainer.iteration)


@torch.no_grad()
def save_samples(trainer: Trainer, folder: RunFolder, writer: Events, files: bool) -> None:
    """One picture per generator and one of the mixture, from noise that is the same at every call of the run."""
    generators, done = trainer.generators, trainer.iteration
    if not generators.members:
        return
    parts = trainer.ranks.at_first(trainer.samples(GRID))
    if parts is None:
        return
    samples = torch.cat(parts)  # (I, 100, ...)
    rows = torch.arange(GRID, device=samples.device)
    mixture = samples[rows % generators.members, rows]
    real = to_float(some(trainer.data.train, SHOWN))
    if trainer.data.is_images:
        writer.add_image("samples/mixture", image_grid(mixture), done)
    if not files:
        return
    if not trainer.data.is_images:
        mixture = samples.flatten(0, 1)
    save_picture(folder.path / "samples" / f"mixture_{done:08d}.png", mixture, real)
    for member, own in enumerate(samples):
        save_picture(folder.path / "samples" / f"generator_{member:02d}_{done:08d}.png", own, real)


@contextmanager
def asked_to_stop():
    """A list that the first signal that asks to stop puts its number into; a second one acts as it did before."""
    asked = []

    def handle(number, frame):
        asked.append(number)
        for signal_number, handler in before.items():
            signal.signal(signal_number, handler)

    with handlers_for(handle) as before:
        yield asked
