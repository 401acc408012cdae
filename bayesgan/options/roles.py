"""The two sides of the game: how they are called alone and together, and what computes each."""

from bayesgan.options.options import Options

__all__ = ["Engines", "GROUPS", "ROLES", "default_engines"]

ROLES = ("generator", "discriminator")  # key random streams, checkpoints and config.json
GROUPS = tuple(f"{role}s" for role in ROLES)  # name states in draws, checkpoints and weights_<iter>.npz, and figures
Engines = dict[str, tuple[str, bool]]  # role -> engine's name, whether it is compiled


def default_engines(options: Options) -> Engines:
    """Those asked for, "loop" where that is "auto"; not compiled."""
    name = "loop" if options.engine == "auto" else options.engine
    return dict.fromkeys(ROLES, (name, False))
