"""Are the draws of a run different from each other? ESS and R-hat of what its networks compute, not of weights."""


import numpy as np
import torch

from bayesgan.basics.errors import InputError
from bayesgan.basics.files import write_json
from bayesgan.basics.randomness import keyed_generator
from bayesgan.basics.schema import Number, Optional, checked, read_json
from bayesgan.data import Dataset, some, to_float
from bayesgan.ensemble import Ensemble
from bayesgan.objectives import real_score
from bayesgan.options import GROUPS
from bayesgan.sampler.diagnostics import LEAST_FOR_ESS, converge
from bayesgan.store import Posterior, RunFolder

__all__ = ["keep_mixing", "kept_mixing", "mixing", "mixing_words", "traces"]

MIXING = {"networks": Number(int, 1), "ess": Number(float)}
OUTPUTS = 64  # functions that are followed over the draws


def mixing(followed: dict[str, torch.Tensor]) -> dict[str, dict[str, float]]:
    """Effective sample size and R-hat (Vehtari et al. 2021) of functions of the weights, members being the chains.

    Of discriminators: the log odds of 64 test data (training data where there are none). Of generators: 64 samples at
    fixed noise, each projected on a random direction.

    Args:
        followed: As `traces` gives it.

    Returns:
        "generators" and "discriminators" -> networks (draws x members), ess (the median over the
        64), rhat (the median), rhat_max; these None where nothing ever changes.
    """
    found = {}
    for group, values in followed.items():
        convergence = converge(values.double().numpy())  # (members, draws, 64)
        networks = values.shape[0] * values.shape[1]
        if np.isnan(convergence.rhat).all():  # nothing ever changes
            found[group] = {"networks": networks, "ess": 1.0, "rhat": None, "rhat_max": None}
            continue
        found[group] = {
            "networks": networks,
            "ess": float(np.nanmedian(convergence.ess)),
            "rhat": float(np.nanmedian(convergence.rhat)),
            "rhat_max": float(np.nanmax(convergence.rhat)),
        }
    return found


def keep_mixing(folder: RunFolder, found: dict[str, dict[str, float]]) -> None:
    """Writes what `mixing` found of the draws there are to posterior/mixing.json."""
    write_json(folder.path / "posterior" / "mixing.json", {**found, "newest_draw": folder.newest_step})


def kept_mixing(folder: RunFolder) -> dict[str, dict[str, float]]:
    """What `keep_mixing` wrote; empty where that is absent, damaged or of older draws."""
    file = folder.path / "posterior" / "mixing.json"
    try:
        found = checked(read_json(file, ""), dict.fromkeys(GROUPS, Optional(MIXING)), str(file), "")
        if found.get("newest_draw", folder.newest_step) != folder.newest_step:
            return {}
        return {group: found[group] for group in GROUPS if found.get(group)}
    except InputError:
        return {}


@torch.no_grad()
def traces(posterior: Posterior, data: Dataset) -> dict[str, torch.Tensor]:
    """The functions that `mixing` follows, of each group (members, draws, 64); empty where there are too few draws."""
    if len(posterior.draws) < LEAST_FOR_ESS:
        return {}
    real = to_float(some(data.test if len(data.test) else data.train, OUTPUTS))
    source = keyed_generator(0, "mixing")
    latent = torch.randn(OUTPUTS, posterior.options.z_dim, generator=source)
    direction = torch.randn(OUTPUTS, int(np.prod(posterior.shape)), generator=source)

    def values(group: str, ensemble: Ensemble, member: int) -> torch.Tensor:
        if group == "discriminators":
            return real_score(ensemble.forward_member(member, real.to(ensemble.device))[0]).cpu()
        samples = ensemble.forward_member(member, latent.to(ensemble.device)).flatten(1).cpu()
        return (samples * direction.to(samples)).sum(1)

    return {group: torch.stack([torch.stack([values(group, ensemble, member) for member in range(ensemble.members)])
                                for ensemble in posterior.each(group)], 1)
            for group in GROUPS if getattr(posterior.options, group)}


def mixing_words(found: dict[str, dict[str, float]]) -> str:
    """One line for people."""
    return "; ".join(
        f"{values['networks']} {group} are worth {values['ess']:.0f} independent ones ("
        + ("they never change)" if values["rhat"] is None else f"R-hat {values['rhat']:.2f})")
        for group, values in found.items()
    )
