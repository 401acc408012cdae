"""Which engine computes which ensemble: tried on the run's own shapes and remembered for the machine, never guessed."""

import dataclasses
import json
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from bayesgan.basics.devices import device_name
from bayesgan.basics.errors import reason
from bayesgan.basics.files import user_cache, write_json
from bayesgan.basics.timing import interleaved_seconds
from bayesgan.data import Dataset
from bayesgan.ensemble import ENGINES, first_output, graphs_skipped
from bayesgan.options import ROLES, Engines, Options, default_engines
from bayesgan.training.algorithm import Trainer, begin_step
from bayesgan.training.meetings import batch_sizes
from bayesgan.training.players import Player

__all__ = ["choose_engines"]

BUDGET = 1.0  # seconds of a trial, or three rounds of all candidates where those take longer
CLEARLY = 1.05  # times as slow as the fastest
SLOW = 0.05  # seconds of an iteration with two members of each kind
TOLERANCE = {"fp32": 1e-3, "fp64": 1e-3, "tf32": 2e-2, "bf16": 0.1}  # between engines, of the largest output or of 1
Candidate = tuple[str, bool]  # engine's name, whether it is compiled


def choose_engines(options: Options, data: Dataset, device: torch.device) -> tuple[Engines, list[str]]:
    """The fastest engine of each role on this machine, and lines that say so.

    The same machine and shapes get the same answer again, from a file in the user's cache folder, so that a seed
    gives the same run. With options.compile compiled networks are tried. What fails or differs is left out, and said.

    Raises:
        Exception: What the only candidates left for a role raised.
    """
    engines = default_engines(options)
    if options.engine != "auto" and not options.compile:
        return engines, []
    place, key = memory_file(), signature(options, data, device)
    known = remembered(place).get(key)
    if known is not None:
        found = ", ".join(f"{role}s {label(known[role])}" for role in ROLES)
        return known, [f"engines: {found}, as measured before ({place})"]
    trial, lines = new_trial(options, data, device), []
    for player in filter(lambda player: player.members, trial.players):
        if options.engine == "auto":
            engines[player.role] = fastest(trial, player, [(name, False) for name in ENGINES], lines)
        if options.compile:
            name, _ = engines[player.role]
            engines[player.role] = fastest(trial, player, [(name, False), (name, True)], lines)
    if not any(line.startswith("warning: ") for line in lines):  # a failure may be gone next time
        remember(place, key, engines)
    return engines, lines


def new_trial(options: Options, data: Dataset, device: torch.device) -> Trainer:
    """A trainer to try engines on: two members of each kind where those keep a CPU busy, else all of them.

    On large networks each member fills the cores by itself, so that two tell what twenty would, in a tenth of the time.
    """
    two = dataclasses.replace(
        options, num_mcmc=1, num_gen=min(2, options.generators), num_disc=min(2, options.discriminators),
        spread_labels=0,
    )
    trial = Trainer(two, data, device)
    trial.step()
    begun = time.perf_counter()
    trial.step()
    slow = device.type == "cpu" and time.perf_counter() - begun > SLOW
    return trial if slow else Trainer(dataclasses.replace(options, spread_labels=0), data, device)


def fastest(trial: Trainer, player: Player, candidates: list[Candidate], lines: list[str]) -> Candidate:
    """Of the candidates, which do the player's part of an iteration in turn: the first, unless another is far faster.

    Adds to `lines` what was measured and what failed.
    """
    work = GeneratorWork(trial) if player is trial.generators else DiscriminatorWork(trial)
    working, failures = {}, []
    for candidate in candidates:
        try:
            player.use(candidate)
            player.sampler.zero_grad()  # or CUDA graphs would add to what another candidate left
            skipped = graphs_skipped() if candidate[1] else 0
            work()
            if candidate[1] and graphs_skipped() > skipped:
                lines.append(f"the {player.group} with {label(candidate)} run without CUDA graphs, in part at least: "
                             "TORCH_LOGS=cudagraphs says why")
            check_outputs(trial, player)
        except Exception as error:  # compilers and allocators raise many kinds
            failures.append(error.with_traceback(None))  # whose frames hold all that was computed
            lines.append(f"warning: the {player.group} cannot be computed with {label(candidate)}, left out: "
                         f"{type(error).__name__}: {reason(error)}")
            continue
        working[candidate] = partial(work_with, player, candidate, work)
    if not working:
        raise failures[0]
    first = best = next(iter(working))
    if len(working) > 1:
        seconds = interleaved_seconds(working, repeats=10, budget=BUDGET, warm=True, device=trial.device)
        quickest = min(seconds, key=seconds.get)
        best = first if seconds[first] < CLEARLY * seconds[quickest] else quickest
        measured = ", ".join(f"{label(candidate)} {1e3 * value:.1f}" for candidate, value in seconds.items())
        lines.append(f"engine of the {player.group}: {label(best)} ({measured} ms forward and backward of "
                     f"{player.ensemble.members})")
    player.use(best)
    return best


def work_with(player: Player, candidate: Candidate, work: Callable[[], None]) -> None:
    player.use(candidate)
    work()


class GeneratorWork:
    """What an iteration asks of the generators; moves nothing."""

    def __init__(self, trial: Trainer):
        self.trial = trial
        self.latent = trial_inputs(trial, trial.generators, trial.options.gen_batch, (trial.options.z_dim,))

    def __call__(self) -> None:
        begin_step(self.trial.engines)
        self.trial.generators.ensemble.forward(self.latent, train=True).sum().backward()


class DiscriminatorWork:
    """What an iteration asks of the discriminators; moves nothing."""

    def __init__(self, trial: Trainer):
        self.trial = trial
        trained, judged = batch_sizes(trial.options)
        self.trained = trial_inputs(trial, trial.discriminators, trained, trial.data.shape)
        self.judged = trial_inputs(trial, trial.discriminators, judged, trial.data.shape).requires_grad_()

    def __call__(self) -> None:
        trial, ensemble = self.trial, self.trial.discriminators.ensemble
        real = self.trained[:, : trial.options.batch_size]
        begin_step(trial.engines)
        noise = trial.sources("trial", trial.discriminators)
        ensemble.forward(self.trained, train=True, noise=noise)[0].sum().backward()
        if not trial.options.generators:
            return
        torch.autograd.grad(trial.judged(real, self.judged).sum(), self.judged)
        if trial.objective.gradient_penalty:
            trial.slope_penalty(real, self.judged.detach()).backward()


def trial_inputs(trial: Trainer, player: Player, count: int, shape: tuple[int, ...]) -> Tensor:
    """Random inputs (members, count, ...)."""
    source = trial.random("trial")
    return torch.randn(player.ensemble.members, count, *shape, generator=source, device=trial.device)


@torch.no_grad()
def check_outputs(trial: Trainer, player: Player) -> None:
    """Raises ArithmeticError if the present engine's scoring differs from one member at a time."""
    ensemble = player.ensemble
    inputs = trial_inputs(trial, player, 2, (trial.options.z_dim,) if player is trial.generators else trial.data.shape)
    scores = first_output(ensemble.forward(inputs, train=False))
    for member in {0, ensemble.members - 1}:
        alone = first_output(ensemble.forward_member(member, inputs[member]))
        error = (scores[member] - alone).abs().max() / alone.abs().max().clamp_min(1)
        if alone.isfinite().all() and not error < TOLERANCE[trial.options.precision]:
            raise ArithmeticError(f"its outputs differ by {error:.1e} from those of single networks")


def label(candidate: Candidate) -> str:
    name, compiled = candidate
    return f"{name}, compiled" if compiled else name


def signature(options: Options, data: Dataset, device: torch.device) -> str:
    """Everything that the speed of an engine depends on."""
    shapes = {field.name: getattr(options, field.name)
              for field in dataclasses.fields(Options) if field.metadata["timing"]}
    where = [device_name(device), *([] if device.type == "cuda" else [platform.node()])]
    return json.dumps([where, torch.__version__, data.shape, len(data.classes), shapes], sort_keys=True)


def memory_file() -> Path:
    return user_cache() / "engines.json"


def remembered(place: Path) -> dict:
    """What was measured before, of engines that there are; nothing where the file is absent or damaged."""
    try:
        known = json.loads(place.read_text())
        engines = {key: {role: (str(entry[role][0]), bool(entry[role][1])) for role in ROLES}
                   for key, entry in known.items()}
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return {}
    return {key: entry for key, entry in engines.items() if all(name in ENGINES for name, _ in entry.values())}


def remember(place: Path, key: str, engines: Engines) -> None:
    """Adds a measurement; a folder that cannot be written costs another trial next time, no more."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_json(place, {**remembered(place), key: engines})
    except OSError:
        pass
