"""Has anything become slow? The ratios that matter, in under a minute, against those that were stored.

It fails where a ratio has doubled: machines differ, and so do moments of a busy one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from bayesgan.basics.errors import InputError
from bayesgan.basics.tables import markdown
from bayesgan.basics.timing import interleaved_seconds
from bayesgan.benchmarks.registry import BENCHMARKS, Benchmark
from bayesgan.benchmarks.sampler import BOUND, STEP, steps_to_time
from bayesgan.benchmarks.variants import variant
from bayesgan.options import default_engines, load_data, option, resolve

__all__ = ["Settings", "run"]

GAN, PAIRS = "an iteration of one GAN", "an iteration of the obvious loop over all pairs"
# what is timed -> what it is divided by, and the ratio on 2 cores of an AMD EPYC, torch 2.14, 2026-11-27
STORED = {
    "ten generators, two discriminators": (GAN, 3.5),
    "the same while sampling": (GAN, 3.7),
    "the same, all pairs": (PAIRS, 0.3),
    STEP: (BOUND, 1.1),
}
ALLOWED = 2.0  # times the stored ratio


@dataclass(frozen=True)
class Settings:
    repeats: int = option(7, "timed rounds", least=1)


def run(settings: Settings, command: str) -> None:
    """Prints a line a ratio.

    Raises:
        ValueError: If one is more than twice what it was.
    """
    seconds = interleaved_seconds(iterations(), settings.repeats)
    seconds |= interleaved_seconds(steps_to_time(torch.device("cpu")), settings.repeats)
    ratios = {name: seconds[name] / seconds[other] for name, (other, _) in STORED.items()}
    print(markdown([{"time of": name, "over that of": other, "ratio": f"{ratios[name]:.2f}", "stored": f"{stored:g}"}
                    for name, (other, stored) in STORED.items()]))
    if slow := [name for name, (_, stored) in STORED.items() if ratios[name] > ALLOWED * stored]:
        raise InputError(f"{slow[0]}: {ratios[slow[0]]:.2f} is more than twice the {STORED[slow[0]][1]:g} it was; find "
                         "what became slow, or store the new ratio with its reason")


def iterations() -> dict[str, Callable[[], object]]:
    """One step each, of small convolutional networks."""
    sizes = {"dataset": "digits", "image_size": 16, "num_gen": 10, "num_mcmc": 1, "num_disc": 2, "df_dim": 16,
             "gf_dim": 16, "batch_size": 16, "gen_batch_size": 16, "engine": "loop", "train_iter": 10**6}
    names = {GAN: ("one GAN", {"ml": True}, False), PAIRS: ("obvious loop", {"coupling": "full"}, False),
             "ten generators, two discriminators": ("mixture", {}, False),
             "the same while sampling": ("mixture", {}, True),
             "the same, all pairs": ("full", {"coupling": "full"}, False)}
    steps = {}
    for name, (kind, changes, sampling) in names.items():
        options, _ = resolve(sizes | changes)
        data = load_data(options)
        steps[name] = variant(kind, options, data, torch.device("cpu"), default_engines(options), sampling).step
    return steps


BENCHMARKS.register("smoke")(Benchmark(Settings, run, __doc__))
