"""How a run ends early: input that breaks a rule, or a chain that left the finite numbers."""

__all__ = ["InputError", "Diverged"]


class InputError(ValueError):
    """Bad input: one line with the rule, the value and the remedy. The command line prints it and exits with 2."""


class Diverged(RuntimeError):
    """A loss or gradient became non-finite: names the member and the step. The command line exits with 3."""
