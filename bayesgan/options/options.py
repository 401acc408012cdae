"""Every option of the training scripts: one dataclass, from which the command line, the config file and --help are made."""

import argparse
import dataclasses
import typing
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from bayesgan.data import DATA_SETS, GENERATED, DataOptions, Dataset, choose_labels, with_labels
from bayesgan.basics.devices import DEVICES
from bayesgan.ensemble import ENGINES
from bayesgan.basics.errors import InputError
from bayesgan.networks import NETWORKS, NORMALISATIONS, NetworkSizes
from bayesgan.objectives import OBJECTIVES
from bayesgan.resampling import LEAST, RULES
from bayesgan.options.recipes import RECIPES

__all__ = ["Options", "add_flags", "data_options", "load_data", "resolve"]

COUPLINGS = {"mixture": "each generator against one random discriminator a step", "full": "all pairs, Algorithm 1 literally"}
PRECISIONS = {"fp32": "single", "bf16": "matrix products and convolutions in bfloat16, weights and sampler in single",
              "fp64": "double, for checks"}
OPTIMIZERS = {"adam": "Adam's close relative, RMSprop with momentum; its preconditioner is kept for sampling",
              "sgd": "SGD with momentum; no preconditioner"}


def option(default, help: str, choices=None, semi: bool = False):
    """A field; `semi` marks what only run_bgan_semi.py has."""
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices, "semi": semi})


@dataclass(frozen=True)
class Options:
    """The options of a training run; the field's help is its documentation."""

    # where and what
    out_dir: Path = option(Path("runs"), "folder in which the run's own folder bgan_<dataset>_<time> is made")
    data_path: Path = option(Path("datasets"), "file or folder of the data; only read, unless a download is needed")
    cache_path: Path = option(Path("datasets"), "folder for converted data (four_shapes)")
    dataset: str = option("digits", "data set", DATA_SETS)
    image_size: int | None = option(None, "scale images to this side, 8..200 (default: the data's own)")
    classes: list[int] | None = option(None, "only these classes, by number")
    x_dim: int = option(100, "synthetic: dimension of the data")
    cluster_dim: int = option(2, "synthetic: dimension of each cluster")
    calibration_fraction: float = option(0.1, "share of the training data put aside, never trained on, for resampling")
    # labels
    N: int | None = option(None, "labelled training images, as many of each class (default: 100)", semi=True)
    label_seed: int = option(0, "which images are labelled", semi=True)
    label_batch_size: int | None = option(None, "labelled images a discriminator sees per iteration (default: batch_size, at most N)", semi=True)
    label_count: int | None = option(None, "data the labels count for in the likelihood (default: training size; N is literal)", semi=True)
    no_supervised: bool = option(False, "do not also train a supervised network on the same labels", semi=True)
    recipe: str | None = option(None, "settings known to work, told when it starts; flags given win", semi=True, choices=RECIPES)
    # networks
    network: str = option("auto", "pair of networks; auto: dcgan for images, mlp for vectors", ["auto", *NETWORKS])
    z_dim: int = option(100, "dimension of the generator's input z")
    gf_dim: int | None = option(None, "generator width next to the data (default: df_dim, the mirror the paper used)")
    df_dim: int = option(96, "discriminator width next to the data; doubles per layer up to 512 (mlp: all layers)")
    normalise: str = option("auto", "normalisation of the discriminators; auto: dcgan layer, mlp none, noisy_mlp weight",
                            {"auto": "the network's own", **NORMALISATIONS})
    noise: float = option(0.0, "sd of Gaussian noise on what the discriminators see in training (noisy_mlp: 5/3 of it on hidden layers)")
    shift: int = option(0, "real images are moved at random by up to so many pixels each way in training")
    dropout: float = option(0.0, "share of the discriminators' last features dropped in training")
    num_layers: int = option(4, "convolutions, each halving the image, at most to 2x2 (mlp: hidden layers)")
    # posterior
    num_gen: int = option(1, "J_g, noise draws for generators; there are num_gen * num_mcmc generators")
    num_disc: int = option(1, "J_d, noise draws for discriminators; there are num_disc * num_mcmc of them")
    num_mcmc: int = option(1, "M, SGHMC chains per draw")
    prior_std: float = option(1.0, "prior N(0, (prior_std * sqrt(2/fan-in))^2) on each weight")
    temperature: float = option(1.0, "of the posterior: 1 samples it, 0 optimises, between is a cold posterior")
    friction: float = option(0.5, "SGHMC friction alpha = 1 - momentum, in (0, 1]")
    pseudo_count: int | None = option(None, "N_g, data the generator's likelihood counts for (default: training size)")
    coupling: str = option("mixture", "opponents per step", COUPLINGS)
    objective: str = option("standard", "likelihood", OBJECTIVES)
    wasserstein: bool = option(False, "short for --objective wasserstein")
    feature_matching: bool = option(False, "generators match mean discriminator features instead of scores")
    ml: bool = option(False, "maximum likelihood: one generator, one discriminator, temperature 0, no prior")
    # schedule
    batch_size: int = option(64, "real images a discriminator sees per iteration")
    gen_batch_size: int | None = option(None, "images each generator makes per iteration (default: batch_size)")
    train_iter: int = option(50000, "iterations, burn-in included")
    burn_in: int | None = option(None, "iterations at temperature 0 before sampling (default: half of train_iter)")
    ramp: int | None = option(None, "iterations over which the temperature rises (default: a tenth of those after burn_in)")
    thin: int | None = option(None, "iterations between collected draws (default: keep draws, evenly spread)")
    keep: int = option(10, "collected draws kept on disk, the newest")
    lr: float = option(0.0005, "learning rate of SGD with momentum 1 - friction; lr / friction compares with Adam's")
    lr_decay: float = option(1.0, "lr falls by exp(-lr_decay) in burn-in, then stays")
    optimizer: str = option("adam", "what SGHMC is at temperature 0", OPTIMIZERS)
    floor: float = option(1e-3, "adam: added, when sampling starts, to the root mean square gradient that divides the step")
    resample: str | None = option(None, "at the end also write 100 samples corrected by the discriminators, by this method", RULES)
    # running
    n_save: int = option(100, "iterations between results, checkpoints and image grids")
    log_every: int = option(50, "iterations between progress lines")
    save_samples: bool = option(False, "also write the image grids at every n_save, not only at the end")
    save_weights: bool = option(False, "also write weights_<iter>.npz at every n_save")
    random_seed: int = option(2222, "seed of everything random")
    engine: str = option("auto", "how ensembles are computed; auto: the fastest in a trial of some seconds", ["auto", *ENGINES])
    compile: bool = option(False, "torch.compile the networks (CUDA graphs on a GPU), kept where the trial finds it faster")
    precision: str = option("fp32", "of the networks' arithmetic", PRECISIONS)
    device: str = option("auto", "where to compute; auto: a GPU if there is one", DEVICES)
    gpu_id: int | None = option(None, "number of the GPU; asks for one like --device cuda")

    @property
    def semi(self) -> bool:
        """Semi-supervised: a run of run_bgan_semi.py."""
        return self.N is not None

    @property
    def generators(self) -> int:
        """I = J_g * M."""
        return self.num_gen * self.num_mcmc

    @property
    def discriminators(self) -> int:
        """K = J_d * M."""
        return self.num_disc * self.num_mcmc

    @property
    def gen_batch(self) -> int:
        return self.gen_batch_size or self.batch_size

    def sizes(self, data_shape: tuple[int, ...], outputs: int) -> NetworkSizes:
        """What these options ask of the networks."""
        return NetworkSizes(
            data_shape=data_shape,
            latent=self.z_dim,
            generator_width=self.gf_dim or self.df_dim,  # the reference mirrors the discriminator
            discriminator_width=self.df_dim,
            layers=self.num_layers,
            outputs=outputs,
            noise=self.noise,
            dropout=self.dropout,
            normalise=self.normalise,
        )

    def network_for(self, data: Dataset) -> str:
        """The pair's name, `auto` resolved."""
        return self.network if self.network != "auto" else "dcgan" if data.is_images else "mlp"


ML_OVERRIDES = {"num_gen": 1, "num_disc": 1, "num_mcmc": 1, "temperature": 0.0}

# flag -> least and largest value; the largest are far beyond use, and stop typing errors before they fill the memory
RANGES = {
    **dict.fromkeys(("num_gen", "num_disc", "num_mcmc"), (1, 1000)),
    **dict.fromkeys(("batch_size", "gen_batch_size", "z_dim", "gf_dim", "df_dim", "x_dim", "cluster_dim"), (1, 100_000)),
    **dict.fromkeys(("N", "label_batch_size", "label_count"), (1, 10**9)), "label_seed": (0, 2**63 - 1),
    "calibration_fraction": (0, 0.5), "noise": (0, 10), "shift": (0, 16), "dropout": (0, 0.9),
    **dict.fromkeys(("train_iter", "thin", "keep", "n_save", "log_every", "pseudo_count"), (1, 10**9)),
    **dict.fromkeys(("burn_in", "ramp"), (0, 10**9)),
    "num_layers": (1, 20), "random_seed": (0, 2**63 - 1), "gpu_id": (0, 1000), "image_size": (8, 200),
    "temperature": (0, 1e6), "lr_decay": (0, 50), "lr": (1e-12, 1e6), "prior_std": (1e-6, 1e6), "floor": (1e-12, 1e6),
}

# flag -> where it has a meaning, and the test for it
APPLIES = {
    "x_dim": ("--dataset synthetic", lambda o: o.dataset == "synthetic"),
    "cluster_dim": ("--dataset synthetic", lambda o: o.dataset == "synthetic"),
    "cache_path": ("--dataset four_shapes", lambda o: o.dataset == "four_shapes"),
    "data_path": ("data sets that are read from files", lambda o: o.dataset not in GENERATED),
    "floor": ("--optimizer adam with a positive --temperature", lambda o: o.optimizer == "adam" and o.temperature > 0),
    "ramp": ("a positive --temperature", lambda o: o.temperature > 0),
    "thin": ("runs without --ml", lambda o: not o.ml),
    "keep": ("runs without --ml", lambda o: not o.ml),
    "pseudo_count": ("runs without --ml", lambda o: not o.ml),
    "coupling": ("several discriminators or generators", lambda o: o.generators * o.discriminators > 1),
}


def resolve(given: dict, semi: bool = False) -> tuple[Options, list[str]]:
    """Options from what a user gave: the data set's own defaults fill in, shorthands expand, values are checked.

    Args:
        given: Field name -> value, only what was really given; None is a value too, and keeps a data set's default away.
        semi: For run_bgan_semi.py.

    Returns:
        The options with every None that depends on another option filled in, and lines to tell the user.

    Raises:
        ValueError: Naming the flag, its rule, its value and the remedy.
    """
    notes = []
    for name, value in given.items():
        field = next(f for f in dataclasses.fields(Options) if f.name == name)
        if field.metadata["choices"] is not None and value is not None and value not in (choices := list(field.metadata["choices"])):
            raise InputError(f"--{name} must be one of: {', '.join(choices)}; got {value!r}")
    recipe = RECIPES.get(given.get("recipe"), {})
    if "train_iter" in given:  # a recipe's schedule belongs to its own length
        recipe = {name: value for name, value in recipe.items() if name not in ("burn_in", "ramp", "n_save")}
    if recipe:
        notes.append(f"--recipe {given['recipe']} stands for "
                     + " ".join(f"--{k}" if v is True else f"--{k} {v}" for k, v in recipe.items() if k not in given))
    source = DATA_SETS[given.get("dataset", recipe.get("dataset", Options.dataset))]
    values = {**source.defaults, **(source.semi if semi else {}), **recipe, **given}
    if semi:
        values.setdefault("N", 100)
        if "label_batch_size" in values and "label_batch_size" not in given:
            values["label_batch_size"] = min(values["label_batch_size"], values["N"])
    if values.get("wasserstein"):
        if given.get("objective", "wasserstein") != "wasserstein":
            raise InputError(f"--wasserstein is --objective wasserstein, got --objective {given['objective']}; give one")
        values["objective"] = "wasserstein"
    if values.get("ml"):
        values |= ML_OVERRIDES
        overridden = [k for k in (*ML_OVERRIDES, "prior_std") if k in given and given[k] != ML_OVERRIDES.get(k)]
        notes.append("--ml trains one generator and one discriminator at temperature 0 without a prior"
                     + "".join(f"; --{k} {given[k]} overridden" for k in overridden))
    if values.get("feature_matching") and "objective" in given:
        notes.append(f"--feature_matching: --objective {given['objective']} applies to the discriminators alone")
    if values.get("gpu_id") is not None:
        if values.get("device", "auto") == "cpu":
            raise InputError(f"--gpu_id {values['gpu_id']} asks for a GPU and --device cpu for none; give one of them")
        values["device"] = "cuda"
    options = Options(**values)
    check_ranges(options)
    notes += [f"--{name} changes nothing here: it is for {where}" for name, (where, applies) in APPLIES.items()
              if name in given and not applies(options)]
    burn_in = max(1, options.train_iter // 2) if options.burn_in is None else options.burn_in
    ramp = max(0, options.train_iter - burn_in) // 10 if options.ramp is None else options.ramp
    if options.temperature > 0 and burn_in + ramp >= options.train_iter:
        raise InputError(f"--burn_in and --ramp must end before --train_iter {options.train_iter}, got {burn_in} + {ramp}: "
                         "no iteration would sample; raise --train_iter, or set --temperature 0")
    if options.temperature > 0 and options.optimizer == "adam" and burn_in == 0:
        raise InputError("--burn_in must be at least 1 with --optimizer adam, got 0: its preconditioner adapts in burn-in")
    thin = options.thin or max(1, (options.train_iter - burn_in - ramp) // options.keep)
    return dataclasses.replace(options, burn_in=burn_in, ramp=ramp, thin=thin), notes


def check_ranges(options: Options) -> None:
    """Raises InputError for the first number outside its range."""
    for name, (least, largest) in RANGES.items():
        value = getattr(options, name)
        if value is not None and not least <= value <= largest:
            raise InputError(f"--{name} must be in {least}..{largest}, got {value}")
    if not 0 < options.friction <= 1:
        raise InputError(f"--friction must be in (0, 1], got {options.friction}; it is 1 - momentum")


def check_data(options: Options, data: Dataset) -> None:
    """Raises InputError where options and data do not fit together."""
    low, high = RANGES["image_size"]
    if data.is_images and (data.shape[1] != data.shape[2] or not low <= data.shape[1] <= high):
        raise InputError(f"images must be square, {low}..{high} pixels a side, {data.name} has {data.shape[2]}x"
                         f"{data.shape[1]}; scale them with --image_size")
    if not data.is_images and options.network_for(data) == "dcgan":
        raise InputError(f"--network dcgan needs images, {data.name} holds vectors; use --network mlp")
    if not data.is_images and options.shift:
        raise InputError(f"--shift moves images, {data.name} holds vectors; leave it out")
    if not data.is_images and options.image_size is not None:
        raise InputError(f"--image_size scales images, {data.name} holds vectors; leave it out")
    if options.batch_size > len(data.train):
        raise InputError(f"--batch_size must be at most the {len(data.train)} training data, got {options.batch_size}")
    if options.resample is not None and len(data.calibration) < 2 * LEAST:
        raise InputError(f"--resample calibrates on at least {2 * LEAST} held-out data, {data.name} leaves {len(data.calibration)} of "
                         f"--calibration_fraction {options.calibration_fraction}; raise it or leave --resample out")
    if options.semi and (options.label_batch_size or 1) > options.N:
        raise InputError(f"--label_batch_size must be at most the {options.N} labels, got {options.label_batch_size}")


def data_options(options: Options) -> DataOptions:
    """What of the options concerns loading."""
    return DataOptions(options.data_path, options.cache_path, options.image_size, options.x_dim, options.cluster_dim)


def load_data(options: Options, rows: Tensor | None = None) -> Dataset:
    """The data set the options name, restricted to the classes asked for, its held-out part put aside, checked.

    Of a semi-supervised run all training labels but N are replaced by -1 here, before anything else sees them.

    Args:
        rows: The labelled rows of a run that goes on; by default they are chosen by N and label_seed.
    """
    data = DATA_SETS[options.dataset].load(data_options(options))
    if options.classes is not None:
        data = data.only(options.classes)
    data = data.hold_out(options.calibration_fraction)
    if options.semi:
        data = with_labels(data, choose_labels(data, options.N, options.label_seed) if rows is None else rows)
    check_data(options, data)
    return data


def add_flags(parser: argparse.ArgumentParser, semi: bool = False) -> None:
    """One flag a field, with underscores or dashes; absent flags stay absent, so that data sets can bring defaults."""
    for field in dataclasses.fields(Options):
        if field.metadata["semi"] and not semi:
            continue
        kind = next((k for k in typing.get_args(field.type) if k is not type(None)), field.type)  # T of T | None
        flags = list(dict.fromkeys([f"--{field.name}", f"--{field.name.replace('_', '-')}"]))
        choices = field.metadata["choices"]
        text = field.metadata["help"]
        if isinstance(choices, dict):
            text += "; " + "; ".join(f"{word}: {meaning}" for word, meaning in choices.items())
        elif choices is not None:
            text += f"; one of: {', '.join(choices)}"
        if field.default is not None and field.default is not False:
            text += f" (default: {field.default})"
        settings = {"dest": field.name, "default": argparse.SUPPRESS, "help": text.replace("%", "%%")}
        if kind is bool:  # a data set's or recipe's default can be switched off with --no-...
            action = "store_true" if field.name.startswith("no_") else argparse.BooleanOptionalAction
            parser.add_argument(*flags, action=action, **settings)
            continue
        if typing.get_origin(kind) is list:
            settings["nargs"], (kind,) = "+", typing.get_args(kind)
        parser.add_argument(*flags, type=kind, metavar=kind.__name__.upper(), **settings)
