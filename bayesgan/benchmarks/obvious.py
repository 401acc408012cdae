"""The yardstick: a Bayesian GAN written the obvious way, one module a network and a loop over all pairs of them.

What the fast trainer must equal, number for number, at full coupling, and what it is timed against.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus

from bayesgan.networks import NETWORKS
from bayesgan.sampler import SGHMC, RMSprop, exponential_then_constant
from bayesgan.training.algorithm import Losses, Trainer, labelled_batches, latent_draw

__all__ = ["ObviousTrainer"]


class ObviousTrainer:
    """Takes over a new `trainer`: its weights as modules of their own, and its random streams; burn-in only.

    Every pair makes its fakes anew, a discriminator scores its real images again for every generator, and a
    generator's backward pass runs through the discriminator's weights, as in the code people write.
    """

    def __init__(self, trainer: Trainer):
        options, data = trainer.options, trainer.data
        self.options, self.trainer = options, trainer
        sizes = options.sizes(data.shape, len(data.classes) if options.semi else 1)
        networks = NETWORKS[options.network_for(data)]
        self.networks: dict[str, list[nn.Module]] = {}
        self.samplers: dict[str, list[SGHMC]] = {}
        self.scales = {}
        for role, network, ensemble in zip(("generator", "discriminator"), networks,
                                           (trainer.generators, trainer.discriminators)):
            self.scales[role] = ensemble.scales
            self.networks[role] = []
            for member in range(ensemble.members):
                module = network(sizes).to(trainer.device, ensemble.dtype)
                module.load_state_dict({name: tensor[member] for name, tensor in ensemble.state().items()})
                self.networks[role].append(module)
            self.samplers[role] = [
                SGHMC.from_sgd(module.parameters(), lr=exponential_then_constant(options.lr, options.lr_decay, options.burn_in),
                               momentum=1 - options.friction, num_data=trainer.counts[role], temperature=0.0,
                               preconditioner=RMSprop(floor=options.floor))
                for module in self.networks[role]
            ]
        trainer.generators = trainer.discriminators = None
        trainer.samplers.clear()

    def step(self) -> Losses:
        """One iteration of Algorithm 1, on the draws that `Trainer.step` makes; the same mean losses."""
        options, trainer = self.options, self.trainer
        latent = latent_draw(options.generators, options.gen_batch, options.z_dim, trainer.random("latent")).to(trainer.dtype)
        real = trainer.real_batches()  # (K, B, ...)
        if options.semi:
            labelled, labels = labelled_batches(options, trainer.data, trainer.labelled, len(real), trainer.random("labelled"))
        generators, discriminators = self.networks["generator"], self.networks["discriminator"]
        d_losses, g_losses = [], []
        for k, discriminator in enumerate(discriminators):
            self.samplers["discriminator"][k].zero_grad()
            total = 0.0
            for generator, z in zip(generators, latent):
                with torch.no_grad():
                    fakes = generator(z)
                loss = softplus(-score(discriminator, real[k])).mean() + softplus(score(discriminator, fakes)).mean()
                if options.semi:
                    logits = discriminator(labelled[k].to(trainer.dtype))[0]
                    logits = torch.cat([torch.zeros_like(logits[:, :1]), logits], 1)  # class 0: generated
                    loss = loss + trainer.label_weight * cross_entropy(logits, labels[k] + 1)
                (loss / len(generators)).backward()
                total += loss.detach() / len(generators)
            self.move("discriminator", k)
            d_losses.append(total)
        for i, (generator, z) in enumerate(zip(generators, latent)):
            self.samplers["generator"][i].zero_grad()
            total = 0.0
            for discriminator in discriminators:
                loss = softplus(-score(discriminator, generator(z))).mean()
                (loss / len(discriminators)).backward()
                total += loss.detach() / len(discriminators)
            self.move("generator", i)
            g_losses.append(total)
        trainer.iteration += 1
        return Losses(torch.stack(d_losses), torch.stack(g_losses))

    def move(self, role: str, member: int) -> None:
        """The prior's share of the gradient, and one SGHMC step of one network."""
        for name, parameter in self.networks[role][member].named_parameters():
            scale = self.options.prior_std * self.scales[role][name]
            if not self.options.ml:
                parameter.grad += parameter.detach() / scale**2 / self.trainer.counts[role]
        self.samplers[role][member].step()


def score(discriminator: nn.Module, images: Tensor) -> Tensor:
    """Log odds of being real: one logit, or the sum over classes against a fixed 0."""
    return discriminator(images)[0].logsumexp(1)
