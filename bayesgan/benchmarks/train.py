"""What an ensemble costs against one GAN: whole training iterations, timed in turn, over members and minibatches."""

import dataclasses
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch.utils.flop_counter import FlopCounterMode

from bayesgan.basics.devices import device_name, pick_device, set_arithmetic
from bayesgan.basics.files import save_figure, write_json
from bayesgan.basics.tables import aligned
from bayesgan.basics.timing import interleaved_seconds
from bayesgan.benchmarks.peak import highest_resident_bytes, iterations_peak
from bayesgan.benchmarks.registry import BENCHMARKS, Benchmark
from bayesgan.benchmarks.variants import VARIANTS, is_obvious, variant
from bayesgan.data import Dataset
from bayesgan.options import Options, load_data, option, resolve
from bayesgan.training.engine_choice import choose_engines
from bayesgan.training.memory import peak_bytes

__all__ = ["Settings", "matrix_rate", "measured", "run"]

OF_A_RUN = {field.name: field.metadata for field in dataclasses.fields(Options)}
PAPER = {"feature_matching": False, "noise": 0.0, "dropout": 0.0, "normalise": "layer", "consistency": 0.0,
         "spread_labels": 0}  # in place of what runs with labels bring
COLUMNS = {"variant": 16, "G": 3, "D": 3, "batch": 5, "ms/it": 9, "it/s": 8, "images/s": 8, "GFLOP/it": 8,
           "of matrix rate": 14, "peak MiB": 8, "its bound": 9, "against one GAN": 15}  # name -> width


def as_of_a_run(name: str, default) -> dataclasses.Field:
    """A flag with the help and the range that it has for training runs."""
    return dataclasses.field(default=default, metadata=OF_A_RUN[name])


@dataclass(frozen=True)
class Settings:
    members: tuple[int, ...] = option((1, 2, 5, 10, 20, 50), "generators", least=1)
    discriminators: int = option(2, "discriminators, at most as many as generators", least=1)
    batch_size: tuple[int, ...] = option((64,), "real images a discriminator sees", least=1)
    variants: tuple[str, ...] = option(tuple(VARIANTS), "what is timed", choices=list(VARIANTS))
    semi: bool = option(False, "semi-supervised, 100 labels")
    sampling: bool = option(False, "time iterations after burn-in, with injected noise")
    image_size: int = option(28, "the digits are scaled to this", least=8, most=200)
    df_dim: int = option(96, "discriminator width next to the data", least=1)
    gf_dim: int = option(64, "generator width next to the data", least=1)
    engine: str = as_of_a_run("engine", "auto")
    precision: str = as_of_a_run("precision", "fp32")
    compile: bool = as_of_a_run("compile", False)
    device: str = as_of_a_run("device", "auto")
    repeats: int = option(3, "timed rounds", least=1)
    out_dir: Path = option(Path("runs/benchmark_train"), "for results.json and cost.png")


def run(settings: Settings, command: str) -> None:
    """Prints a table as it grows; writes results.json and cost.png."""
    for name in settings.variants:  # refuses bad values before anything is timed
        run_options(settings, max(settings.members), max(settings.batch_size), name)
    device = pick_device(settings.device)
    set_arithmetic(settings.precision, device)
    machine = device_name(device)
    rate = matrix_rate(device, settings.precision)
    print(f"{machine}, torch {torch.__version__}; matrix product {rate / 1e9:.0f} GFLOP/s in {settings.precision}")
    if highest_resident_bytes() is None:
        print("peak memory is not known on this system")
    print(aligned(COLUMNS, COLUMNS.values()))
    rows = []
    for batch in settings.batch_size:
        for members in settings.members:
            for row in measured(settings, members, batch, device, rate):
                print(aligned(cells(row), COLUMNS.values()), flush=True)
                rows.append(row)
    content = {"command": command, "date": date.today().isoformat(), "machine": machine, "torch": torch.__version__,
               "matrix_flops": rate, "rows": rows}
    settings.out_dir.mkdir(parents=True, exist_ok=True)
    write_json(settings.out_dir / "results.json", content)
    save_figure(settings.out_dir / "cost.png", plot(rows))
    print(f"written to {settings.out_dir}: results.json, cost.png")


def run_options(settings: Settings, members: int, batch: int, name: str) -> tuple[Options, Dataset]:
    """A variant's run of the reference's shape on the bundled digits, scaled; the images' content costs nothing."""
    given = {
        "dataset": "digits", "z_dim": 100, "num_layers": 4, "num_gen": members, "num_mcmc": 1,
        "num_disc": min(members, settings.discriminators), "batch_size": batch, "gen_batch_size": batch,
        "train_iter": 10**6,
    }
    given |= {flag: getattr(settings, flag) for flag in
              ("image_size", "df_dim", "gf_dim", "engine", "precision", "compile")}
    if settings.semi:
        given |= {"N": 100, "label_batch_size": min(batch, 100), **PAPER}
    options, _ = resolve(given | VARIANTS[name], settings.semi)
    return options, load_data(options)


def measured(settings: Settings, members: int, batch: int, device: torch.device, rate: float) -> list[dict]:
    """One row a variant, for one number of generators and one minibatch."""
    parts, steps, rows = {}, {}, {}
    for name in settings.variants:  # peaks first, while this process holds no ensembles
        options, data = run_options(settings, members, batch, name)
        engines = None if is_obvious(name) else choose_engines(options, data, device)[0]
        parts[name] = options, data, engines, iterations_peak(name, options, device, engines, settings.sampling)
    for name, (options, data, engines, peak) in parts.items():
        trainer = variant(name, options, data, device, engines, settings.sampling)
        steps[name] = trainer.step
        rows[name] = {
            "variant": name, "generators": options.generators, "discriminators": options.discriminators,
            "batch_size": batch, "gen_batch_size": options.gen_batch, "semi": options.semi,
            "precision": options.precision, "engines": engines,
            "images": options.discriminators * batch + options.generators * options.gen_batch,
            "flops": flops_of_a_step(trainer, engines), "peak_bytes": peak,
            "peak_bound": peak_bytes(options, data, engines),
        }
    for name, seconds in interleaved_seconds(steps, settings.repeats, device=device).items():
        rate_reached = rows[name]["flops"] / seconds
        rows[name] |= {"seconds": seconds, "flops_per_second": rate_reached, "of_matrix_rate": rate_reached / rate}
    for row in rows.values():
        row["against_one_gan"] = row["seconds"] / rows["one GAN"]["seconds"] if "one GAN" in rows else None
    return list(rows.values())


def flops_of_a_step(trainer, engines) -> int:
    """Useful floating point operations of an iteration, counted while the loop computes it."""
    if engines is not None:  # torch miscounts grouped convolutions
        trainer.use(dict.fromkeys(engines, ("loop", False)))
    with FlopCounterMode(display=False) as counter:
        trainer.step()
    if engines is not None:
        trainer.use(engines)
    return counter.get_total_flops()


def cells(row: dict) -> list[str]:
    """A row of figures as the texts of `COLUMNS`."""
    seconds, peak, against = row["seconds"], row["peak_bytes"], row["against_one_gan"]
    return [
        row["variant"], str(row["generators"]), str(row["discriminators"]), str(row["batch_size"]),
        f"{1e3 * seconds:.1f}", f"{1 / seconds:.2f}", f"{row['images'] / seconds:.0f}", f"{row['flops'] / 1e9:.1f}",
        f"{row['of_matrix_rate']:.1%}", "" if peak is None else f"{peak / 2**20:.0f}",
        f"{row['peak_bound'] / 2**20:.0f}", "" if against is None else f"{against:.2f}",
    ]


def matrix_rate(device: torch.device, precision: str) -> float:
    """FLOP/s of a large matrix product, the best of five."""
    size = 8192 if device.type == "cuda" else 2048
    kind = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp64": torch.float64}[precision]
    a = torch.randn(size, size, device=device).to(kind)
    best = min(interleaved_seconds({"product": lambda: a @ a}, 1, device=device)["product"] for _ in range(5))
    return 2 * size**3 / best


def plot(rows: list[dict]) -> Figure:
    """Milliseconds of an iteration over the number of generators, one line a variant and minibatch."""
    figure = Figure(figsize=(7, 4.5), dpi=100)
    axes = figure.subplots()
    members = sorted({row["generators"] for row in rows})
    for name, batch in dict.fromkeys((row["variant"], row["batch_size"]) for row in rows):
        own = [row for row in rows if (row["variant"], row["batch_size"]) == (name, batch)]
        sizes, times = [row["generators"] for row in own], [1e3 * row["seconds"] for row in own]
        style = "o-"
        if VARIANTS[name].get("ml"):  # of one size
            sizes, times, style = members, [times[0]] * len(members), ":"
        axes.plot(sizes, times, style, ms=4, label=f"{name}, batch {batch}")
    axes.set(xscale="log", yscale="log", xlabel="generators", ylabel="ms an iteration")
    axes.set_xticks(members, [str(number) for number in members])
    axes.minorticks_off()
    axes.legend(fontsize=8)
    figure.tight_layout()
    return figure


BENCHMARKS.register("train")(Benchmark(Settings, run, __doc__))
