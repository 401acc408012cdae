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
    network = trainer.discriminators.ensemble.network.eval()
    d_losses, g_losses = torch.zeros(len(real)).to(real), torch.zeros(len(fakes)).to(real)
    for k in range(len(real)):
        weights = member(trainer.discriminators.ensemble, k)
        d_losses[k] -= log_real(functional_call(network, weights, real[k])[0][:, 0]).mean()
        for i in range(len(fakes)):
            logits = functional_call(network, weights, fakes[i])[0][:, 0]
            d_losses[k] -= log_fake(logits).mean() / len(fakes)
            g_losses[i] -= log_real(logits).mean() / len(real)
    return d_losses, g_losses


def metropolis_hastings_loop(log_w, challenges):
    """One chain at a time, one proposal at a time; challenges are the Exp(1) draws, -log of the acceptance uniforms."""
    picked = []
    for weights, exponentials in zip(log_w.tolist(), challenges.tolist()):
        state = 0
        for proposal in range(1, len(weights)):
            if weights[state] <= weights[proposal] + exponentials[proposal]:
                state = proposal
        picked.append(state)
    return torch.tensor(picked)


def independence_chain_law(q, w, steps):
    """Masses (G,) of a Metropolis-Hastings chain on G cells after `steps` proposals from q, started in q.

    A move x -> y has probability q(y) min(1, w(y)/w(x)); with cells in order of w both sums are running totals.
    """
    order = w.argsort()
    q, w = q[order], w[order]
    above = q.flip(0).cumsum(0).flip(0) - q  # mass of better proposals
    accept = (
        above + q + (torch.cat([torch.zeros(1).double(), (q * w).cumsum(0)[:-1]])) / w
    )  # of leaving x, itself included
    law = q.clone()
    for _ in range(steps):
        from_worse = law.cumsum(0)  # x no better than y: accepted for sure
        from_better = (law / w).flip(0).cumsum(0).flip(0) - law / w
        law = q * (from_worse + w * from_better) + law * (1 - accept)
    result = torch.empty_like(law)
    result[order] = law
    return result
