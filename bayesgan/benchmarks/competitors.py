"""Who competes in `benchmark results`, as what can be trained and asked; qualities.py measures them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from bayesgan.benchmarks.obvious import ObviousTrainer
from bayesgan.benchmarks.plain import PlainGAN
from bayesgan.data import Dataset
from bayesgan.objectives import real_score
from bayesgan.options import Options
from bayesgan.resampling import LatentProposal
from bayesgan.training.algorithm import Trainer
from bayesgan.training.engine_choice import choose_engines

__all__ = ["Competitor", "obvious_loop", "plain_gan", "this_project"]

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Competitor:
    """A training and what it has made so far.

    Attributes:
        step: One iteration.
        generators: z (n, Z) -> data (n, ...), each.
        logits: Data (n, ...) -> (K, n, Y), of all discriminators.
        latent: Z.
    """

    step: Callable[[], object]
    generators: list[Callable[[Tensor], Tensor]]
    logits: Callable[[Tensor], Tensor]
    latent: int

    def proposal(self) -> LatentProposal:
        """Of all generators, each equally likely."""
        return LatentProposal(lambda member, z: self.generators[member](z), self.latent,
                              torch.ones(len(self.generators)))

    def scores(self, data: Tensor) -> Tensor:
        """Log odds of being real by each discriminator, (n, K)."""
        return real_score(self.logits(data)).T


def this_project(options: Options, data: Dataset) -> Competitor:
    """The trainer, engines tried; with a teacher the averaged weights are asked."""
    trainer = Trainer(options, data, engines=choose_engines(options, data, CPU)[0])
    generators, discriminators = (player.ensemble for player in trainer.players)

    def logits(images: Tensor) -> Tensor:
        average = None if trainer.teacher is None else trainer.teacher.average
        images = images.expand(discriminators.members, *images.shape)
        return discriminators.forward(images, train=False, state=average)[0]

    members = [partial(generators.forward_member, member) for member in range(generators.members)]
    return Competitor(trainer.step, members, logits, options.z_dim)


def obvious_loop(options: Options, data: Dataset) -> Competitor:
    """The Bayesian GAN written the obvious way, from the same start."""
    loop = ObviousTrainer(Trainer(options, data))
    generators, discriminators = ([member.network for member in members]
                                  for members in (loop.generators, loop.discriminators))
    return of_modules(loop.step, generators, discriminators, options)


def plain_gan(options: Options, data: Dataset, lr: float) -> Competitor:
    """One GAN written the obvious way, trained by Adam."""
    gan = PlainGAN(options, data, lr)
    return of_modules(gan.step, [gan.generator], [gan.discriminator], options)


def of_modules(
    step: Callable[[], object], generators: list[nn.Module], discriminators: list[nn.Module], options: Options
) -> Competitor:
    members = [partial(evaluated, network) for network in generators]
    return Competitor(
        step, members, lambda data: torch.stack([evaluated(one, data)[0] for one in discriminators]), options.z_dim
    )


def evaluated(network: nn.Module, inputs: Tensor) -> Tensor:
    """What a module in training says in eval mode."""
    network.eval()
    outputs = network(inputs)
    network.train()
    return outputs
