"""Every option of the training scripts, one field each: its help, range, meaning and defaults stand on its own line.

The command line, --help, the checks (flags.py), the precedence of defaults (resolve.py) and config.json follow from it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from torch import nn

from bayesgan.basics.devices import DEVICES
from bayesgan.basics.ranks import ranks_started
from bayesgan.data import ALL, DATA_SETS, GENERATED
from bayesgan.ensemble import ENGINES
from bayesgan.networks import NETWORKS, NORMALISATIONS, NetworkSizes
from bayesgan.objectives import OBJECTIVES
from bayesgan.options.flags import option
from bayesgan.options.recipes import RECIPES
from bayesgan.resampling import RULES

__all__ = ["Networks", "Options", "script_name"]

COUPLINGS = {
    "mixture": "each fake scored by half of the discriminators, at most five; these see as many of each generator",
    "full": "all pairs, as in Algorithm 1",
}
PRECISIONS = {
    "fp32": "single",
    "tf32": "single, on an NVIDIA GPU with the inputs of products and convolutions rounded to 10 bits",
    "bf16": "matrix products and convolutions in bfloat16, weights and sampler in single",
    "fp64": "double, for checks",
}
OPTIMIZERS = {
    "adam": "Adam's close relative, RMSprop with momentum; its preconditioner is kept for sampling",
    "sgd": "SGD with momentum; no preconditioner",
}

# the largest values are far beyond use: they stop typing errors before they fill the memory
COUNT = {"least": 1, "most": 10**9}
WIDTH = {"least": 1, "most": 100_000}
CROPS = {"center": "their middle square", "none": "all of them, squashed"}
DRAWS = {"least": 1, "most": 1000}
SEED = {"least": 0, "most": 2**63 - 1}
SYNTHETIC = ("--dataset synthetic", lambda options: options.dataset == "synthetic")
SHAPES = ("--dataset four_shapes", lambda options: options.dataset == "four_shapes")
FILES = ("data sets that are read from files", lambda options: options.dataset not in GENERATED)
OWN_IMAGES = ("--dataset npz or image_folder", lambda options: options.dataset in ("npz", "image_folder"))
FOLDER = ("--dataset image_folder", lambda options: options.dataset == "image_folder")
WARM = ("a positive --temperature", lambda options: options.temperature > 0)
CHOSEN = (f"runs without --N {ALL}", lambda options: options.N != ALL)
FLOORED = (
    "--optimizer adam with a positive --temperature",
    lambda options: options.optimizer == "adam" and options.temperature > 0,
)
BAYESIAN = ("runs without --ml", lambda options: not options.ml)
TAUGHT = ("a positive --consistency", lambda options: options.consistency > 0)
SPREAD = ("a positive --consistency, --spread_labels of 2 or more, and a burn-in to end",
          lambda options: options.settling is not None)
PLAYED = ("runs with generators", lambda options: options.generators > 0)
PSEUDO = ("runs without --ml that have generators", lambda options: options.generators > 0 and not options.ml)
SEVERAL = ("several discriminators or generators, or a --gen_batch_size above --batch_size", lambda options: (
    options.generators > 0
    and (options.generators * options.discriminators > 1 or options.gen_batch > options.batch_size)))

data = partial(option, group="where and what")
labels = partial(option, group="labels", semi=True)
of_networks = partial(option, group="networks")
posterior = partial(option, group="posterior")
schedule = partial(option, group="schedule")
running = partial(option, group="running")


def script_name(semi: bool) -> str:
    """Of runs with labels, or without."""
    return "run_bgan_semi.py" if semi else "run_bgan.py"


class Networks(NamedTuple):
    """The constructors of a run's two networks, no arguments left open."""

    generator: Callable[[], nn.Module]
    discriminator: Callable[[], nn.Module]


@dataclass(frozen=True)
class Options:
    """The options of a training run; the field's help is its documentation."""

    out_dir: Path = data(
        Path("runs"), "folder in which the run's own folder bgan_<dataset>_<time> is made", timing=False
    )
    data_path: Path = data(
        Path("datasets"), "file or folder of the data; only read, unless a download is needed",
        needs=FILES, resumable=True, timing=False,
    )
    cache_path: Path = data(
        Path("datasets"), "folder for converted data (four_shapes)", needs=SHAPES, resumable=True, timing=False
    )
    dataset: str = data("digits", "data set", choices=DATA_SETS, timing=False)
    recipe: str | None = data(
        None, "settings known to work, told when it starts; flags given win", choices=tuple(RECIPES), timing=False
    )
    image_size: int | None = data(None, "scale images to this side (default: the data's own)", least=8, most=200)
    value_range: list[float] | None = data(
        None, "two numbers, black and white in the images of npz or image_folder (default: worked out and told)",
        needs=OWN_IMAGES, timing=False,
    )
    crop: str = data(
        "center", "what of images that are not square becomes the square of --image_size", choices=CROPS,
        needs=OWN_IMAGES, timing=False,
    )
    background: str = data(
        "white", "colour, by name or #rrggbb, under transparent pixels", needs=OWN_IMAGES, timing=False
    )
    channels: int | None = data(
        None, "1 makes all images grey, 3 gives all colour channels (default: as most of them are)", choices=(1, 3),
        needs=OWN_IMAGES, timing=False,
    )
    attribute: str | None = data(
        None, "of CelebA's pictures: its presence, as list_attr_celeba.txt has it, is the class; Smiling, for example",
        needs=FOLDER, timing=False,
    )
    classes: list[int] | None = data(None, "only these classes, by number", timing=False)
    x_dim: int = data(100, "synthetic: dimension of the data", **WIDTH, needs=SYNTHETIC)
    cluster_dim: int = data(2, "synthetic: dimension of each cluster", **WIDTH, needs=SYNTHETIC, timing=False)
    calibration_fraction: float = data(
        0.1, "share of the training data put aside, never trained on, for resampling", least=0, most=0.5, timing=False
    )
    N: int | str | None = labels(
        None, "labelled training images, as many of each class, or all labels there are (default: 100)", word=ALL,
        **COUNT,
    )
    label_seed: int = labels(0, "which images are labelled", **SEED, needs=CHOSEN, timing=False)
    label_batch_size: int | None = labels(
        None, "labelled images a discriminator sees per iteration (default: batch_size, at most N)", **COUNT
    )
    label_count: int | None = labels(
        None, "data the labels count for in the likelihood (default: training size; N is literal)", **COUNT,
        timing=False,
    )
    consistency: float = labels(
        0.0, "weight of the unlabelled images' classes that all discriminators together are sure of: each learns them "
        "on distorted images; 0 for none", least=0, most=100,
    )
    confidence: float = labels(
        0.95, "probability from which on they are sure", above=0, most=0.9999, needs=TAUGHT, timing=False
    )
    distort: float = labels(
        1.0, "strength of the distortions: at 1 up to 20 degrees, 15 %, a square of 28 %; vectors get noise of .3",
        least=0, most=3, needs=TAUGHT, timing=False,
    )
    spread_labels: int = labels(
        0, "times in burn-in that labels are spread along a graph of all training data, as another teacher", least=0,
        most=100, needs=TAUGHT, timing=False,
    )
    settle: float = labels(
        0.0, "last part of burn-in, from which on distortions are gentle and the graph's classes are probabilities; it "
        "begins with the last label spreading", least=0, most=0.9, needs=SPREAD, timing=False,
    )
    unlabelled_batch_size: int | None = labels(
        None, "unlabelled images a discriminator is taught on per iteration (default: twice batch_size)", **WIDTH,
        needs=TAUGHT,
    )
    no_supervised: bool = labels(
        False, "do not also train a supervised network on the same labels", timing=False
    )
    network: str = of_networks(
        "auto", "pair of networks; auto: dcgan for images, mlp for vectors; with labels most sets of images take vgg",
        choices=["auto", *NETWORKS],
    )
    z_dim: int = of_networks(100, "dimension of the generator's input z", **WIDTH, needs=PLAYED)
    gf_dim: int | None = of_networks(
        None, "generator width next to the data (default: df_dim, the mirror the paper used)", **WIDTH, needs=PLAYED
    )
    df_dim: int = of_networks(
        96, "discriminator width at half the image's side; doubles per halving up to 512 (mlp: of all layers)", **WIDTH
    )
    normalise: str = of_networks(
        "auto", "normalisation of the discriminators; auto: dcgan layer, vgg group, mlp none, noisy_mlp weight",
        choices={"auto": "the network's own", **NORMALISATIONS},
    )
    noise: float = of_networks(
        0.0, "sd of Gaussian noise on what the discriminators see in training (noisy_mlp: 5/3 of it on hidden layers)",
        least=0, most=10,
    )
    shift: int = of_networks(
        0, "real images move at random by up to so many pixels each way in training; generators model the moved",
        least=0, most=16,
    )
    dropout: float = of_networks(
        0.0, "share of the discriminators' last features dropped in training", least=0, most=0.9
    )
    num_layers: int = of_networks(
        4, "halvings of the image, at most to 2x2, a convolution each (vgg: two; mlp: hidden layers)", least=1, most=20
    )
    num_gen: int = posterior(
        1, "J_g, noise draws for generators; there are num_gen * num_mcmc generators; 0, with labels: none, and a "
        "classifier from labels and teacher alone", least=0, most=1000,
    )
    num_disc: int = posterior(1, "J_d, noise draws for discriminators; there are num_disc * num_mcmc of them", **DRAWS)
    num_mcmc: int = posterior(1, "M, SGHMC chains per noise draw", **DRAWS)
    prior_std: float = posterior(
        1.0, "prior N(0, (prior_std * sqrt(2/fan-in))^2) on each weight", least=1e-6, most=1e6, timing=False
    )
    temperature: float = posterior(
        1.0, "of the posterior: 1 samples it, 0 optimises, between is a cold posterior", least=0, most=1e6,
        timing=False,
    )
    friction: float = posterior(0.5, "SGHMC friction alpha = 1 - momentum", above=0, most=1, timing=False)
    pseudo_count: int | None = posterior(
        None, "N_g, data the generator's likelihood counts for (default: training size)", **COUNT, needs=PSEUDO,
        timing=False,
    )
    coupling: str = posterior("mixture", "opponents per step", choices=COUPLINGS, needs=SEVERAL)
    objective: str = posterior("standard", "likelihood", choices=OBJECTIVES, needs=PLAYED)
    wasserstein: bool = posterior(False, "short for --objective wasserstein", needs=PLAYED)
    feature_matching: bool = posterior(
        False, "generators match mean discriminator features instead of scores", needs=PLAYED
    )
    gradient_noise: str = posterior(
        "subtract", "noise of minibatches, which heats the chain",
        choices={
            "subtract": "measured and taken off what is injected, tensor by tensor",
            "ignore": "added, the chain is hotter than --temperature",
        },
        needs=WARM, timing=False,
    )
    ml: bool = posterior(False, "maximum likelihood: one generator, one discriminator, temperature 0, no prior")
    batch_size: int = schedule(64, "real images a discriminator sees per iteration", **WIDTH)
    gen_batch_size: int | None = schedule(
        None, "images each generator makes per iteration (default: batch_size)", **WIDTH, needs=PLAYED
    )
    train_iter: int = schedule(50000, "iterations, burn-in included", **COUNT, resumable=True, timing=False)
    burn_in: int | None = schedule(
        None, "iterations at temperature 0 before sampling (default: half of train_iter)", least=0, most=10**9,
        timing=False,
    )
    ramp: int | None = schedule(
        None, "iterations over which the temperature rises (default: a tenth of those after burn_in)", least=0,
        most=10**9, needs=WARM, timing=False,
    )
    thin: int | None = schedule(
        None, "iterations between collected draws (default: keep draws, evenly spread)", **COUNT, needs=BAYESIAN,
        timing=False,
    )
    keep: int = schedule(
        10, "collected draws kept on disk, the newest", **COUNT, needs=BAYESIAN, resumable=True, timing=False
    )
    lr: float = schedule(
        0.0005, "learning rate of SGD with momentum 1 - friction; lr / friction compares with Adam's", least=1e-12,
        most=1e6, timing=False,
    )
    g_lr: float | None = schedule(
        None, "learning rate of the generators (default: lr)", least=1e-12, most=1e6, needs=PLAYED, timing=False
    )
    d_lr: float | None = schedule(
        None, "learning rate of the discriminators (default: lr)", least=1e-12, most=1e6, timing=False
    )
    d_steps: int = schedule(
        1, "steps of the discriminators before each of the generators, on data and fakes of their own", least=1,
        most=100,
    )
    lr_decay: float = schedule(
        1.0, "lr falls by exp(-lr_decay) in burn-in, then stays", least=0, most=50, timing=False
    )
    optimizer: str = schedule("adam", "what SGHMC is at temperature 0", choices=OPTIMIZERS)
    floor: float = schedule(
        1e-3, "adam: added, when sampling starts, to the root mean square gradient that divides the step",
        least=1e-12, most=1e6, needs=FLOORED, timing=False,
    )
    resample: str | None = running(
        None, "at the end also write 100 samples corrected by the discriminators, by this method", choices=RULES,
        resumable=True, timing=False,
    )
    n_save: int = running(
        100, "iterations between results, checkpoints and image grids", **COUNT, resumable=True, timing=False
    )
    log_every: int = running(50, "iterations between progress lines", **COUNT, resumable=True, timing=False)
    save_samples: bool = running(
        False, "also write the image grids at every n_save, not only at the end", needs=PLAYED, resumable=True,
        timing=False
    )
    save_weights: bool = running(
        False, "also write weights_<iter>.npz at every n_save", resumable=True, timing=False
    )
    random_seed: int = running(2222, "seed of everything random", **SEED, timing=False)
    engine: str = running(
        "auto", "how ensembles are computed; auto: the fastest in a trial of some seconds", choices=["auto", *ENGINES]
    )
    compile: bool = running(
        False, "torch.compile the networks (CUDA graphs on a GPU), kept where the trial finds it faster"
    )
    precision: str = running("fp32", "of the networks' arithmetic", choices=PRECISIONS)
    deterministic: bool = running(
        False, "a GPU gives the same bits again, at some cost; a CPU always does",
        needs=("a GPU", lambda options: options.device != "cpu"),
    )
    device: str = running(
        "auto", "where to compute; auto: a GPU if there is one", choices=DEVICES, resumable=True
    )
    rank_timeout: int = running(
        600, "seconds after which a rank that does not answer counts as lost", least=1, most=10**6,
        needs=("runs of several ranks, which torchrun starts", lambda options: ranks_started() > 1), resumable=True,
        timing=False,
    )
    gpu_id: int | None = running(
        None, "number of the GPU; asks for one like --device cuda", least=0, most=1000, resumable=True, timing=False,
        remedy="--device cpu computes without one",
    )

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
        """Images a generator makes in an iteration."""
        return self.gen_batch_size or self.batch_size

    def lr_of(self, role: str) -> float:
        """Of the "generator" or "discriminator"."""
        own = self.g_lr if role == "generator" else self.d_lr
        return self.lr if own is None else own

    def steps_of(self, role: str) -> int:
        """SGHMC steps that one of them takes in an iteration."""
        return self.d_steps if role == "discriminator" else 1

    @property
    def label_batch(self) -> int:
        """Labelled images a discriminator sees in an iteration."""
        return self.label_batch_size or min(self.batch_size, self.N)

    @property
    def unlabelled_batch(self) -> int:
        """Unlabelled images a discriminator is taught on in an iteration, without --consistency none."""
        if not (self.semi and self.consistency > 0):
            return 0
        return self.unlabelled_batch_size or 2 * self.batch_size

    @property
    def spread_moments(self) -> tuple[int, ...]:
        """Iterations before which labels are spread: the first, and ever further apart until sampling begins or, with
        --settle, the last as that begins.
        """
        if not self.unlabelled_batch:
            return ()
        times, settling = self.spread_labels, self.settling
        last, parts = (self._burnt_in, times) if settling is None else (settling, times - 1)
        return tuple(sorted({int(last * (time / parts) ** 1.5) for time in range(times)}))

    @property
    def settling(self) -> int | None:
        """The iteration from which on distortions are gentle and classes are probabilities; None for never."""
        if not (self.unlabelled_batch and self.settle and self.spread_labels > 1):
            return None
        return int(self._burnt_in * (1 - self.settle)) or None

    @property
    def _burnt_in(self) -> int:
        return self.burn_in if self.temperature > 0 else self.train_iter

    def network_name(self, data_shape: tuple[int, ...]) -> str:
        """The pair's name, `auto` resolved for data of this shape."""
        if self.network != "auto":
            return self.network
        return "dcgan" if len(data_shape) == 3 else "mlp"

    def networks(self, data_shape: tuple[int, ...], classes: int) -> Networks:
        """The run's two networks: the one place that knows them.

        Args:
            data_shape: (C, H, W) or (D,).
            classes: Y of a semi-supervised run; of no meaning in an unsupervised one.
        """
        sizes = NetworkSizes(
            data_shape=tuple(data_shape),
            latent=self.z_dim,
            generator_width=self.gf_dim or self.df_dim,  # the reference mirrors the discriminator
            discriminator_width=self.df_dim,
            layers=self.num_layers,
            outputs=classes if self.semi else 1,
            noise=self.noise,
            dropout=self.dropout,
            normalise=self.normalise,
        )
        generator, discriminator = NETWORKS[self.network_name(data_shape)]
        return Networks(partial(generator, sizes), partial(discriminator, sizes))
