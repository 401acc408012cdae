"""Exact stationary second moments of the discrete chain on a quadratic potential, to test the sampler against."""

from typing import NamedTuple

from bayesgan.basics.errors import InputError

__all__ = ["StationaryMoments", "stationary_moments"]


class StationaryMoments(NamedTuple):
    """Second moments of position θ and momentum v; all means are zero."""

    var_theta: float
    cov: float
    var_v: float


def stationary_moments(
    alpha: float, eta: float, curvature: float, temperature: float = 1.0, scheme: str = "symplectic"
) -> StationaryMoments:
    """Second moments that the chain of `sghmc_step` keeps exactly on U(θ) = curvature · θ² / 2.

    The target is Var θ = temperature / curvature. "symplectic" overshoots it by the factor
    2(2-alpha) / (4-2alpha-eta·curvature), which tends to 1 with eta; "baoa" meets it for every stable eta.

    Raises:
        ValueError: If eta · curvature is not in (0, 4 - 2 alpha) ("symplectic") or (0, 4) ("baoa"):
            the chain is unstable there and has no stationary law.
    """
    if not 0 < alpha <= 1:
        raise InputError(f"alpha must be in (0, 1], got {alpha}; it is 1 - momentum")
    stiffness = eta * curvature
    bound = {"symplectic": 4 - 2 * alpha, "baoa": 4.0}.get(scheme)
    if bound is None:
        raise InputError(f"unknown scheme {scheme!r}; choose one of: symplectic, baoa")
    if not 0 < stiffness < bound:
        raise InputError(f"eta * curvature must be in (0, {bound:g}), got {stiffness:g}; lower eta")
    if scheme == "baoa":
        return StationaryMoments(temperature / curvature, eta * temperature / 2, eta * temperature)
    margin = 4 - 2 * alpha - stiffness
    return StationaryMoments(
        var_theta=temperature / curvature * 2 * (2 - alpha) / margin,
        cov=2 * eta * temperature / margin,
        var_v=4 * eta * temperature / margin,
    )
