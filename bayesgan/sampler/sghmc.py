"""SGHMC as a torch optimiser. The update itself is in step.py, step sizes that change in schedules.py."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch

from bayesgan.basics.errors import InputError
from bayesgan.basics.optimizers import Optimizer
from bayesgan.sampler.checks import check_finite, check_given, check_moved, check_state
from bayesgan.sampler.groups import LAW, SETTINGS, Group, Scheduled, check_keys, group_values
from bayesgan.sampler.noise import NoiseBuffer
from bayesgan.sampler.preconditioners import RMSprop, Roots
from bayesgan.sampler.schedules import Divided
from bayesgan.sampler.step import SCHEMES, noise_variance, sghmc_step

__all__ = ["SGHMC"]

COARSE = (torch.bfloat16, torch.float16)  # a chain's steps vanish in their rounding


class SGHMC(Optimizer):
    """SGHMC as a torch optimiser: call `loss.backward()` and `step()`, and the weights become a Markov chain.

    The gradients must be those of U = -log prior - sum over all data of log-likelihood (the SUM scale: a minibatch
    term is multiplied by N/n). For gradients of a mean loss use `from_sgd`. Update and target: `sghmc_step`.

    Args:
        params: Parameters or parameter groups, as for every torch optimiser. Real floating point; the chain of bfloat16
            and float16 ones runs on float32 copies. Those that require no gradient stay as they are.
        eta: Step size on the sum-scale gradient, > 0; a number or a function of the step number (0, 1, ...).
        alpha: Friction in (0, 1], 1 - momentum.
        temperature: T >= 0, the target is exp(-U/T); a number or a function of the step number. 0 injects no
            noise: SGD with momentum.
        beta_hat: Estimate eta/2 · V of the gradient noise's own contribution, V its variance per weight (C · V with a
            preconditioner C).
        preconditioner: None; "rmsprop" or an `RMSprop`, adapted at every step until `freeze_preconditioner()`; or
            a list of positive tensors, one a parameter, used as they are.
        scheme: "symplectic" or "baoa".
        generator: Source of the noise, on the parameters' device. Without one, a generator of its own is seeded by
            the operating system. Its state is part of `state_dict()`. Or a function of the step number that gives one
            for each of the leading axis, where chains are stacked: then a chain's noise depends on no other chain.
        check_gradients: Refuse a non-finite gradient before it moves anything. On a GPU, where each check waits for
            all work before it, only every `check_every` = 20 steps: then weights may have become non-finite, and stay
            so until the check finds it. Without it, look at the weights from time to time.

    Raises:
        ValueError: At construction and by `add_param_group` for values outside these ranges or settings of other
            optimisers; at `step()` for a missing or non-finite gradient (naming the parameter), alpha·T < beta_hat,
            T > 0 while the preconditioner still adapts, or a step that is lost in the weights' rounding.
    """

    def __init__(
        self,
        params: Iterable,
        eta: Scheduled | None = None,
        alpha: float = 0.1,
        *,
        temperature: Scheduled = 1.0,
        beta_hat: float = 0.0,
        preconditioner: str | RMSprop | list[torch.Tensor] | None = None,
        scheme: str = "symplectic",
        generator: torch.Generator | Callable[[int], Sequence[torch.Generator]] | None = None,
        gradient_scale: float = 1.0,
        check_gradients: bool = True,
        **others,
    ):
        check_keys(others)
        if eta is None:
            raise InputError("eta, the step size, is missing; SGHMC.from_sgd takes SGD's lr and momentum")
        if preconditioner == "rmsprop":
            preconditioner = RMSprop()
        elif not (preconditioner is None or isinstance(preconditioner, (RMSprop, list, tuple))):
            raise InputError(f"unknown preconditioner {preconditioner!r}; choose rmsprop, None or a list of tensors")
        if scheme not in SCHEMES:
            raise InputError(f"unknown scheme {scheme!r}; choose one of: {', '.join(SCHEMES)}")
        if not gradient_scale > 0:
            raise InputError(f"num_data must be positive, got {gradient_scale}; it is the size of the data set")
        fixed = list(preconditioner) if isinstance(preconditioner, (list, tuple)) else None
        self.rule = None if fixed else preconditioner
        self.scheme, self.check_gradients = scheme, check_gradients
        self.frozen = False
        self.steps = 0
        self._fixed = False
        defaults = dict(
            eta=eta, alpha=alpha, temperature=temperature, beta_hat=beta_hat, gradient_scale=gradient_scale
        )
        super().__init__(params, defaults)
        self._forget()
        if fixed is not None:
            self._fix_preconditioner(fixed)
            self._fixed = True
        device = next(self._all_parameters()).device
        self.check_every = 1 if device.type == "cpu" else 20
        if generator is None:
            generator = torch.Generator(device)
            generator.seed()
        self.generator = generator

    @classmethod
    def from_sgd(cls, params: Iterable, lr: float, momentum: float, num_data: int, **options) -> "SGHMC":
        """For gradients of the MEAN loss over num_data points: the settings of torch.optim.SGD(lr, momentum).

        alpha = 1 - momentum and eta = lr / num_data, so at temperature 0 and a constant lr every step equals SGD's.
        `lr` may be a function of the step: where it changes the momentum keeps its law, and not SGD's size. With
        "rmsprop" the floor is in units of the mean gradient.
        """
        if num_data is None or not num_data > 0:
            raise InputError(f"num_data must be positive, got {num_data}; it is the size of the data set")
        eta = Divided(lr, num_data) if callable(lr) else lr / num_data
        return cls(params, eta, 1 - momentum, gradient_scale=num_data, **options)

    @classmethod
    def from_chen(
        cls, params: Iterable, eps: float, C: float, M: float = 1.0, B_hat: float = 0.0, **options
    ) -> "SGHMC":
        """The parameters of Chen, Fox, Guestrin 2014, eq. 13: step eps, friction C, mass M, gradient noise B_hat.

        alpha = eps C / M, eta = eps² / M, beta_hat = eps B_hat / M (their eq. 15); the momentum here is eps/M
        times theirs.
        """
        if not M > 0:
            raise InputError(f"M must be positive, got {M}; it is a mass")
        return cls(params, eps**2 / M, eps * C / M, beta_hat=eps * B_hat / M, **options)

    def freeze_preconditioner(self) -> None:
        """Ends the adaptation: from here on the chain has a stationary law, and temperature may be positive.

        Raises:
            ValueError: If nothing was adapted yet.
        """
        if self.rule is None or self.frozen:
            return
        if self.steps == 0:
            raise InputError("the preconditioner has seen no gradient; take steps at temperature 0 before freezing it")
        for parameter in self._moving_parameters():
            if "updates" not in self.state[parameter]:
                raise InputError(f"{self._name(parameter)} has seen no gradient to adapt its preconditioner to; take "
                                 "steps at temperature 0 with it before freezing")
        for parameter in self._moving_parameters():
            self.rule.freeze(self.state[parameter])
        self.frozen = True

    @torch.no_grad()
    def step(self, closure: Callable | None = None):
        """One update of all parameters; returns the closure's loss if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        moving = list(self._moving_parameters())
        sources = self.generator(self.steps) if callable(self.generator) else [self.generator]
        check_given(moving, self._name)
        if self._checks():
            check_finite(moving, self._name, self.steps, self.check_every == 1)
        for group in self.param_groups:
            values = self.values(group, self.steps)
            if self.rule is not None and not self.frozen and values["temperature"] > 0:
                raise InputError(
                    f"temperature must be 0 while the preconditioner adapts, got {values['temperature']:g}; "
                    "call freeze_preconditioner() when burn-in ends"
                )
            for parameter in filter(wants_gradient, group["params"]):
                self._move(parameter, values, sources)
        self.steps += 1
        return loss

    def _move(self, parameter: torch.Tensor, values: dict, sources: Sequence[torch.Generator]) -> None:
        """The update of one parameter."""
        state = self.state[parameter]
        own = of_parameter(values, state)
        position, gradient = self._position(parameter, state), parameter.grad
        if position is not parameter:
            gradient = gradient.float()
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(position)
        noise = None
        if noise_variance(**{key: own[key] for key in LAW}, scheme=self.scheme) > 0:
            noise = self._noise.draw(position, sources)
        if "held" in state:
            gradient = gradient.masked_fill(state["held"], 0)
            noise = noise if noise is None else noise.masked_fill_(state["held"], 0)
        if self.rule is not None and not self.frozen:
            self.rule.update(state, gradient)
        elif self.rule is not None and "preconditioner" not in state:
            raise InputError(f"{self._name(parameter)} was frozen while the preconditioner adapted and has none; "
                             "freeze it again, or begin anew")
        doubtful = noise is not None and parameter not in self._proven and self._checks()
        before = position.clone() if doubtful else None
        sghmc_step(
            position,
            state["momentum"],
            gradient,
            noise,
            scheme=self.scheme,
            preconditioner=state.get("preconditioner"),
            root=None if noise is None else self._roots.of(parameter, state.get("preconditioner")),
            rescale=math.sqrt(own["eta"] / state.get("eta", own["eta"])),
            **own,
        )
        state["eta"] = float(own["eta"])  # that this momentum was made with
        if doubtful:
            self._proven.add(parameter)
            check_moved(self._name(parameter), state["momentum"], position, before)
        if position is not parameter:
            parameter.copy_(position)
            self._versions[parameter] = parameter._version

    @torch.no_grad()
    def correct(self, parameter: torch.Tensor, beta_hat: float, alpha: float, eta_scale: float) -> None:
        """From here on this parameter has a beta_hat and a friction of its own, and eta_scale times the step size.

        While alpha T is less than beta_hat, as in a ramp, nothing is injected. Part of `state_dict()`.
        """
        self.state[parameter]["own"] = {"beta_hat": float(beta_hat), "alpha": float(alpha),
                                        "eta_scale": float(eta_scale)}

    @torch.no_grad()
    def hold(self, parameter: torch.Tensor, mask: torch.Tensor) -> None:
        """From here on the entries of this parameter where `mask` is True stay as they are: rows of padding.

        Args:
            mask: Truth values, of the parameter's shape or one that broadcasts to it. Part of `state_dict()`.

        Raises:
            ValueError: If it is no such mask, or the parameter is not one of this chain.
        """
        if not any(parameter is own for own in self._all_parameters()):
            raise InputError("hold takes a parameter of this SGHMC, got another tensor; give it at construction")
        try:
            held = mask.expand_as(parameter).to(parameter.device)
        except RuntimeError:
            held = None
        if held is None or mask.dtype != torch.bool:
            raise InputError(f"mask must be truth values that broadcast to {tuple(parameter.shape)}, got {mask.dtype} "
                             f"of {tuple(mask.shape)}; for rows give rows[:, None]")
        state = self.state[parameter]
        state["held"] = held
        if "momentum" in state:
            state["momentum"].masked_fill_(held, 0)

    def add_param_group(self, param_group: dict) -> None:
        """As of every torch optimiser, under the checks of the constructor."""
        if self._fixed or self.frozen:
            why = "a list of one tensor a parameter" if self._fixed else "frozen"
            raise InputError(f"no parameters may join: the preconditioner is {why}; give all at construction")
        check_keys(param_group)
        super().add_param_group(param_group)
        self.param_groups[-1] = group = Group(self.param_groups[-1])
        try:
            for parameter in group["params"]:
                if not parameter.is_floating_point():
                    raise InputError(
                        f"{self._name(parameter)} is {parameter.dtype}; SGHMC moves real floating-point ones"
                    )
            self.values(group, self.steps)
        except InputError:
            self.param_groups.pop()
            raise

    def values_of(self, group: dict, parameter: torch.Tensor, step: int) -> dict:
        """As `values`, with what `correct` gave this parameter."""
        return of_parameter(self.values(group, step), self.state[parameter])

    def values(self, group: dict, step: int) -> dict:
        """The numbers a parameter group runs with at a step, functions evaluated; raises as the class says."""
        return group_values(group, step, self.scheme)

    def state_dict(self) -> dict:
        """Everything the next step needs, functions of the step excepted: tensors and numbers only."""
        content = super().state_dict()
        for group in content["param_groups"]:
            for key, value in group.items():
                if key in SETTINGS:  # numpy's numbers could not be loaded from a file
                    group[key] = None if callable(value) else float(value)
        content["sghmc"] = {"scheme": self.scheme, "steps": self.steps, "frozen": self.frozen}
        if not callable(self.generator):
            content["sghmc"]["generator"] = self.generator.get_state()
        return content

    def load_state_dict(self, state_dict: dict) -> None:
        """Continues where `state_dict()` was taken; functions of the step stay those given at construction.

        Raises:
            ValueError: If it is that of another optimiser or of other parameters, or damaged; nothing has changed then.
        """
        if "sghmc" not in state_dict:
            groups = state_dict.get("param_groups") or [{}]
            raise InputError(f"this state_dict is of another optimiser, its settings are {', '.join(groups[0])}; SGHMC "
                             "goes on from a state_dict() of its own")
        own = [{key: group[key] for key in ("eta", "temperature")} for group in self.param_groups]
        extra = state_dict["sghmc"]
        check_state(state_dict, list(self._all_parameters()))
        if extra.get("scheme", self.scheme) != self.scheme:  # older states do not say
            raise InputError(f"this state_dict is of scheme {extra['scheme']!r} and this SGHMC of {self.scheme!r}, "
                             "whose momentum means something else; construct it with the same")
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "sghmc"})
        for group, values in zip(self.param_groups, own):
            group.update({key: value for key, value in values.items() if callable(value) or group[key] is None})
        for number, parameter in enumerate(self._all_parameters()):
            for name, value in state_dict["state"].get(number, {}).items():
                if torch.is_tensor(value) and value.dtype != parameter.dtype:  # torch has cast it
                    self.state[parameter][name] = value.to(parameter.device, copy=True)
        self.steps, self.frozen = extra["steps"], extra["frozen"]
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state.get(parameter, {})
                if "momentum" in state and self.steps:  # older ones do not say what made it
                    state.setdefault("eta", self.values_of(group, parameter, self.steps - 1)["eta"])
        self._forget()
        if not callable(self.generator):
            self.generator.set_state(extra["generator"].cpu())

    def __getstate__(self) -> dict:
        names = ("rule", "scheme", "check_gradients", "check_every", "frozen", "steps", "generator", "_fixed")
        return {**super().__getstate__(), **{name: getattr(self, name) for name in names}}

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)  # also called by load_state_dict, with plain groups
        self.param_groups = [Group(group) for group in self.param_groups]
        self._forget()

    def _forget(self) -> None:
        """Empties what is only kept to save time."""
        self._noise, self._roots = NoiseBuffer(), Roots()
        self._versions: dict[torch.Tensor, int] = {}  # of coarse parameters, when the chain wrote them last
        self._proven: set[torch.Tensor] = set()  # parameters that have been seen moving by noise

    def _all_parameters(self) -> Iterator[torch.Tensor]:
        return (parameter for group in self.param_groups for parameter in group["params"])

    def _moving_parameters(self) -> Iterator[torch.Tensor]:
        return filter(wants_gradient, self._all_parameters())

    def _name(self, wanted: torch.Tensor) -> str:
        """The name given with named parameters, else the position."""
        names = [name for group in self.param_groups
                 for name in group.get("param_names") or [None] * len(group["params"])]
        index = next(i for i, parameter in enumerate(self._all_parameters()) if parameter is wanted)
        return f"parameter {names[index] or index} of shape {tuple(wanted.shape)}"

    def _checks(self) -> bool:
        """Whether this step looks at values, which on a GPU waits for it."""
        return self.check_gradients and self.steps % self.check_every == 0

    def _position(self, parameter: torch.Tensor, state: dict) -> torch.Tensor:
        """What the chain moves: the parameter, or a float32 copy of a coarse one, as long as nobody else changes it."""
        if parameter.dtype not in COARSE:
            return parameter
        if "position" in state and self._versions.get(parameter) == parameter._version:
            return state["position"]  # a look at the values would wait for the device
        if "position" not in state or not torch.equal(state["position"].to(parameter.dtype), parameter):
            state["position"] = parameter.float()
        return state["position"]

    def _fix_preconditioner(self, diagonals: list[torch.Tensor]) -> None:
        parameters = list(self._all_parameters())
        if [tuple(d.shape) for d in diagonals] != [tuple(p.shape) for p in parameters]:
            raise InputError(
                f"preconditioner must hold one tensor of its shape for each parameter, got "
                f"{[tuple(d.shape) for d in diagonals]} for {[tuple(p.shape) for p in parameters]}"
            )
        for parameter, diagonal in zip(parameters, diagonals):
            if not (diagonal > 0).all():
                raise InputError(f"the preconditioner of {self._name(parameter)} must be positive everywhere")
            self.state[parameter]["preconditioner"] = diagonal.to(self._position(parameter, self.state[parameter]))


def of_parameter(values: dict, state: dict) -> dict:
    """A group's values with what `SGHMC.correct` left in a parameter's state."""
    if "own" not in state:
        return values
    alpha, eta_scale = state["own"]["alpha"], state["own"]["eta_scale"]
    beta_hat = min(state["own"]["beta_hat"], alpha * values["temperature"])
    return {**values, "alpha": alpha, "eta": eta_scale * values["eta"], "beta_hat": beta_hat}


def wants_gradient(parameter: torch.Tensor) -> bool:
    return parameter.requires_grad and parameter.numel() > 0
