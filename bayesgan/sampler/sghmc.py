"""SGHMC as a torch optimiser. The update itself is in step.py, step sizes that change in schedules.py."""

import math
from collections.abc import Callable, Iterable

import torch

from bayesgan.basics.errors import InputError
from bayesgan.sampler.noise import fill_normal
from bayesgan.sampler.preconditioners import RMSprop
from bayesgan.sampler.step import SCHEMES, noise_variance, sghmc_step

__all__ = ["SGHMC"]

Scheduled = float | Callable[[int], float]

LAW = ("eta", "alpha", "temperature", "beta_hat")  # what the injected noise follows from


class SGHMC(torch.optim.Optimizer):
    """SGHMC as a torch optimiser: call `loss.backward()` and `step()`, and the weights become a Markov chain.

    The gradients must be those of U = -log prior - sum over all data of log-likelihood (the SUM scale: a minibatch
    term is multiplied by N/n). For gradients of a mean loss use `from_sgd`. Update and target: `sghmc_step`.

    Args:
        params: Parameters or parameter groups, as for every torch optimiser. Real floating point.
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
            the operating system. Its state is part of `state_dict()`.
        check_gradients: Refuse a non-finite gradient before it moves anything. On a GPU, where each check waits for
            all work before it, only every `check_every` = 20 steps: then weights may have become non-finite, and stay
            so until the check finds it. Without it, look at the weights from time to time.

    Raises:
        ValueError: At construction for values outside these ranges; at `step()` for a missing or non-finite
            gradient (naming the parameter), alpha·T < beta_hat, or T > 0 while the preconditioner still adapts.
    """

    def __init__(
        self,
        params: Iterable,
        eta: Scheduled,
        alpha: float = 0.1,
        *,
        temperature: Scheduled = 1.0,
        beta_hat: float = 0.0,
        preconditioner: str | RMSprop | list[torch.Tensor] | None = None,
        scheme: str = "symplectic",
        generator: torch.Generator | None = None,
        gradient_scale: float = 1.0,
        check_gradients: bool = True,
    ):
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
        self._scratch: dict[tuple, torch.Tensor] = {}
        self._roots: dict[torch.Tensor, tuple] = {}  # parameter -> which preconditioner, its root
        defaults = dict(
            eta=eta, alpha=alpha, temperature=temperature, beta_hat=beta_hat, gradient_scale=gradient_scale
        )
        super().__init__(params, defaults)
        for parameter in self._all_parameters():
            if not parameter.is_floating_point():
                raise InputError(f"{self._name(parameter)} is {parameter.dtype}; SGHMC moves real floating-point ones")
        for group in self.param_groups:
            self.values(group, 0)
        if fixed is not None:
            self._fix_preconditioner(fixed)
        device = next(self._all_parameters()).device
        self.check_every = 1 if device.type == "cpu" else 20
        if generator is None:
            generator = torch.Generator(device)
            generator.seed()
        self.generator = generator

    @classmethod
    def from_sgd(cls, params: Iterable, lr: float, momentum: float, num_data: int, **options) -> "SGHMC":
        """For gradients of the MEAN loss over num_data points: the settings of torch.optim.SGD(lr, momentum).

        alpha = 1 - momentum and eta = lr / num_data, so at temperature 0 every step equals SGD's. `lr` may be a
        function of the step. With "rmsprop" the floor is in units of the mean gradient.
        """
        if not num_data > 0:
            raise InputError(f"num_data must be positive, got {num_data}; it is the size of the data set")
        eta = (lambda step: lr(step) / num_data) if callable(lr) else lr / num_data
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
        for parameter in self._all_parameters():
            self.rule.freeze(self.state[parameter])
        self.frozen = True

    @torch.no_grad()
    def step(self, closure: Callable | None = None):
        """One update of all parameters; returns the closure's loss if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._check_gradients()
        for group in self.param_groups:
            values = self.values(group, self.steps)
            if self.rule is not None and not self.frozen and values["temperature"] > 0:
                raise InputError(
                    f"temperature must be 0 while the preconditioner adapts, got {values['temperature']:g}; "
                    "call freeze_preconditioner() when burn-in ends"
                )
            rescale = 1.0
            if callable(group["eta"]) and self.steps:
                rescale = math.sqrt(values["eta"] / group["eta"](self.steps - 1))
            for parameter in group["params"]:
                state = self.state[parameter]
                own = of_parameter(values, state)
                noisy = noise_variance(**{key: own[key] for key in LAW}, scheme=self.scheme) > 0
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(parameter)
                if self.rule is not None and not self.frozen:
                    self.rule.update(state, parameter.grad)
                noise = self._noise(parameter) if noisy else None
                sghmc_step(
                    parameter,
                    state["momentum"],
                    parameter.grad,
                    noise,
                    scheme=self.scheme,
                    preconditioner=state.get("preconditioner"),
                    root=self._root(parameter) if noisy else None,
                    rescale=rescale,
                    **own,
                )
        self.steps += 1
        return loss

    @torch.no_grad()
    def correct(self, parameter: torch.Tensor, beta_hat: float, alpha: float, eta_scale: float) -> None:
        """From here on this parameter has a beta_hat and a friction of its own, and eta_scale times the step size.

        While alpha T is less than beta_hat, as in a ramp, nothing is injected. Part of `state_dict()`.
        """
        state = self.state[parameter]
        before = state.get("own", {"eta_scale": 1.0})["eta_scale"]
        if "momentum" in state and eta_scale != before:
            state["momentum"].mul_(math.sqrt(eta_scale / before))
        state["own"] = {"beta_hat": float(beta_hat), "alpha": float(alpha), "eta_scale": float(eta_scale)}

    def values_of(self, group: dict, parameter: torch.Tensor, step: int) -> dict:
        """As `values`, with what `correct` gave this parameter."""
        return of_parameter(self.values(group, step), self.state[parameter])

    def values(self, group: dict, step: int) -> dict:
        """The numbers a parameter group runs with at a step, functions evaluated; raises as the class says."""
        values = {key: group[key] for key in ("eta", "alpha", "temperature", "beta_hat", "gradient_scale")}
        for key in ("eta", "temperature"):
            if callable(values[key]):
                values[key] = float(values[key](step))
        eta, alpha, temperature, beta_hat = (values[k] for k in ("eta", "alpha", "temperature", "beta_hat"))
        if not 0 < alpha <= 1:
            raise InputError(f"alpha must be in (0, 1], got {alpha}; alpha is 1 - momentum: momentum 0.9 is alpha 0.1")
        if not (eta > 0 and math.isfinite(eta)):
            raise InputError(f"eta must be positive and finite, got {eta}; for a mean loss eta is lr / num_data")
        if not (temperature >= 0 and math.isfinite(temperature)):
            raise InputError(f"temperature must be 0 or more and finite, got {temperature}; 1 samples the posterior")
        if beta_hat < 0:
            raise InputError(f"beta_hat must be 0 or more, got {beta_hat}; it is half eta times a variance")
        if alpha * temperature < beta_hat or noise_variance(eta, alpha, temperature, beta_hat, self.scheme) < 0:
            raise InputError(
                f"alpha * temperature must be at least beta_hat, got {alpha} * {temperature} < {beta_hat}: the "
                "gradient noise alone is hotter than the target; raise alpha or the batch size, or lower eta"
            )
        return values

    def state_dict(self) -> dict:
        """Everything the next step needs, functions of the step excepted: tensors and numbers only."""
        content = super().state_dict()
        for group in content["param_groups"]:
            for key in ("eta", "temperature"):
                if callable(group[key]):
                    group[key] = None
        content["sghmc"] = {"steps": self.steps, "frozen": self.frozen, "generator": self.generator.get_state()}
        return content

    def load_state_dict(self, state_dict: dict) -> None:
        """Continues where `state_dict()` was taken; functions of the step stay those given at construction."""
        own = [{key: group[key] for key in ("eta", "temperature")} for group in self.param_groups]
        extra = state_dict["sghmc"]
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "sghmc"})
        for group, values in zip(self.param_groups, own):
            group.update({key: value for key, value in values.items() if group[key] is None})
        self.steps, self.frozen = extra["steps"], extra["frozen"]
        self._roots.clear()
        self.generator.set_state(extra["generator"].cpu())

    def _all_parameters(self):
        return (parameter for group in self.param_groups for parameter in group["params"])

    def _name(self, wanted: torch.Tensor) -> str:
        """The name given with named parameters, else the position."""
        names = [name for group in self.param_groups
                 for name in group.get("param_names") or [None] * len(group["params"])]
        index = next(i for i, parameter in enumerate(self._all_parameters()) if parameter is wanted)
        return f"parameter {names[index] or index} of shape {tuple(wanted.shape)}"

    def _noise(self, like: torch.Tensor) -> torch.Tensor:
        """Standard normal of like's shape, in memory that the next call overwrites: fresh memory costs page faults."""
        key = like.device, like.dtype
        if key not in self._scratch or self._scratch[key].numel() < like.numel():
            self._scratch[key] = torch.empty(like.numel(), device=like.device, dtype=like.dtype)
        return fill_normal(self._scratch[key][: like.numel()], self.generator).view(like.shape)

    def _root(self, parameter: torch.Tensor) -> torch.Tensor | None:
        """The square root of the parameter's preconditioner, taken once as long as that stays what it is."""
        diagonal = self.state[parameter].get("preconditioner")
        if diagonal is None:
            return None
        version = (id(diagonal), diagonal._version)
        if parameter not in self._roots or self._roots[parameter][0] != version:
            self._roots[parameter] = version, diagonal.sqrt()
        return self._roots[parameter][1]

    def _check_gradients(self) -> None:
        for parameter in self._all_parameters():
            if parameter.grad is None:
                raise InputError(f"{self._name(parameter)} has no gradient; call backward() first, or leave it out")
        if not self.check_gradients or self.steps % self.check_every:
            return
        # a sum is the cheapest pass that NaN and infinity survive; a finite overflow is told apart below
        sums = torch.stack([parameter.grad.sum().double() for parameter in self._all_parameters()])
        if sums.isfinite().all():
            return
        for parameter in self._all_parameters():
            if not parameter.grad.isfinite().all():
                raise InputError(
                    f"{self._name(parameter)} has a non-finite gradient at step {self.steps}"
                    f"{'' if self.check_every == 1 else ' or shortly before'}; lower eta or clip the loss"
                )

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
            self.state[parameter]["preconditioner"] = diagonal.to(parameter)


def of_parameter(values: dict, state: dict) -> dict:
    """A group's values with what `SGHMC.correct` left in a parameter's state."""
    if "own" not in state:
        return values
    alpha, eta_scale = state["own"]["alpha"], state["own"]["eta_scale"]
    beta_hat = min(state["own"]["beta_hat"], alpha * values["temperature"])
    return {**values, "alpha": alpha, "eta": eta_scale * values["eta"], "beta_hat": beta_hat}
