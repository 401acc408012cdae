"""Slow, obvious versions of what the package does fast."""

import torch
from torch.func import functional_call
from torch.nn.functional import logsigmoid


def log_real(logit):
    """log D."""
    return logsigmoid(logit)


def log_fake(logit):
    """log (1 - D)."""
    return logsigmoid(-logit)


def member(ensemble, index):
    """One member's weights and statistics."""
    return {name: tensor[index] for name, tensor in ensemble.state().items()}


def pair_losses(trainer, real, fakes):
    """Algorithm 1 with a plain loop over every (generator, discriminator) pair.

    Args:
        real: (K, B, ...).
        fakes: (I, B_g, ...), as generated in this iteration.

    Returns:
        Mean losses (K,) of the discriminators and (I,) of the generators, before anything moves.
    """
    network = trainer.discriminators.network.eval()
    d_losses, g_losses = torch.zeros(len(real)).to(real), torch.zeros(len(fakes)).to(real)
    for k in range(len(real)):
        weights = member(trainer.discriminators, k)
        d_losses[k] -= log_real(functional_call(network, weights, real[k])[0][:, 0]).mean()
        for i in range(len(fakes)):
            logits = functional_call(network, weights, fakes[i])[0][:, 0]
            d_losses[k] -= log_fake(logits).mean() / len(fakes)
            g_losses[i] -= log_real(logits).mean() / len(real)
    return d_losses, g_losses
