"""Weight samples of any torch module: several SGHMC chains as stacked weights. See diagnostics.py for whether to trust them."""

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from bayesgan.basics.errors import InputError
from bayesgan.basics.files import write_atomically
from bayesgan.basics.randomness import keyed_generator
from bayesgan.ensemble import Ensemble, SampleStore, fan_in_scales
from bayesgan.sampler.batches import loader_batches, tensor_batches
from bayesgan.sampler.diagnostics import Diagnostics, diagnose, kinetic_temperature
from bayesgan.sampler.priors import Normal, Prior
from bayesgan.sampler.schedules import Cyclical
from bayesgan.sampler.sghmc import SGHMC

__all__ = ["Draw", "PosteriorSampler"]

STARTS = ("prior", "model")
LEAST_ADAPTATION = 20
FINGERPRINT = (0, 1, 3, 10, 30, 100, 1000)  # steps at which two schedules are compared


@dataclass(frozen=True)
class Draw:
    """One collected draw.

    Attributes:
        step: Steps taken when it was collected.
        weights: Name -> (chains, ...), weights and buffers, on the CPU.
        log_likelihood: (chains,), the minibatch estimate of log p(data | weights before the last step), on the sum scale.
        kinetic: Parameter name -> (chains,), the kinetic temperature at this step (see `kinetic_temperature`).
    """

    step: int
    weights: dict[str, Tensor]
    log_likelihood: Tensor
    kinetic: dict[str, Tensor]


class PosteriorSampler:
    """Samples p(weights | data) ∝ exp(-U), U = -log prior - sum over all data of log-likelihood, by SGHMC.

    Chain c takes minibatches of its own and starts from weights of its own, so that chains may be compared.

    Args:
        model: Any module whose parameters are real floating point; copied, never changed.
        log_likelihood: (outputs, targets) -> the SUM over the minibatch of log p(target | output), a scalar.
        num_data: N, size of the whole training set.
        mean_loss: Instead of log_likelihood: (outputs, targets) -> the MEAN over rows of -log p(row), constants aside.
            cross_entropy on (rows, classes) is one; mse_loss is not, it lacks 1/(2 sigma²) and divides by columns too.
        prior: A `Prior`; default Normal(1) scaled by fan-in.
        lr: Step size on the gradient of the mean loss, as in SGD (eta = lr / num_data); a number or a function of the
            step. A `Cyclical` also sets the temperature to 0, and collects nothing, while it explores.
        friction: alpha in (0, 1], 1 - momentum.
        temperature: T of the target exp(-U/T); a number or a function of the step, for example `ramp(1.0, 500, 200)`.
        beta_hat: Gradient-noise correction, see `SGHMC`; with phases at temperature 0 it must be 0.
        scheme: "symplectic" or "baoa", see `SGHMC`.
        preconditioner: None, or "rmsprop": adapted at temperature 0 in the first half of burn-in, then frozen.
        chains: How many, >= 1.
        burn_in: Steps before the first draw.
        thin: Steps between draws.
        start: "prior" for independent draws of He's initialisation (biases 0, gains of norms as in the model), "model" for the
            model's weights in every chain.
        predictive: outputs -> what `predict` averages, for example class probabilities; default the outputs.
        folder: Where draws are also stored as they come; None keeps them in memory alone.
        engine: "loop" or "vmap", see bayesgan.ensemble; "vmap" suits many chains of a small model, and also runs the
            likelihood under torch.func.vmap, which then must not look at values (no .item(), no if on tensors).
        seed: Of everything random.
        device: Where to compute; default where the model is.

    Raises:
        ValueError: For arguments outside these rules; by `run` for data that do not fit them.
    """

    def __init__(
        self,
        model: nn.Module,
        log_likelihood: Callable[[Tensor, Tensor], Tensor] | None = None,
        num_data: int | None = None,
        *,
        mean_loss: Callable[[Tensor, Tensor], Tensor] | None = None,
        prior: Prior | None = None,
        lr: float | Callable[[int], float] = 0.1,
        friction: float = 0.1,
        temperature: float | Callable[[int], float] = 1.0,
        beta_hat: float = 0.0,
        scheme: str = "symplectic",
        preconditioner: str | None = None,
        chains: int = 4,
        burn_in: int = 1000,
        thin: int = 10,
        start: str = "prior",
        predictive: Callable[[Tensor], Tensor] | None = None,
        folder: Path | str | None = None,
        engine: str = "loop",
        seed: int = 0,
        device: torch.device | str | None = None,
    ):
        if (log_likelihood is None) == (mean_loss is None):
            raise InputError("give either log_likelihood (a sum over the batch) or mean_loss (a mean), and not both")
        if num_data is None or num_data < 1:
            raise InputError(f"num_data must be the size of the training set, got {num_data}; it scales the likelihood")
        for name, value, least in (("chains", chains, 1), ("burn_in", burn_in, 0), ("thin", thin, 1)):
            if value < least:
                raise InputError(f"{name} must be at least {least}, got {value}")
        if start not in STARTS:
            raise InputError(f"start must be one of: {', '.join(STARTS)}; got {start!r}")
        parameters = dict(model.named_parameters())
        for name, parameter in parameters.items():
            if not parameter.is_floating_point():
                raise InputError(f"parameter {name} is {parameter.dtype}; only real floating-point ones can be sampled")
            if not parameter.requires_grad:
                raise InputError(
                    f"parameter {name} does not require gradients; all are sampled: make constants buffers"
                )
        if not parameters:
            raise InputError("the model has no parameters; there is nothing to sample")
        if len(parameters) < len(list(model.named_parameters(remove_duplicate=False))):
            raise InputError("the model uses one parameter under two names; tied weights cannot be sampled, untie them")
        if any(isinstance(module, nn.modules.dropout._DropoutNd) and module.p for module in model.modules()):
            raise InputError("the model has dropout, whose noise is no part of the posterior; set p=0")
        if preconditioner == "rmsprop" and burn_in < LEAST_ADAPTATION:
            raise InputError(
                f"burn_in must be at least {LEAST_ADAPTATION} with rmsprop, which adapts in its first half, got "
                f"{burn_in}; some hundred are usual"
            )
        num_data, chains, burn_in, thin, seed = map(int, (num_data, chains, burn_in, thin, seed))
        friction, beta_hat = float(friction), float(beta_hat)
        lr, temperature = (value if callable(value) else float(value) for value in (lr, temperature))
        first = next(iter(parameters.values()))
        self.log_likelihood, self.mean_loss = log_likelihood, mean_loss
        self.num_data, self.burn_in, self.thin, self.seed = num_data, burn_in, thin, seed
        self.engine = engine
        self.predictive = predictive or (lambda outputs: outputs)
        self.device = torch.device(device or first.device)
        self.ensemble = Ensemble(
            lambda: copy.deepcopy(model).to("meta"), chains, lambda chain: keyed_generator(seed, "start", chain),
            device=self.device, dtype=first.dtype, engine=engine,
        )
        with torch.no_grad():
            for name, tensor in self.ensemble.state().items():
                if name not in parameters:
                    tensor.copy_(model.get_buffer(name))
                elif start == "model" or (parameters[name].dim() < 2 and not name.endswith("bias")):
                    tensor.copy_(parameters[name])
        self.prior = prior or Normal(1.0, fan_in_scales(model))
        self.adaptation = burn_in // 2 if preconditioner == "rmsprop" else 0
        self.cycle = lr if isinstance(lr, Cyclical) else None
        self.temperature = temperature
        self.chain = SGHMC.from_sgd(
            list(self.ensemble.parameters.items()), lr, 1 - friction, num_data,
            temperature=self._temperature, beta_hat=beta_hat, scheme=scheme, preconditioner=preconditioner,
            generator=keyed_generator(seed, "noise", device=self.device),
        )
        self.step = 0
        self.draws: list[Draw] = []
        self.store = SampleStore(Path(folder)) if folder is not None else None
        self.settings = {
            "num_data": num_data, "friction": friction, "beta_hat": beta_hat, "scheme": scheme,
            "preconditioner": preconditioner, "chains": chains, "burn_in": burn_in, "thin": thin, "seed": seed,
            "start": start, "likelihood": "mean_loss" if log_likelihood is None else "log_likelihood",
            **{name: [float(value(step)) for step in FINGERPRINT] if callable(value) else value
               for name, value in (("lr", lr), ("temperature", temperature))},
            "prior": type(self.prior).__name__, **{f"prior's {k}": v for k, v in vars(self.prior).items()},
        }

    def run(self, data, draws: int, batch_size: int | None = None, progress: bool = True) -> "PosteriorSampler":
        """Collects `draws` more draws; see `sample` for the arguments. Returns itself."""
        if draws < 1:
            raise InputError(f"draws must be at least 1, got {draws}")
        with tqdm(total=draws, unit="draw", disable=None if progress else True) as bar:  # None: only on a terminal
            for draw in self.sample(data, draws, batch_size):
                bar.set_postfix_str(f"step {draw.step}, log-likelihood {draw.log_likelihood.mean():.4g}")
                bar.update()
        return self

    def sample(self, data, draws: int, batch_size: int | None = None) -> Iterator[Draw]:
        """Yields draws as they are collected; they are also kept in `self.draws`, and in `folder`.

        Args:
            data: (inputs, targets) tensors with N rows: minibatches are drawn with replacement, and stopping and
                loading gives the same bits. Or an iterable of such minibatches that
                shuffles, gone through again and again.
            draws: How many to collect from here on.
            batch_size: Rows of a minibatch for tensors; None is all rows every time. Leave it out for an iterable.
        """
        chains = self.ensemble.members
        if isinstance(data, tuple):
            inputs, targets = (tensor.to(self.device) for tensor in data)
            batches = tensor_batches(inputs, targets, batch_size, self.num_data, chains, self._random)
        else:
            batches = loader_batches(data, self.num_data, chains, self._random)
        if self.store is not None and self.store.draws and not self.draws:
            raise InputError(
                f"{self.store.folder} holds the draws of another sampler; name a new folder, or load() first"
            )
        collected = 0
        while collected < draws:
            log_likelihood, kinetic = self._advance(*(part.to(self.device) for part in next(batches)))
            if self._collects(self.step):
                draw = Draw(self.step, {n: t.cpu().clone() for n, t in self.ensemble.state().items()},
                            log_likelihood.cpu(), kinetic)
                if self.store is not None:
                    self.store.add({"chains": draw.weights}, self.step, self._temperature(self.step - 1))
                self.draws.append(draw)
                collected += 1
                yield draw

    @torch.no_grad()
    def predict(self, inputs: Tensor, each: bool = False, chunk: int = 1024) -> Tensor:
        """The posterior predictive: the mean of predictive(outputs) over all draws and chains.

        Args:
            inputs: (n, ...).
            each: Return every draw's and chain's own value, (draws, chains, n, ...), instead of the mean (n, ...).
            chunk: Rows computed at a time.
        """
        if not self.draws:
            raise InputError("nothing was collected yet; call run first")
        kept = {name: tensor.clone() for name, tensor in self.ensemble.state().items()}
        total, values = None, []
        try:
            for draw in self.draws:
                self.ensemble.load_state({name: tensor.to(self.device) for name, tensor in draw.weights.items()})
                parts = [self.predictive(self.ensemble.forward(self._for_all(part.to(self.device)), train=False))
                         for part in inputs.split(chunk)]
                value = torch.cat(parts, 1).cpu()  # (chains, n, ...)
                if each:
                    values.append(value)
                else:
                    total = value.mean(0) if total is None else total + value.mean(0)
        finally:
            self.ensemble.load_state(kept)
        return torch.stack(values) if each else total / len(self.draws)

    def diagnostics(self, inputs: Tensor | None = None, weights: Iterable[str] = ()) -> Diagnostics:
        """ESS, R-hat and kinetic temperatures of what was collected; see `diagnose`.

        Args:
            inputs: (n, ...) on which predictions are compared; a few dozen rows are enough. Without them only the
                log-likelihood is, and from minibatches its noise hides how slowly the weights mix.
            weights: Parameter names whose single weights are compared as well.
        """
        if not self.draws:
            raise InputError("nothing was collected yet; call run first")
        quantities = {"log-likelihood": torch.stack([draw.log_likelihood for draw in self.draws], 1)}
        if inputs is not None:
            quantities["prediction"] = self.predict(inputs, each=True).transpose(0, 1)  # (chains, draws, n, ...)
        for name in weights:
            quantities[name] = torch.stack([draw.weights[name] for draw in self.draws], 1)
        sizes = {name: parameter[0].numel() for name, parameter in self.ensemble.parameters.items()}
        kinetic = {name: torch.stack([draw.kinetic[name] for draw in self.draws], 1) for name in sizes}
        spacing = min(1.0, self.thin * self.settings["friction"])  # draws closer than 1/friction share their momentum
        return diagnose(quantities, kinetic, sizes, self._temperature(self.draws[-1].step - 1), spacing)

    def save(self, path: Path | str) -> None:
        """Everything to go on from, draws included, in one file; the old file survives a failure."""
        content = {
            "settings": self.settings,
            "step": self.step,
            "state": self.ensemble.state(),
            "chain": self.chain.state_dict(),
            "draws": [vars(draw) for draw in self.draws],
        }
        write_atomically(Path(path), lambda temporary: torch.save(content, temporary))

    def load(self, path: Path | str) -> "PosteriorSampler":
        """Continues where `save` was called, bit for bit on the same machine and tensors as data. Returns itself.

        Raises:
            ValueError: If the file is no such file, or was saved with other settings.
        """
        try:
            content = torch.load(path, map_location=self.device, weights_only=True)
            settings = content["settings"]
        except Exception as error:  # torch raises many kinds for a damaged file
            raise InputError(
                f"{path} is not a saved sampler ({str(error).splitlines()[0]}); save() writes one"
            ) from None
        if settings != self.settings:
            wrong = [f"{k} {settings.get(k)} (here {v})" for k, v in self.settings.items() if settings.get(k) != v]
            raise InputError(f"{path} was saved with {', '.join(wrong)}; construct the sampler with the same settings")
        self.ensemble.load_state(content["state"])
        self.chain.load_state_dict(content["chain"])
        self.step = content["step"]
        self.draws = [Draw(**{k: _on_cpu(v) for k, v in draw.items()}) for draw in content["draws"]]
        return self

    def _temperature(self, step: int) -> float:
        """0 while the preconditioner adapts or a cycle explores, else the target's."""
        if step < self.adaptation or (self.cycle is not None and not self.cycle.samples(step)):
            return 0.0
        return self.temperature(step) if callable(self.temperature) else self.temperature

    def _collects(self, taken: int) -> bool:
        """Whether the weights after this many steps are a draw."""
        if taken <= self.burn_in or taken % self.thin:
            return False
        return self.cycle is None or self.cycle.samples(taken - 1)

    def _advance(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """One step of all chains on (chains, B, ...) data: estimated log-likelihoods (chains,), kinetic temperatures."""
        if self.step == self.adaptation:
            self.chain.freeze_preconditioner()
        outputs = self.ensemble.forward(inputs, train=True)
        if not torch.is_tensor(outputs):
            raise InputError(f"the model must return one tensor, got a {type(outputs).__name__}; wrap it")
        if self.step == 0:
            self._check_likelihood(outputs[0].detach(), targets[0])
        mean = (self._per_chain(self.mean_loss, outputs, targets) if self.mean_loss is not None
                else -self._per_chain(self.log_likelihood, outputs, targets) / inputs.shape[1])
        self.chain.zero_grad()
        mean.sum().backward()
        for name, parameter in self.ensemble.parameters.items():
            if parameter.grad is None:
                raise InputError(f"parameter {name} is not used by the likelihood; leave it out of the model")
        self.prior.add_gradient(self.ensemble.parameters, 1 / self.num_data)
        kinetic = kinetic_temperature(self.chain, self.ensemble.parameters) if self._collects(self.step + 1) else {}
        self.chain.step()
        self.step += 1
        return -self.num_data * mean.detach(), kinetic

    def _check_likelihood(self, outputs: Tensor, targets: Tensor) -> None:
        """A sum doubles when the batch is repeated, a mean stays: the mistake that is off by a factor of N."""
        name, function = (("log_likelihood", self.log_likelihood) if self.mean_loss is None
                          else ("mean_loss", self.mean_loss))
        with torch.no_grad():
            once, twice = function(outputs, targets), function(torch.cat([outputs] * 2), torch.cat([targets] * 2))
        if not torch.is_tensor(once) or once.dim() != 0:
            shape = tuple(once.shape) if torch.is_tensor(once) else type(once).__name__
            remedy = "end it with .sum()" if self.mean_loss is None else "end it with .mean()"
            raise InputError(f"{name} must return a scalar tensor, got {shape}; {remedy}")
        is_mean = torch.isclose(twice, once, rtol=1e-3)
        is_sum = torch.isclose(twice, 2 * once, rtol=1e-3)
        if self.mean_loss is None and is_mean and not is_sum:
            raise InputError("log_likelihood must return the sum over the batch and returns a mean; use "
                             'reduction="sum", or pass minus it as mean_loss')
        if self.mean_loss is not None and is_sum and not is_mean:
            raise InputError("mean_loss must return the mean over the batch and returns a sum; use "
                             'reduction="mean", or pass minus it as log_likelihood')

    def _per_chain(self, function: Callable, outputs: Tensor, targets: Tensor) -> Tensor:
        """function's scalar of each chain, (chains,)."""
        if self.engine == "vmap":
            return torch.func.vmap(function)(outputs, targets)
        return torch.stack([function(*pair) for pair in zip(outputs, targets)])

    def _random(self, role: str, device: torch.device | str) -> torch.Generator:
        """The stream of a role at the present step."""
        return keyed_generator(self.seed, role, self.step, device=device)

    def _for_all(self, rows: Tensor) -> Tensor:
        return rows.expand(self.ensemble.members, *rows.shape)


def _on_cpu(value):
    if isinstance(value, dict):
        return {name: tensor.cpu() for name, tensor in value.items()}
    return value.cpu() if torch.is_tensor(value) else value
