"""Libraries that take a second to import, imported when they are first used: most runs need few of them."""

from collections.abc import Callable
from importlib import import_module

__all__ = ["later"]


def later(module: str, name: str) -> Callable:
    """A function or class of a module, for calling only; the module is imported at the first call."""
    def call(*arguments, **keywords):
        return getattr(import_module(module), name)(*arguments, **keywords)

    return call
