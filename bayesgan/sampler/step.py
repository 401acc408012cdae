"""One update of stochastic-gradient Hamiltonian Monte Carlo, a function of its arguments alone.

Source: Chen, Fox, Guestrin 2014 (arXiv:1402.4102), eq. 15; Saatchi & Wilson 2017, Algorithm 1. Next: sghmc.py, the
optimiser that applies it, and moments.py for the law this chain keeps.
"""

import math

import torch

__all__ = ["SCHEMES", "noise_variance", "sghmc_step"]

# word: what it does
SCHEMES = {
    "symplectic": "gradient and friction, then position: Var θ is off by O(eta), stable while eta·k < 4 - 2 alpha",
    "baoa": "gradient, half drift, friction, half drift: Var θ is exact on Gaussians for every stable eta",
}


def sghmc_step(
    position: torch.Tensor,
    momentum: torch.Tensor,
    gradient: torch.Tensor,
    noise: torch.Tensor | None,
    *,
    eta: float,
    alpha: float,
    temperature: float = 1.0,
    beta_hat: float = 0.0,
    gradient_scale: float = 1.0,
    preconditioner: torch.Tensor | None = None,
    root: torch.Tensor | None = None,
    scheme: str = "symplectic",
    rescale: float = 1.0,
) -> None:
    """One update of `position` and `momentum`, in place; a function of its arguments alone.

    With g = gradient_scale · gradient = ∇U(θ) on the sum scale and C the preconditioner (1 without one):

        symplectic:  v ← (1-alpha) v - eta C g + sqrt(2 eta C (alpha T - beta_hat)) ξ;   θ ← θ + v
        baoa:        v ← v - eta C g;   θ ← θ + v/2;
                     v ← (1-alpha) v + sqrt(eta C (T alpha (2-alpha) - beta_hat (2-alpha)²/2)) ξ;   θ ← θ + v/2

    The baoa variance is such that θ, not v, keeps its law (with beta_hat > 0 to leading order in eta times the
    curvature): gradient noise also enters the first half drift.

    Args:
        position: θ, any shape, overwritten.
        momentum: v, the displacement of the last step, same shape, overwritten.
        gradient: Of U, divided by gradient_scale, same shape.
        noise: ξ, standard normal, same shape; None where the noise variance is 0.
        preconditioner: C > 0, same shape, constant while samples are collected.
        root: sqrt(C), where it is known already.
        rescale: sqrt(eta/eta that v was made with), by which v, a displacement of variance ~ eta T, is first
            multiplied.

    The chain's stationary density is exp(-U(θ)/T) up to the discretisation that `stationary_moments` states.
    """
    if root is None and noise is not None and preconditioner is not None:
        root = preconditioner.sqrt()
    deviation = math.sqrt(noise_variance(eta, alpha, temperature, beta_hat, scheme)) if noise is not None else 0.0
    if scheme == "symplectic":
        momentum.mul_((1 - alpha) * rescale)
        _kick(momentum, gradient, -eta * gradient_scale, preconditioner)
        if noise is not None:
            _kick(momentum, noise, deviation, root)
        position.add_(momentum)
    else:
        if rescale != 1:
            momentum.mul_(rescale)
        _kick(momentum, gradient, -eta * gradient_scale, preconditioner)
        position.add_(momentum, alpha=0.5)
        momentum.mul_(1 - alpha)
        if noise is not None:
            _kick(momentum, noise, deviation, root)
        position.add_(momentum, alpha=0.5)


def _kick(momentum: torch.Tensor, force: torch.Tensor, factor: float, metric: torch.Tensor | None) -> None:
    """momentum += factor · metric · force, in one pass."""
    if metric is None:
        momentum.add_(force, alpha=factor)
    else:
        momentum.addcmul_(force, metric, value=factor)


def noise_variance(eta: float, alpha: float, temperature: float, beta_hat: float, scheme: str) -> float:
    """Variance of the injected noise per step and weight, before the preconditioner."""
    if scheme == "symplectic":
        return 2 * eta * (alpha * temperature - beta_hat)
    return eta * (temperature * alpha * (2 - alpha) - beta_hat * (2 - alpha) ** 2 / 2)
