"""How a run ends early: input that breaks a rule, or a chain that left the finite numbers."""

__all__ = ["InputError", "NonFiniteGradient", "Diverged"]


class InputError(ValueError):
    """Bad input: one line with the rule, the value and the remedy. The command line prints it and exits with 2."""


class NonFiniteGradient(InputError):
    """A sampler was handed a gradient with NaN or infinity, and moved nothing.

    Args:
        message: The one line.
        where: Boolean mask of the bad entries, of the parameter's shape.
    """

    def __init__(self, message: str, where):
        super().__init__(message)
        self.where = where


class Diverged(RuntimeError):
    """A loss or gradient became non-finite: names the member and the step. The command line prints it and exits with 3."""
