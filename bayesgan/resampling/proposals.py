"""What is resampled: somebody's generator as a callable, or a latent space with members that can be walked in."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bayesgan.basics.arrays import data_of
from bayesgan.basics.errors import InputError, reason, refuse_no_function

__all__ = ["CallableProposal", "Codes", "LatentProposal"]


@dataclass
class Codes:
    """Proposals before they are made into data.

    Attributes:
        values: (n, ...): latents (n, Z), or the data itself where a generator is only a callable.
        members: (n,) int64, which generator; None where there is one.
    """

    values: Tensor
    members: Tensor | None = None

    def rows(self, index: Tensor | slice) -> "Codes":
        return Codes(self.values[index], None if self.members is None else self.members[index])


class CallableProposal:
    """generate(n, generator) -> data (n, ...); nothing else is known of it."""

    def __init__(self, generate: Callable[[int, torch.Generator], Tensor]):
        refuse_no_function(generate, "generate", "generate(n, generator) -> data (n, ...)")
        self.generate = generate

    @torch.no_grad()
    def draw(self, n: int, generator: torch.Generator) -> Codes:
        try:
            made = self.generate(n, generator)
        except TypeError as error:
            raise InputError(f"generate({n}, generator) failed ({reason(error)}); look there, or let it take a "
                             "number of data and a torch.Generator") from error
        data = data_of(made, "generated data", "look at the generator's weights")
        if data.dim() == 1 and len(data) == n:
            raise InputError(f"generated data must be ({n}, ...), a row a datum, got ({n},); add an axis with "
                             "[:, None]")
        if data.dim() == 0 or len(data) != n:
            raise InputError(f"generate({n}, generator) must return {n} data, got {tuple(data.shape)}; make as many as "
                             "it is asked for")
        return Codes(data)

    def decode(self, codes: Codes) -> Tensor:
        return codes.values


class LatentProposal:
    """z ~ N(0, I) through one of several generators, drawn with given weights.

    Args:
        decoder: decoder(member, z (n, Z)) -> data (n, ...), differentiable in z.
        size: Z.
        weights: (members,) positive; a member is never left out.
        device: Where data is made.

    Raises:
        ValueError: If a weight is not positive.
    """

    def __init__(self, decoder: Callable[[int, Tensor], Tensor], size: int, weights: Tensor,
                 device: torch.device | str = "cpu"):
        refuse_no_function(decoder, "decoder", "decoder(member, z (n, Z)) -> data (n, ...)")
        weights = torch.as_tensor(weights)
        if weights.dim() != 1 or not len(weights) or not ((weights > 0) & weights.isfinite()).all():
            raise InputError(f"the weight of every generator must be a positive number, got {weights.tolist()}; leave "
                             "one out by not giving it")
        self.decoder, self.size, self.device = decoder, size, torch.device(device)
        self.weights = (weights / weights.sum()).double()

    def draw(self, n: int, generator: torch.Generator) -> Codes:
        """Drawn where `generator` lives, so that all devices propose the same."""
        members = torch.multinomial(self.weights.to(generator.device), n, replacement=True, generator=generator)
        latent = torch.randn(n, self.size, generator=generator, device=generator.device)
        return Codes(latent.to(self.device), members.to(self.device))

    def decode(self, codes: Codes) -> Tensor:
        """Data (n, ...), each from its own member; gradients reach codes.values."""
        order = codes.members.argsort()
        counts = codes.members.bincount(minlength=len(self.weights)).tolist()
        parts = codes.values[order].split(counts)
        data = torch.cat([self._made(member, part) for member, part in enumerate(parts) if len(part)])
        return data[order.argsort()]

    def _made(self, member: int, latent: Tensor) -> Tensor:
        called = f"decoder({member}, z {tuple(latent.shape)})"
        try:
            data = self.decoder(member, latent)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, TypeError) as error:
            raise InputError(f"{called} failed ({reason(error)}); look there, and at the size of z, {self.size}") from (
                error)
        if not torch.is_tensor(data) or data.dim() == 0 or len(data) != len(latent):
            what = tuple(data.shape) if torch.is_tensor(data) else f"a {type(data).__name__}"
            raise InputError(f"{called} must return a tensor with a row a datum, got {what}")
        return data
