"""The yardstick of a semi-supervised run: the same network on the same labels, without a GAN or other images."""

import torch
from torch.nn.functional import cross_entropy

from bayesgan.basics.errors import Diverged
from bayesgan.basics.optimizers import Adam
from bayesgan.basics.randomness import keyed_generator
from bayesgan.data import Dataset, labelled_rows
from bayesgan.ensemble import Ensemble
from bayesgan.options import Options
from bayesgan.training.minibatches import labelled_batches

__all__ = ["train_supervised"]

ITERATIONS = 2000  # the loss on 100 labels has long reached 0


def train_supervised(options: Options, data: Dataset, device: torch.device | str = "cpu") -> Ensemble:
    """One network of the discriminator's kind and size: Adam on the labelled images, min(train_iter, 2000) iterations.

    Minibatches, noise and dropout are those of the discriminators' labelled term.

    Raises:
        Diverged: If its weights become non-finite.
    """
    build = options.networks(data.shape, len(data.classes)).discriminator
    classifier = Ensemble(build, 1, lambda _: keyed_generator(options.random_seed, "supervised"), device=device)
    data = data.to(classifier.device)
    rows = labelled_rows(data)
    # lr / friction is the step that compares with Adam's
    adam = Adam(classifier.parameters.values(), lr=options.lr / options.friction)
    for iteration in range(min(options.train_iter, ITERATIONS)):
        source = keyed_generator(options.random_seed, "supervised", iteration, device=classifier.device)
        images, labels = labelled_batches(options, data, rows, [source])
        logits, _ = classifier.forward(images, train=True, noise=[source])
        loss = cross_entropy(logits[0], labels[0])
        adam.zero_grad()
        loss.backward()
        adam.step()
    if not all(parameter.isfinite().all() for parameter in classifier.parameters.values()):
        raise Diverged("the supervised network's weights became non-finite; start a run with a lower --lr, or with "
                       "--no_supervised")
    return classifier
