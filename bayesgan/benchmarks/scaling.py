"""What several processes gain, and what travels between them: iterations of 1, 2, ... processes on this machine.

Each process has some of the members; every one computes with its share of the cores.
"""

import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing

from bayesgan.basics.devices import device_name, keep_freed_memory
from bayesgan.basics.ranks import Ranks
from bayesgan.basics.tables import markdown
from bayesgan.benchmarks.registry import BENCHMARKS, Benchmark
from bayesgan.options import Options, load_data, option, resolve
from bayesgan.training.algorithm import Trainer

__all__ = ["Settings", "run"]

WARM = 2  # iterations before the first that counts


@dataclass(frozen=True)
class Settings:
    processes: tuple[int, ...] = option((1, 2), "how many, each count in turn", least=1)
    num_gen: int = option(20, "generators", least=1)
    num_disc: int = option(2, "discriminators", least=1)
    coupling: str = option("mixture", "opponents per step", choices=("mixture", "full"))
    batch_size: int = option(64, "real images a discriminator sees", least=1)
    gen_batch_size: int = option(64, "images a generator makes", least=1)
    image_size: int = option(28, "the digits are scaled to this", least=8, most=200)
    df_dim: int = option(96, "discriminator width next to the data", least=1)
    gf_dim: int = option(64, "generator width next to the data", least=1)
    iterations: int = option(5, "timed, in each round", least=1)
    repeats: int = option(2, "rounds; the fastest of each count is told", least=1)


def run(settings: Settings, command: str) -> None:
    """Prints a table, the first count being what the others are compared with."""
    keys = ("num_gen", "num_disc", "coupling", "batch_size", "gen_batch_size", "image_size", "df_dim", "gf_dim")
    options, _ = resolve({"dataset": "digits", "num_mcmc": 1, "engine": "loop", "train_iter": 10**6,
                          **{key: getattr(settings, key) for key in keys}})
    found: dict[int, list[dict]] = {count: [] for count in settings.processes}
    for _ in range(settings.repeats):
        for count in settings.processes:
            found[count].append(timed(options, count, settings.iterations))
    best = {count: min(rounds, key=lambda one: one["seconds"]) for count, rounds in found.items()}
    first = best[settings.processes[0]]["seconds"]
    print(f"{device_name('cpu')}, torch {torch.__version__}")
    print(markdown([{
        "processes": str(count), "threads of each": str(threads(count)),
        "ms an iteration": f"{1e3 * one['seconds']:.0f}",
        "times faster": f"{first / one['seconds']:.2f}",
        "MB sent by a process and iteration": f"{one['bytes'] / 1e6:.2f}",
        "ms of it waiting and sending": f"{1e3 * one['talking']:.0f}",
    } for count, one in best.items()]))


def threads(count: int) -> int:
    return max(1, (os.cpu_count() or 1) // count)


def timed(options: Options, count: int, iterations: int) -> dict:
    """Seconds of an iteration of `count` processes, bytes that the one which sends most sends, and its time for it."""
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(process, (count, Path(folder), options, iterations), nprocs=count)
        each = [json.loads(path.read_text()) for path in Path(folder).glob("*.json")]
    return {name: max(one[name] for one in each) for name in each[0]}


def process(rank: int, count: int, folder: Path, options: Options, iterations: int) -> None:
    """One of them."""
    keep_freed_memory()
    torch.set_num_threads(threads(count))
    if count > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=count)
    ranks = Ranks(dist.group.WORLD if count > 1 else None)
    trainer = Trainer(options, load_data(options), ranks=ranks)
    for _ in range(WARM):
        trainer.step()
    ranks.gathered(None)
    ranks.sent, ranks.talked, begun = 0, 0.0, time.perf_counter()
    for _ in range(iterations):
        trainer.step()
    own = {"seconds": time.perf_counter() - begun, "bytes": ranks.sent, "talking": ranks.talked}
    (folder / f"{rank}.json").write_text(json.dumps({name: value / iterations for name, value in own.items()}))
    ranks.gathered(None)
    os._exit(0)  # gloo's threads have been seen to abort a process that takes leave


BENCHMARKS.register("scaling")(Benchmark(Settings, run, __doc__))
