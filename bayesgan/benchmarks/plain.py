"""A competitor: one GAN as tutorials write it, two modules and Adam; with labels as Salimans et al. 2016.

Measured against in results.py; obvious.py is the Bayesian one written as simply.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus

from bayesgan.basics.randomness import keyed_generator
from bayesgan.data import Dataset, labelled_rows, to_float
from bayesgan.ensemble.stochastic import random_layers
from bayesgan.objectives import feature_matching, real_score
from bayesgan.options import Options

__all__ = ["PlainGAN"]

BETAS = (0.5, 0.999)  # Radford et al. 2016


class PlainGAN:
    """One generator and one discriminator of a run's kind and sizes, from torch's own initial weights.

    -log D against -log(1 - D); with options.feature_matching generators match mean features instead. With labels the
    discriminator also learns their classes, a minibatch of them as large as options.label_batch.
    """

    def __init__(self, options: Options, data: Dataset, lr: float):
        self.options, self.data = options, data
        self.labelled = labelled_rows(data) if options.semi else None
        networks = options.networks(data.shape, len(data.classes))
        with torch.random.fork_rng(devices=[]):  # initial weights come from the global generator
            torch.manual_seed(options.random_seed)
            self.generator, self.discriminator = networks.generator(), networks.discriminator()
        self.source = keyed_generator(options.random_seed, "plain GAN")
        for layer in random_layers(self.discriminator).values():
            layer.register_forward_pre_hook(self._draw)
        self.adams = [torch.optim.Adam(network.parameters(), lr=lr, betas=BETAS)
                      for network in (self.discriminator, self.generator)]

    def _draw(self, layer: nn.Module, given: tuple[Tensor]) -> None:
        layer.drawn = torch.empty_like(given[0])
        layer.draw(layer.drawn, self.source)

    def step(self) -> None:
        """A step of the discriminator, then one of the generator against it."""
        options = self.options
        real = to_float(self.data.train[self._rows(len(self.data.train), options.batch_size)])
        fake = self.generator(torch.randn(options.gen_batch, options.z_dim, generator=self.source))
        of_real, of_fake = (real_score(self.discriminator(images)[0]) for images in (real, fake.detach()))
        loss = softplus(-of_real).mean() + softplus(of_fake).mean()
        if self.labelled is not None:
            rows = self.labelled[self._rows(len(self.labelled), options.label_batch)]
            loss = loss + cross_entropy(self.discriminator(to_float(self.data.train[rows]))[0],
                                        self.data.train_labels[rows])
        self._move(0, loss)
        logits, made = self.discriminator(fake)
        if options.feature_matching:
            loss = feature_matching(self.discriminator(real)[1].detach(), made)
        else:
            loss = softplus(-real_score(logits)).mean()
        self._move(1, loss)

    def _rows(self, size: int, count: int) -> Tensor:
        return torch.randint(size, (count,), generator=self.source)

    def _move(self, player: int, loss: Tensor) -> None:
        self.adams[player].zero_grad()
        loss.backward()
        self.adams[player].step()
