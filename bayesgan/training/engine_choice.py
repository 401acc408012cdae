"""Which engine computes which ensemble: tried on the run's own shapes and remembered for the machine, never guessed."""

import dataclasses
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch

from bayesgan.data import Dataset
from bayesgan.ensemble import ENGINES
from bayesgan.basics.files import write_atomically
from bayesgan.basics.timing import interleaved_seconds
from bayesgan.training.algorithm import ROLES, Engines, Trainer, batch_sizes, default_engines
from bayesgan.options.options import Options

__all__ = ["choose_engines"]

BUDGET = 1.0  # seconds of a trial, or three rounds of all candidates where those take longer
CLEARLY = 1.05  # times as slow as the fastest
SLOW = 0.05  # seconds of an iteration with two members of each kind
# what changes neither the shapes nor the arithmetic of an iteration
IRRELEVANT = {"out_dir", "data_path", "cache_path", "dataset", "train_iter", "burn_in", "ramp", "thin", "keep", "lr", "lr_decay",
              "n_save", "log_every", "save_samples", "save_weights", "random_seed", "label_seed", "temperature", "prior_std",
              "friction", "pseudo_count", "floor", "resample", "recipe", "no_supervised", "label_count", "gpu_id", "classes"}


def choose_engines(options: Options, data: Dataset, device: torch.device) -> tuple[Engines, list[str]]:
    """The fastest engine of each role on this machine, and lines that say so.

    The same machine and shapes get the same answer again, from a file in the user's cache folder, so that a seed
    gives the same run. Compiled networks are tried with options.compile. What fails or differs is left out, with a line.

    Raises:
        Exception: What the only candidates left for a role raised.
    """
    engines = default_engines(options)
    if options.engine != "auto" and not options.compile:
        return engines, []
    place, key = memory_file(), signature(options, data, device)
    if (known := remembered(place).get(key)) is not None:
        return known, ["engines: " + ", ".join(f"{role}s {label(*known[role])}" for role in ROLES) + f", as measured before ({place})"]
    trial, lines = new_trial(options, data, device), []
    for role in ROLES:
        if options.engine == "auto":
            engines[role] = fastest(trial, role, [(name, False) for name in ENGINES], lines)
        if options.compile:
            engines[role] = fastest(trial, role, [engines[role], (engines[role][0], True)], lines)
    if not any(line.startswith("warning: ") for line in lines):  # a failure may be gone next time
        remember(place, key, engines)
    return engines, lines


def new_trial(options: Options, data: Dataset, device: torch.device) -> Trainer:
    """A trainer to try engines on: two members of each kind where those keep a CPU busy, else all of them.

    On large networks each member fills the cores by itself, so that two tell what twenty would, in a tenth of the time.
    """
    two = dataclasses.replace(options, num_mcmc=1, num_gen=min(2, options.generators), num_disc=min(2, options.discriminators))
    trial = Trainer(two, data, device)
    trial.step()
    begun = time.perf_counter()
    trial.step()
    slow = device.type == "cpu" and time.perf_counter() - begun > SLOW
    return trial if slow else Trainer(options, data, device)


def fastest(trial: Trainer, role: str, candidates: list[tuple[str, bool]], lines: list[str]) -> tuple[str, bool]:
    """Of the candidates, which do the role's part of an iteration in turn; the first unless another is clearly faster. Adds to `lines`."""
    work, others = role_work(trial, role), dict(trial.engines)
    calls, failures = {}, []
    for candidate in candidates:
        def call(candidate=candidate):
            trial.use({**others, role: candidate})
            work()

        try:
            call()
            check_outputs(trial, role)
        except Exception as error:  # compilers and allocators raise many kinds
            failures.append(error.with_traceback(None))  # whose frames hold all that was computed
            lines.append(f"warning: the {role}s cannot be computed with {label(*candidate)}, left out: "
                         f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}")
            continue
        calls[candidate] = call
    if not calls:
        raise failures[0]
    if len(calls) == 1:
        return next(iter(calls))
    seconds = interleaved_seconds(calls, repeats=10, budget=BUDGET, warm=True, device=trial.device)
    first, best = next(iter(seconds)), min(seconds, key=seconds.get)
    best = first if seconds[first] < CLEARLY * seconds[best] else best
    lines.append(f"engine of the {role}s: {label(*best)} (" + ", ".join(
        f"{label(*candidate)} {1e3 * value:.1f}" for candidate, value in seconds.items())
        + f" ms forward and backward of {getattr(trial, role + 's').members})")
    return best


def role_work(trial: Trainer, role: str) -> Callable[[], None]:
    """A function that computes what an iteration asks of the generators or of the discriminators; moves nothing."""
    source = trial.random("trial")

    def inputs(ensemble, count, *shape):
        return torch.randn(ensemble.members, count, *shape, generator=source, device=trial.device)

    def generate():
        torch.compiler.cudagraph_mark_step_begin()
        trial.generators.forward(latent, train=True).sum().backward()

    def discriminate():
        torch.compiler.cudagraph_mark_step_begin()
        trial.discriminators.forward(learnt, train=True, noise=trial.random("trial"))[0].sum().backward()
        torch.autograd.grad(trial.discriminators.forward(judged, train=False, freeze=True)[0].sum(), judged)
        if trial.options.feature_matching:
            with torch.no_grad():
                trial.discriminators.forward(real, train=False, freeze=True)
        if trial.objective.gradient_penalty:
            trial._slope_penalty(real, judged.detach()).backward()

    if role == "generator":
        latent = inputs(trial.generators, trial.options.gen_batch, trial.options.z_dim)
        return generate
    learnt, judged = (inputs(trial.discriminators, count, *trial.data.shape) for count in batch_sizes(trial.options))
    real = learnt[:, : trial.options.batch_size]
    judged.requires_grad_()
    return discriminate


@torch.no_grad()
def check_outputs(trial: Trainer, role: str) -> None:
    """Raises ArithmeticError if the present engine's scoring differs from one member at a time."""
    ensemble = trial.generators if role == "generator" else trial.discriminators
    shape = (trial.options.z_dim,) if role == "generator" else trial.data.shape
    inputs = torch.randn(ensemble.members, 2, *shape, generator=trial.random("trial"), device=trial.device)
    outputs = ensemble.forward(inputs, train=False)
    scores = outputs[0] if isinstance(outputs, tuple) else outputs
    for member in {0, ensemble.members - 1}:
        alone = ensemble.forward_member(member, inputs[member])
        alone = alone[0] if isinstance(alone, tuple) else alone
        error = (scores[member] - alone).abs().max() / alone.abs().max().clamp_min(1)
        if alone.isfinite().all() and not error < (1e-3 if ensemble.compute is None else 0.1):
            raise ArithmeticError(f"its outputs differ by {error:.1e} from those of single networks")


def label(name: str, compiled: bool) -> str:
    return f"{name}, compiled" if compiled else name


def signature(options: Options, data: Dataset, device: torch.device) -> str:
    """Everything that the speed of an engine depends on."""
    shapes = {name: value for name, value in dataclasses.asdict(options).items() if name not in IRRELEVANT}
    where = (torch.cuda.get_device_name(device) if device.type == "cuda" else
             f"{platform.node()}, {platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads")
    return json.dumps([where, torch.__version__, data.shape, len(data.classes), shapes], sort_keys=True)


def memory_file() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bayesgan" / "engines.json"


def remembered(place: Path) -> dict:
    """What was measured before, of engines that there are; nothing where the file is absent or damaged."""
    try:
        known = json.loads(place.read_text())
        engines = {key: {role: (str(entry[role][0]), bool(entry[role][1])) for role in ROLES} for key, entry in known.items()}
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return {}
    return {key: entry for key, entry in engines.items() if all(name in ENGINES for name, _ in entry.values())}


def remember(place: Path, key: str, engines: Engines) -> None:
    """Adds a measurement; a folder that cannot be written costs another trial next time, no more."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({**remembered(place), key: engines}, indent=0)
        write_atomically(place, lambda path: path.write_text(text))
    except OSError:
        pass
