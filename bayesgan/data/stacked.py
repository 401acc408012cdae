"""Stacked MNIST (Metz et al. 2017, Srivastava et al. 2017): 1,000 modes, to count how many a GAN finds."""

import numpy as np
import torch

from bayesgan.data.dataset import DATA_SETS, DataOptions, Dataset, DataSource

__all__ = []

SIZE = 60_000  # images in each part: 141 MB of bytes; half of a part is more than the 26,000 that modes are counted in


def stacked_mnist(options: DataOptions) -> Dataset:
    """Three random digits of MNIST as red, green and blue; the label is the number that they make, 0..999.

    The same images on every machine. Test images are made of test digits only.
    """
    mnist = DATA_SETS["mnist"].load(options)
    parts = []
    for seed, (digits, labels) in enumerate(((mnist.train, mnist.train_labels), (mnist.test, mnist.test_labels))):
        rows = torch.from_numpy(np.random.default_rng(seed).integers(len(digits), size=(SIZE, 3)))
        parts += [digits[:, 0][rows], labels[rows] @ torch.tensor([100, 10, 1])]
    classes = tuple(f"{number:03}" for number in range(1000))
    return Dataset("stacked_mnist", parts[0], parts[2], parts[1], parts[3], classes, notes=mnist.notes)


DATA_SETS.register("stacked_mnist")(DataSource(stacked_mnist, channels="mnist"))
