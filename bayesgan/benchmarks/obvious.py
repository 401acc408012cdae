"""The yardstick: a Bayesian GAN written the obvious way, one module a network and a loop over all pairs of them.

What the fast trainer must equal, number for number, at full coupling, and what it is timed against.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus

from bayesgan.basics.randomness import keyed_generator
from bayesgan.options import Options
from bayesgan.sampler import SGHMC, RMSprop, exponential_then_constant
from bayesgan.training.algorithm import Trainer
from bayesgan.training.losses import Losses
from bayesgan.training.minibatches import labelled_batches, latent_draw, real_batches
from bayesgan.training.players import Player

__all__ = ["ObviousTrainer"]


class ObviousTrainer:
    """Begins where a new `trainer` does: its weights as modules of their own, and its random streams; burn-in only.

    Every pair makes its fakes anew, a discriminator scores its real images again for every generator, and a
    generator's backward pass runs through the discriminator's weights, as in the code people write.
    """

    def __init__(self, trainer: Trainer):
        self.options, self.data, self.dtype = trainer.options, trainer.data, trainer.dtype
        self.labelled, self.label_weight = trainer.labelled, trainer.label_weight
        networks = self.options.networks(self.data.shape, len(self.data.classes))
        self.generators = members_of(trainer.generators, networks.generator, self.options)
        self.discriminators = members_of(trainer.discriminators, networks.discriminator, self.options)
        self.iteration = 0

    def sources(self, key: str, members: list) -> list[torch.Generator]:
        """The streams that `Trainer.sources` gives."""
        return [keyed_generator(self.options.random_seed, key, member, self.iteration, device=self.data.train.device)
                for member in range(len(members))]

    def step(self) -> Losses:
        """One iteration of Algorithm 1, on the draws that `Trainer.step` makes; the same mean losses."""
        options, data = self.options, self.data
        latent = latent_draw(options.gen_batch, options.z_dim, self.sources("latent", self.generators))  # (I, B, Z)
        latent = latent.to(self.dtype)
        real = real_batches(options, data, self.sources("real", self.discriminators)).to(self.dtype)  # (K, B, ...)
        labelled = labels = [None] * len(self.discriminators)
        if options.semi:
            sources = self.sources("labelled", self.discriminators)
            labelled, labels = labelled_batches(options, data, self.labelled, sources)
        d_losses = [self.move_discriminator(*own, latent)
                    for own in zip(self.discriminators, real, labelled, labels, strict=True)]
        g_losses = [self.move_generator(*own) for own in zip(self.generators, latent, strict=True)]
        self.iteration += 1
        return Losses(torch.stack(d_losses), torch.stack(g_losses))

    def move_discriminator(
        self, member: "Member", real: Tensor, labelled: Tensor | None, labels: Tensor | None, latent: Tensor
    ) -> Tensor:
        """Against every generator, and on its labels (S,) if there are any; its mean loss."""
        member.sampler.zero_grad()
        total = 0.0
        for generator, z in zip(self.generators, latent, strict=True):
            with torch.no_grad():
                fakes = generator.network(z)
            loss = softplus(-score(member.network, real)).mean() + softplus(score(member.network, fakes)).mean()
            if labels is not None:
                logits = member.network(labelled.to(self.dtype))[0]
                logits = torch.cat([torch.zeros_like(logits[:, :1]), logits], 1)  # class 0: generated
                loss = loss + self.label_weight * cross_entropy(logits, labels + 1)
            (loss / len(self.generators)).backward()
            total += loss.detach() / len(self.generators)
        member.move()
        return total

    def move_generator(self, member: "Member", z: Tensor) -> Tensor:
        """Against every discriminator; its mean loss."""
        member.sampler.zero_grad()
        total = 0.0
        for discriminator in self.discriminators:
            loss = softplus(-score(discriminator.network, member.network(z))).mean()
            (loss / len(self.discriminators)).backward()
            total += loss.detach() / len(self.discriminators)
        member.move()
        return total


@dataclass
class Member:
    """One network, its sampler, and what its prior takes: standard deviation of each weight, and data to divide by."""

    network: nn.Module
    sampler: SGHMC
    prior: dict[str, Tensor] | None
    num_data: int

    def move(self) -> None:
        """The prior's share of the gradient, and one SGHMC step."""
        if self.prior is not None:
            for name, parameter in self.network.named_parameters():
                parameter.grad += parameter.detach() / self.prior[name] ** 2 / self.num_data
        self.sampler.step()


def members_of(player: Player, build: Callable[[], nn.Module], options: Options) -> list[Member]:
    """Each member of an ensemble as a module of its own, with its present weights."""
    ensemble, members = player.ensemble, []
    deviations = {name: options.prior_std * scale for name, scale in ensemble.scales.items()}
    for number in range(ensemble.members):
        network = build().to(ensemble.device, ensemble.dtype)
        network.load_state_dict({name: tensor[number] for name, tensor in ensemble.state().items()})
        sampler = SGHMC.from_sgd(
            network.parameters(), lr=exponential_then_constant(options.lr, options.lr_decay, options.burn_in),
            momentum=1 - options.friction, num_data=player.num_data, temperature=0.0,
            preconditioner=RMSprop(floor=options.floor),
        )
        members.append(Member(network, sampler, None if options.ml else deviations, player.num_data))
    return members


def score(discriminator: nn.Module, images: Tensor) -> Tensor:
    """Log odds of being real: one logit, or the sum over classes against a fixed 0."""
    return discriminator(images)[0].logsumexp(1)
