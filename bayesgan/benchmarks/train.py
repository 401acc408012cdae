"""What an ensemble costs against one GAN: whole training iterations, timed in turn, over members and minibatches."""

import argparse
import json
import platform
from datetime import date
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch.utils.flop_counter import FlopCounterMode

from bayesgan.benchmarks.peak import iterations_peak
from bayesgan.benchmarks.registry import BENCHMARKS
from bayesgan.benchmarks.variants import VARIANTS, is_obvious, settings, variant
from bayesgan.basics.devices import check_precision, pick_device
from bayesgan.basics.errors import InputError
from bayesgan.basics.files import write_atomically
from bayesgan.basics.timing import interleaved_seconds
from bayesgan.training.algorithm import ROLES
from bayesgan.training.engine_choice import choose_engines
from bayesgan.training.memory import peak_bytes

__all__ = ["run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--members", type=int, nargs="+", default=[1, 2, 5, 10, 20, 50], help="generators; discriminators are at most --discriminators")
    parser.add_argument("--discriminators", type=int, default=2, help="discriminators, at most as many as generators")
    parser.add_argument("--batch_size", "--batch-size", type=int, nargs="+", default=[64], help="real images a discriminator sees")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), metavar="NAME", help=f"of: {', '.join(VARIANTS)}")
    parser.add_argument("--semi", action="store_true", help="semi-supervised, 100 labels")
    parser.add_argument("--sampling", action="store_true", help="time iterations after burn-in, with injected noise")
    parser.add_argument("--image_size", "--image-size", type=int, default=28, help="the digits are scaled to this")
    parser.add_argument("--df_dim", "--df-dim", type=int, default=96)
    parser.add_argument("--gf_dim", "--gf-dim", type=int, default=64)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeats", type=int, default=3, help="timed rounds")
    parser.add_argument("--out_dir", "--out-dir", type=Path, default=Path("runs/benchmark_train"), help="for results.json and cost.png")


def run(arguments: argparse.Namespace) -> None:
    """Prints a table as it grows; writes results.json and cost.png."""
    if min(arguments.repeats, arguments.discriminators, *arguments.members) < 1:
        raise InputError(f"--repeats, --members and --discriminators must be at least 1, got {arguments.repeats}, "
                         f"{arguments.members} and {arguments.discriminators}")
    if unknown := set(arguments.variants) - set(VARIANTS):
        raise InputError(f"--variants must be of: {', '.join(VARIANTS)}; got {', '.join(sorted(unknown))}")
    for name in arguments.variants:  # refuses bad values before anything is timed
        settings(arguments, max(arguments.members), max(arguments.batch_size), VARIANTS[name])
    device = pick_device(arguments.device)
    check_precision(arguments.precision, device)
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()}, {torch.get_num_threads()} threads"
    rate = matrix_rate(device, arguments.precision)
    print(f"{machine}, torch {torch.__version__}; matrix product {rate / 1e9:.0f} GFLOP/s in {arguments.precision}")
    print(f"{'':18}   G   D  batch      ms/it      it/s  images/s  GFLOP/it  of matrix rate  peak MiB (bound)  against one GAN")
    rows = []
    for batch in arguments.batch_size:
        for members in arguments.members:
            rows += measured(arguments, members, batch, device, rate)
    content = {"command": command_line(arguments), "date": date.today().isoformat(), "machine": machine, "torch": torch.__version__,
               "matrix_flops": rate, "rows": rows}
    arguments.out_dir.mkdir(parents=True, exist_ok=True)
    figure = plot(rows)
    write_atomically(arguments.out_dir / "results.json", lambda path: path.write_text(json.dumps(content, indent=1)))
    write_atomically(arguments.out_dir / "cost.png", lambda path: figure.savefig(path, format="png"))
    print(f"written to {arguments.out_dir}: results.json, cost.png")


def command_line(arguments: argparse.Namespace) -> str:
    words = [f"--{name} {' '.join(map(repr, value)) if isinstance(value, list) else value}" for name, value in vars(arguments).items()
             if name not in ("call", "semi", "sampling", "compile")]
    return " ".join(["python -m bayesgan benchmark train", *words, *(f"--{name}" for name in ("semi", "sampling", "compile") if getattr(arguments, name))])


def measured(arguments: argparse.Namespace, members: int, batch: int, device: torch.device, rate: float) -> list[dict]:
    """One row a variant, for one number of generators and one minibatch."""
    parts, steps, rows = {}, {}, {}
    for name in arguments.variants:  # peaks first, while this process holds no ensembles
        options, data = settings(arguments, members, batch, VARIANTS[name])
        engines = None if is_obvious(name) else choose_engines(options, data, device)[0]
        parts[name] = options, data, engines, iterations_peak(name, options, device, engines, arguments.sampling)
    for name, (options, data, engines, peak) in parts.items():
        trainer = variant(name, options, data, device, engines, arguments.sampling)
        steps[name] = trainer.step
        if engines is not None:  # torch miscounts grouped convolutions
            trainer.use(dict.fromkeys(ROLES, ("loop", False)))
        with FlopCounterMode(display=False) as counter:
            trainer.step()
        if engines is not None:
            trainer.use(engines)
        rows[name] = {
            "variant": name, "generators": options.generators, "discriminators": options.discriminators, "batch_size": batch,
            "gen_batch_size": options.gen_batch, "semi": options.semi, "precision": options.precision, "engines": engines,
            "images": options.discriminators * batch + options.generators * options.gen_batch,
            "flops": counter.get_total_flops(), "peak_bytes": peak, "peak_bound": peak_bytes(options, data, engines),
        }
    for name, seconds in interleaved_seconds(steps, arguments.repeats, device=device).items():
        row = rows[name]
        row |= {"seconds": seconds, "flops_per_second": row["flops"] / seconds, "of_matrix_rate": row["flops"] / seconds / rate}
    for row in rows.values():
        row["against_one_gan"] = row["seconds"] / rows["one GAN"]["seconds"] if "one GAN" in rows else None
        ratio = f"{row['against_one_gan']:8.2f}" if row["against_one_gan"] else ""
        print(f"{row['variant']:18} {row['generators']:3} {row['discriminators']:3} {batch:6} {1e3 * row['seconds']:10.1f} {1 / row['seconds']:9.2f} "
              f"{row['images'] / row['seconds']:9.0f} {row['flops'] / 1e9:9.1f} {row['of_matrix_rate']:15.1%} "
              f"{row['peak_bytes'] / 2**20:8.0f} ({row['peak_bound'] / 2**20:.0f}) {ratio:>14}", flush=True)
    return list(rows.values())


def matrix_rate(device: torch.device, precision: str) -> float:
    """FLOP/s of a large matrix product, the best of five."""
    size = 8192 if device.type == "cuda" else 2048
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp64": torch.float64}[precision]
    a = torch.randn(size, size, device=device).to(kind)
    best = min(interleaved_seconds({"product": lambda: a @ a}, 1, device=device)["product"] for _ in range(5))
    return 2 * size**3 / best


def plot(rows: list[dict]) -> Figure:
    """Time of an iteration against that of one GAN, over the number of generators, one line a variant and minibatch."""
    figure = Figure(figsize=(7, 4.5), dpi=100)
    axes = figure.subplots()
    for name, batch in dict.fromkeys((row["variant"], row["batch_size"]) for row in rows):
        own = [row for row in rows if (row["variant"], row["batch_size"]) == (name, batch)]
        members = sorted({row["generators"] for row in rows})
        if VARIANTS[name].get("ml"):  # of one size
            axes.plot(members, [1e3 * own[0]["seconds"]] * len(members), ":", label=f"{name}, batch {batch}")
        else:
            axes.plot([row["generators"] for row in own], [1e3 * row["seconds"] for row in own], "o-", ms=4, label=f"{name}, batch {batch}")
    axes.set(xscale="log", yscale="log", xlabel="generators", ylabel="ms an iteration", xticks=members, xticklabels=members)
    axes.minorticks_off()
    axes.legend(fontsize=8)
    figure.tight_layout()
    return figure


BENCHMARKS.register("train")((add_arguments, run))
