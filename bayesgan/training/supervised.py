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

__all__ = ["supervised_iterations", "train_supervised"]

ITERATIONS = 2000  # the loss on 100 labels has long reached 0
USUAL_STEP = 1e-3  # Adam's own, for runs with another optimiser


def supervised_iterations(options: Options) -> int:
    """As many as the run has, at most 2,000."""
    return min(options.train_iter, ITERATIONS)


def train_supervised(options: Options, data: Dataset, device: torch.device | str = "cpu") -> Ensemble:
    """One network of the discriminator's kind and size: Adam on the labelled images, as fast as the discriminators.

    Minibatches, noise and dropout are those of the discriminators' labelled term.

    Raises:
        Diverged: If its weights become non-finite.
    """
    build = options.networks(data.shape, len(data.classes)).discriminator
    classifier = Ensemble(build, 1, lambda _: keyed_generator(options.random_seed, "supervised"), device=device)
    data = data.to(classifier.device)
    rows = labelled_rows(data)
    # lr / friction is the step that compares with Adam's
    step = options.lr_of("discriminator") / options.friction if options.optimizer == "adam" else USUAL_STEP
    adam = Adam(classifier.parameters.values(), lr=step)
    for iteration in range(supervised_iterations(options)):
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
