"""Data that needs no file: scikit-learn's handwritten digits and two mixtures with known answers."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from bayesgan.basics.errors import InputError
from bayesgan.basics.later import later
from bayesgan.data.dataset import DATA_SETS, DataOptions, Dataset, DataSource, images_tensor, split

__all__ = ["GENERATED", "GRID_SCALE", "gaussian_grid"]

load_digits = later("sklearn.datasets", "load_digits")

GENERATED = ("digits", "synthetic", "gaussians25")  # no file is read for these
# points in few dimensions: what few pictures with labels need does not suit them
PLAIN = {"network": "auto", "noise": 0.0, "dropout": 0.0, "normalise": "auto", "spread_labels": 0, "settle": 0.0,
         "lr": 0.001, "precision": "fp32"}
GRID_SCALE = 2**0.5  # sd of the 25 modes' centres; gaussians25 is the grid divided by it


def digits(options: DataOptions) -> Dataset:
    """1,797 real 8x8 digits (UCI optical recognition, test part), 80/20 split."""
    rows = digits_table()
    images = np.rint(rows[:, :-1].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    data = images_tensor(images, options.image_size)
    return split(data, torch.from_numpy(rows[:, -1].astype(np.int64)), 0.2, "digits", tuple("0123456789"))


def digits_table() -> np.ndarray:
    """scikit-learn's (1797, 65): 64 grey levels 0..16 and the digit. From its file, as it takes a second to import."""
    (package,) = find_spec("sklearn").submodule_search_locations
    file = Path(package) / "datasets" / "data" / "digits.csv.gz"
    if file.exists():
        return np.loadtxt(file, delimiter=",")
    source = load_digits()  # of a version that keeps it elsewhere
    return np.column_stack([source.data, source.target])


# sized for two minutes on two CPU cores; at temperature 1 the posterior given 1,438 images is as blurred as it should
# be, at 0.1 a newcomer sees digits
DATA_SETS.register("digits")(
    DataSource(
        digits,
        {
            "num_gen": 5,
            "num_mcmc": 2,
            "z_dim": 32,
            "df_dim": 32,
            "temperature": 0.1,
            "train_iter": 2000,
            "gen_batch_size": 32,
            "n_save": 500,
            "log_every": 100,
        },
        # see docs/few_labels.md: feature matching for calibration, two discriminators, a cold posterior;
        # on 8x8 pixels vgg is slower and no better
        semi={
            "network": "dcgan",
            "num_gen": 2,
            "num_mcmc": 1,
            "num_disc": 2,
            "noise": 0.0,
            "dropout": 0.0,
            "label_batch_size": 32,
            "lr": 0.001,
            "lr_decay": 1.0,
            "spread_labels": 3,
            "precision": "fp32",
            "train_iter": 600,
            "keep": 10,
            "n_save": 200,
        },
    )
)


def synthetic(options: DataOptions) -> Dataset:
    """Saatchi & Wilson 2017, section 4.1: 10 clusters x = A (z + mean), A ~ N(0, 25) D x d, 10,000 points."""
    dimension, inner, clusters, points = options.x_dim, options.cluster_dim, 10, 1000
    if not 1 <= inner <= dimension:
        raise InputError(f"cluster_dim must be in 1..x_dim, got {inner} with x_dim {dimension}")
    random = np.random.default_rng(1234)  # one fixed mixture, as in the paper
    rows = []
    for _ in range(clusters):
        mean = 5 * random.standard_normal(inner)
        matrix = 5 * random.standard_normal((dimension, inner))
        rows.append((random.standard_normal((points, inner)) + mean) @ matrix.T)
    labels = torch.arange(clusters).repeat_interleave(points)
    data = torch.from_numpy(np.concatenate(rows))
    return split(data, labels, 0.2, "synthetic", tuple(str(c) for c in range(clusters)))


DATA_SETS.register("synthetic")(
    DataSource(
        synthetic,
        {
            "num_gen": 10,
            "num_disc": 2,
            "z_dim": 10,
            "df_dim": 256,
            "num_layers": 2,
            "train_iter": 5000,
            "n_save": 1000,
            "log_every": 250,
        },
        semi=PLAIN,
    )
)



def gaussian_grid() -> np.ndarray:
    """(25, 2): the modes of gaussians25 before standardising, {-2, -1, 0, 1, 2}²."""
    side = np.arange(-2, 3)
    return np.stack(np.meshgrid(side, side, indexing="ij"), -1).reshape(25, 2).astype(np.float64)


def gaussians25(options: DataOptions) -> Dataset:
    """A 5x5 grid of Gaussians with sd 0.05, 64,000 training and 10,000 test points, divided by the grid's spread."""
    random = np.random.default_rng(25)
    modes = gaussian_grid()
    labels = np.concatenate([np.arange(64_000) % 25, np.arange(10_000) % 25])
    # one constant scale, not the sample's own: a point's mode must be recoverable exactly
    data = (modes[labels] + 0.05 * random.standard_normal((len(labels), 2))) / GRID_SCALE
    tensor, classes = torch.from_numpy(data.astype(np.float32)), torch.from_numpy(labels)
    return Dataset("gaussians25", tensor[:64_000], tensor[64_000:], classes[:64_000], classes[64_000:],
                   tuple(f"({a:g}, {b:g})" for a, b in modes))


DATA_SETS.register("gaussians25")(
    DataSource(
        gaussians25,
        {
            "num_gen": 10,
            "num_disc": 2,
            "z_dim": 2,
            "df_dim": 100,
            "num_layers": 4,
            "batch_size": 256,
            "gen_batch_size": 64,
            "train_iter": 10000,
            "n_save": 2000,
            "log_every": 500,
        },
        semi=PLAIN,
    )
)
