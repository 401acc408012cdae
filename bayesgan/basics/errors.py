"""How a run ends early: input that breaks a rule, or a chain that left the finite numbers."""

__all__ = ["Diverged", "InputError", "reason"]


class InputError(ValueError):
    """Bad input: one line with the rule, the value and the remedy. The command line prints it and exits with 2."""


class Diverged(RuntimeError):
    """A loss or gradient became non-finite: names the member and the step. The command line exits with 3."""


def reason(error: BaseException) -> str:
    """What somebody else's error says, as the part of one line that it is to become."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
