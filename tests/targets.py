"""Distributions with known answers, shared by the sampler's tests."""

import itertools

import torch

from bayesgan.sampler import SGHMC, stationary_moments

COORDINATES = 65_536
STEPS = 200
# (alpha, eta, curvature, temperature)
GRID = list(itertools.product((0.05, 0.3, 1.0), (0.05, 0.5), (0.3, 2.0), (0.1, 1.0, 4.0)))


def law_z_scores(alpha, eta, curvature, temperature, scheme="symplectic", expected=None, steps=STEPS, seed=None,
                 gradient_noise=0.0, preconditioner=None, **options):
    """z-scores of (Var θ, Cov, Var v) after `steps` steps from the expected law on U = curvature θ²/2.

    The coordinates are independent, so the sample moments have Gaussian errors of known size.
    `preconditioner` C turns eta into eta·C in the law.
    """
    source = torch.Generator()
    source.seed() if seed is None else source.manual_seed(seed)
    step = eta * (preconditioner or 1.0)
    law = expected or stationary_moments(alpha, step, curvature, temperature, scheme)
    matrix = torch.tensor([[law.var_theta, law.cov], [law.cov, law.var_v]], dtype=torch.float64)
    start = torch.randn(COORDINATES, 2, generator=source, dtype=torch.float64) @ torch.linalg.cholesky(matrix).T
    theta = start[:, 0].clone().requires_grad_()
    fixed = [torch.full_like(theta, preconditioner)] if preconditioner else None
    chain = SGHMC([theta], eta, alpha, temperature=temperature, scheme=scheme, preconditioner=fixed,
                  generator=source, **options)
    chain.state[theta]["momentum"] = start[:, 1].clone()
    for _ in range(steps):
        theta.grad = curvature * theta.detach()
        if gradient_noise:
            theta.grad += gradient_noise**0.5 * torch.randn(COORDINATES, generator=source, dtype=torch.float64)
        chain.step()
    position, velocity = theta.detach(), chain.state[theta]["momentum"]
    return moment_z_scores(position, velocity, law)


def moment_z_scores(position, velocity, law):
    """(mean of the product - expected) / its standard error, for the three second moments."""
    n = len(position)
    return [
        ((position**2).mean().item() - law.var_theta) / (law.var_theta * (2 / n) ** 0.5),
        ((position * velocity).mean().item() - law.cov)
        / ((law.var_theta * law.var_v + law.cov**2) / n) ** 0.5,
        ((velocity**2).mean().item() - law.var_v) / (law.var_v * (2 / n) ** 0.5),
    ]
