"""Everything that is to be known of a GPU, in one JSON within ten minutes: are results right there, and how fast.

Partial results are kept: the file is written after every part, with what failed and what there was no time for.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import torch

from bayesgan.basics.devices import DEVICES, device_name, pick_device, set_arithmetic
from bayesgan.basics.files import write_json
from bayesgan.basics.randomness import keyed_generator
from bayesgan.basics.timing import interleaved_seconds
from bayesgan.benchmarks import teacher, train
from bayesgan.benchmarks.registry import BENCHMARKS, Benchmark
from bayesgan.data import Dataset
from bayesgan.ensemble import ENGINES, first_output
from bayesgan.options import ROLES, Options, load_data, option, resolve
from bayesgan.resampling import metropolis_hastings
from bayesgan.sampler import SGHMC, stationary_moments
from bayesgan.training.algorithm import Trainer

__all__ = ["Settings", "run"]


@dataclass(frozen=True)
class Settings:
    device: str = option("auto", "what is measured; a CPU tries the benchmark itself", choices=DEVICES)
    minutes: float = option(9.0, "after which no further part begins", above=0)
    image_size: int = option(28, "the digits are scaled to this", least=8, most=200)
    df_dim: int = option(96, "discriminator width next to the data", least=1)
    members: tuple[int, ...] = option((1, 10, 20), "generators of the timed runs", least=1)
    out_dir: Path = option(Path("runs/benchmark_gpu"), "for results.json")


def run(settings: Settings, command: str) -> None:
    """Each part in turn, the checks first; prints a line a part."""
    device = pick_device(settings.device)
    set_arithmetic("fp32", device, deterministic=True)  # its setting of cuBLAS is read once, when that starts
    settings.out_dir.mkdir(parents=True, exist_ok=True)
    content = {"command": command, "date": date.today().isoformat(), "device": device_name(device),
               "torch": torch.__version__, "cuda": torch.version.cuda, "parts": {}}
    begun = time.perf_counter()
    for name, part in parts(settings, device).items():
        started = time.perf_counter()
        if started - begun > 60 * settings.minutes:
            content["parts"][name] = {"left out": "no time"}
        else:
            set_arithmetic("fp32", device)
            content["parts"][name] = outcome(part) | {"seconds of this part": time.perf_counter() - started}
        write_json(settings.out_dir / "results.json", content)
        print(f"{name}: {shown(content['parts'][name])}", flush=True)
    set_arithmetic("fp32", device)
    print(f"written to {settings.out_dir}: results.json")


def outcome(part: Callable[[], object]) -> dict:
    """What a part found, or why it could not."""
    try:
        return {"found": part()}
    except Exception as error:  # one part must not cost the others
        return {"failed": f"{type(error).__name__}: {error}"}


def shown(content: dict) -> str:
    text = json.dumps(content.get("found", content), default=str)
    return text if len(text) < 400 else f"{text[:400]} ..."


def parts(settings: Settings, device: torch.device) -> dict[str, Callable[[], object]]:
    """Name -> what computes it."""
    precisions = ["fp32", "bf16", *(["tf32"] if device.type == "cuda" else [])]
    found: dict[str, Callable] = {"sampler moments": partial(sampler_moments, device)}
    for precision in precisions:
        found[f"equality in {precision}"] = partial(equality, settings, device, precision)
    found["same bits twice, deterministic"] = partial(same_bits, settings, device)
    for precision in precisions:
        for compiled in (False, True):
            name = f"iterations in {precision}" + (", compiled" if compiled else "")
            found[name] = partial(iterations, settings, device, precision, compiled)
    found["few labels"] = partial(
        teacher.iteration_seconds, teacher.Settings(image_size=settings.image_size, df_dim=settings.df_dim), device
    )
    found["accept step"] = partial(accept_step, device)
    return found


def reference(settings: Settings, **changes) -> tuple[Options, Dataset]:
    """A run of the reference's shape on the bundled digits, scaled."""
    given = {"dataset": "digits", "image_size": settings.image_size, "df_dim": settings.df_dim, "num_layers": 4,
             "z_dim": 100, "num_gen": 3, "num_mcmc": 1, "num_disc": 2, "train_iter": 10**6, "batch_size": 64}
    options, _ = resolve(given | changes)
    return options, load_data(options)


def sampler_moments(device: torch.device) -> dict[str, float]:
    """Variance of θ of 65,536 coordinates on U = θ²/2, whose law is known: T = 1."""
    theta = torch.randn(65_536, device=device, dtype=torch.float64).requires_grad_()
    chain = SGHMC([theta], 0.05, 0.3, generator=keyed_generator(0, "benchmark", device=device))
    for _ in range(300):
        theta.grad = theta.detach().clone()
        chain.step()
    return {"variance": theta.var().item(), "expected": stationary_moments(0.3, 0.05, 1.0).var_theta}


def equality(settings: Settings, device: torch.device, precision: str) -> dict[str, float]:
    """Largest difference of scores and images from one network at a time in double precision on the CPU."""
    set_arithmetic(precision, device)
    options, data = reference(settings, precision=precision)
    plain = Trainer(reference(settings, precision="fp64")[0], data, "cpu")
    found = {}
    for name in ENGINES:
        own = Trainer(options, data, device, dict.fromkeys(ROLES, (name, False)))
        for ours, theirs in zip(own.players, plain.players):
            shape = (options.z_dim,) if ours.role == "generator" else data.shape
            inputs = torch.randn(ours.ensemble.members, 16, *shape, generator=keyed_generator(0, "inputs"))
            scores, expected = (first_output(one.forward(inputs.to(one.device), train=True)).detach().cpu()
                                for one in (ours.ensemble, theirs.ensemble))
            found[f"{name}, {ours.group}"] = ((scores - expected).abs().max() / expected.abs().max()).item()
    return found


def same_bits(settings: Settings, device: torch.device) -> dict[str, bool]:
    """Whether five iterations with a teacher give the same weights again, without and with --deterministic."""
    options, _ = resolve(
        {"dataset": "digits", "network": "vgg", "image_size": settings.image_size, "df_dim": settings.df_dim}, semi=True
    )
    data, found = load_data(options), {}
    for deterministic in (False, True):
        set_arithmetic("fp32", device, deterministic)
        ends = []
        for _ in range(2):
            trainer = Trainer(options, data, device)
            for _ in range(5):
                trainer.step()
            ends.append(torch.cat([t.detach().flatten() for t in trainer.discriminators.ensemble.parameters.values()]))
        found["deterministic" if deterministic else "as it is"] = torch.equal(*ends)
    set_arithmetic("fp32", device)
    return found


def iterations(settings: Settings, device: torch.device, precision: str, compiled: bool) -> list[dict]:
    """Rows of `benchmark train`, engines chosen by trial, and what the trial said."""
    set_arithmetic(precision, device)
    own = train.Settings(
        members=settings.members, image_size=settings.image_size, df_dim=settings.df_dim, precision=precision,
        compile=compiled, variants=("full", "mixture", "one GAN"), sampling=True, device=settings.device,
    )
    rate, rows = train.matrix_rate(device, precision), []
    for members in settings.members:
        rows += train.measured(own, members, 64, device, rate)
    return rows


def accept_step(device: torch.device) -> dict[str, float]:
    """Seconds of 10,000 selection chains of 640."""
    log_w = torch.randn(10_000, 640, dtype=torch.float64, device=device)
    source = keyed_generator(0, "accept", device=device)
    return interleaved_seconds({"all at once": lambda: metropolis_hastings(log_w, source)}, 3, device=device)


BENCHMARKS.register("gpu")(Benchmark(Settings, run, __doc__))
