"""Many networks of one architecture as stacked weights: one tensor (members, ...) a layer. See engines.py next."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_map

from bayesgan.basics.errors import InputError
from bayesgan.ensemble.engines import Outputs, laid_out, make_engine, mark_static
from bayesgan.ensemble.scales import fan_in_scales, weights_of
from bayesgan.ensemble.stochastic import drawn_for, random_layers

__all__ = ["Ensemble"]


class Ensemble:
    """`members` copies of one network with weights and normalisation statistics of their own.

    Initial weights are He et al. 2015: N(0, 2/fan-in), biases 0.

    Args:
        build: Makes the network; called on the meta device, so its own initialisation is not run.
        members: How many; 0 of a process whose members are all elsewhere.
        generator: Member number -> the torch.Generator its initial weights are drawn from; None leaves them zero,
            for weights that are loaded.
        dtype: Of weights, statistics and outputs.
        engine: Name in `ENGINES`.
        compute: The type matrix products and convolutions are autocast to, for example torch.bfloat16; None is dtype.

    Attributes:
        parameters: Name -> (members, ...) leaf tensor that requires gradients.
        buffers: Name -> (members, ...), for example running means; updated by forward(train=True).
        scales: Name -> sqrt(2/fan-in) of each weight, 1 for biases.
    """

    def __init__(
        self,
        build: Callable[[], nn.Module],
        members: int,
        generator: Callable[[int], torch.Generator] | None = None,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        engine: str = "loop",
        compute: torch.dtype | None = None,
    ):
        with torch.device("meta"):
            self.network = build()
        self.random = bool(random_layers(self.network))
        self.constant = [part for part in self.network.modules() if getattr(part, "stays_in_eval", False)]
        self.members = members
        self.device, self.dtype, self.compute = torch.device(device), dtype, compute
        self.use(engine)
        self.scales, weights = fan_in_scales(self.network), weights_of(self.network)
        generators = [generator(member) for member in range(members)] if generator else []
        self.parameters = {}
        for name, parameter in self.network.named_parameters():
            values = torch.zeros(members, *parameter.shape)  # float32 for every dtype: all start alike
            if name in weights:
                for member, source in enumerate(generators):
                    values[member].normal_(0, self.scales[name], generator=source)
            self.parameters[name] = values.to(self.device, dtype).requires_grad_()
        self.buffers = {
            name: torch.full((members, *buffer.shape), name.endswith("running_var"), device=self.device,
                             dtype=dtype if buffer.is_floating_point() else buffer.dtype)
            for name, buffer in self.network.named_buffers()
        }

    def use(self, engine: str, compiled: bool = False) -> None:
        """Computes with this engine from now on (`make_engine`)."""
        self.engine, self.compiled = make_engine(engine, compiled, self.device), compiled

    def forward(
        self,
        inputs: Tensor,
        *,
        train: bool,
        freeze: bool = False,
        noise: Sequence[torch.Generator] | None = None,
        state: dict[str, Tensor] | None = None,
    ) -> Outputs:
        """All members on inputs of their own.

        Args:
            inputs: (members, B, ...), or (B, ...) expanded by the caller. Whole numbers reach the network as they are.
            train: Normalise with the batch's statistics and update the running ones; otherwise use the running
                ones, so that an output depends on its own input alone. Scores are always taken that way.
            freeze: Do not build gradients for the weights (for gradients with respect to the inputs).
            noise: What each member draws from, of networks that are random while training; see `Stochastic`.
            state: Weights and statistics to compute with, as `state()` gives them, instead of the ensemble's own.

        Returns:
            What the network returns, each tensor with a leading members axis.
        """
        if inputs.shape[0] != self.members:
            raise InputError(f"inputs must be (members, B, ...) with {self.members} members, got {tuple(inputs.shape)}")
        self.network.train(train)
        for part in self.constant:
            part.training = False
        if state is None:
            weights = {name: p.detach() for name, p in self.parameters.items()} if freeze else self.parameters
            state = {**weights, **self.buffers}
        if self.compiled:
            mark_static(state.values())
        if train and self.random and noise is not None:
            state = {**state, **drawn_for(self.network, inputs, noise, self.dtype)}
        fast = torch.backends.mha.get_fastpath_enabled()
        if train and self.constant:  # attention in eval mode would take one that has no derivative
            torch.backends.mha.set_fastpath_enabled(False)
        try:
            with torch.autocast(self.device.type, self.compute, enabled=self.compute is not None):
                outputs = self.engine(self.network, state, self._of_type(inputs))
        finally:
            if train and self.constant:
                torch.backends.mha.set_fastpath_enabled(fast)
        return outputs if self.compute is None else tree_map(lambda part: part.to(self.dtype), outputs)

    def state(self) -> dict[str, Tensor]:
        """Weights and statistics under one mapping, detached but not copied."""
        return {**{name: p.detach() for name, p in self.parameters.items()}, **self.buffers}

    @torch.no_grad()
    def load_state(self, state: dict[str, Tensor]) -> None:
        """Copies a `state()` in; names and shapes must match."""
        own = self.state()
        shapes = {name: tuple(t.shape) for name, t in state.items()}
        if shapes != {name: tuple(t.shape) for name, t in own.items()}:
            wrong = sorted(set(shapes.items()) ^ {(name, tuple(t.shape)) for name, t in own.items()})
            raise InputError(f"stored weights do not fit this ensemble; differing: {wrong[:4]}; use the run's options")
        for name, tensor in own.items():
            tensor.copy_(state[name])

    def weight_count(self) -> int:
        """Weights of one member."""
        return sum(map(self.size, self.parameters))

    def size(self, name: str) -> int:
        """Weights of one member's tensor."""
        return math.prod(self.parameters[name].shape[1:])

    def _of_type(self, inputs: Tensor) -> Tensor:
        """Inputs in the weights' type, unless they are whole numbers: of an embedding's rows, for example."""
        return inputs.to(self.dtype) if inputs.is_floating_point() else inputs

    def forward_member(self, member: int, inputs: Tensor) -> Outputs:
        """One member on inputs (B, ...), with its running statistics; gradients reach the inputs, not the weights."""
        self.network.eval()
        weights = {name: t[member] for name, t in self.state().items()}
        return functional_call(self.network, weights, laid_out(self.network, self._of_type(inputs)))
