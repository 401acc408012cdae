"""Weight samples of any torch module: several SGHMC chains as stacked weights. See diagnostics.py for trust in them."""

import copy
import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from bayesgan.basics.arrays import refuse_not_finite
from bayesgan.basics.devices import usable_device
from bayesgan.basics.errors import InputError, reason, refuse_count, warn
from bayesgan.basics.files import write_atomically
from bayesgan.basics.progress import Progress
from bayesgan.basics.randomness import keyed_generator
from bayesgan.basics.ranks import Ranks
from bayesgan.ensemble import Ensemble, SampleStore, checksum, fan_in_scales
from bayesgan.sampler.batches import (
    Unpack,
    batches_of,
    inputs_of,
    moments_of,
    warn_of_other_data,
    warn_of_rounding,
)
from bayesgan.sampler.chains import along_chains, sources
from bayesgan.sampler.diagnostics import Diagnostics, diagnose
from bayesgan.sampler.kinetic import kinetic_temperature
from bayesgan.sampler.likelihood import Likelihood, averageable, one_of, row_each, unchanged
from bayesgan.sampler.models import padding_rows, sampled_copy, set_start
from bayesgan.sampler.priors import Normal, Prior
from bayesgan.sampler.settings import Settings, alike
from bayesgan.sampler.sghmc import SGHMC
from bayesgan.sampler.trials import not_taken, tried

__all__ = ["Draw", "PosteriorSampler"]

NONE_FROZEN = checksum({})
SAME_TEMPERATURE = 0.01  # up to this share


@dataclass(frozen=True)
class Draw:
    """One collected draw.

    Attributes:
        step: Steps taken when it was collected.
        weights: Name -> (chains, ...), weights and buffers, on the CPU.
        log_likelihood: (chains,), the minibatch estimate of log p(data | weights before the last step), on the sum
            scale.
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
        model: Any module whose parameters are real floating point; copied, never changed. Frozen parameters are
            constants of all chains, so that with a frozen backbone the last layer alone is sampled, and rows of padding
            stay as they are. Parts frozen as a whole, and those that alone are in eval mode, are computed in eval mode:
            norms use the statistics they have, and dropout is off.
        log_likelihood: (outputs, targets) -> the SUM over the minibatch of log p(target | output), a scalar. Outputs
            are what the model returns, of any structure.
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
        start: "prior" for independent draws of He's initialisation (biases 0, gains of norms as in the model), "model"
            for the model's weights in every chain.
        predictive: outputs of one chain -> what `predict` averages, one tensor (n, ...), for example class
            probabilities; default the outputs.
        folder: Where draws are also stored as they come; None keeps them in memory alone.
        engine: "loop" or "vmap", see bayesgan.ensemble; "vmap" suits many chains of a small model, and also runs the
            likelihood under torch.func.vmap. Where one of them cannot (LSTMs, .item(), if on tensors) "loop" takes its
            place, with a warning.
        seed: Of everything random.
        device: Where to compute; default where the model is.
        group: A torch.distributed group whose processes share the chains out; each then runs, predicts and saves at the
            same time. The first writes, every one gets the same predictions and diagnostics. Arrays give a chain the
            same minibatches on any number of processes; of a loader each goes through its own.

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
        group: ProcessGroup | None = None,
    ):
        if not isinstance(model, nn.Module):
            raise InputError(f"model must be a torch.nn.Module, got {model!r}; its parameters are what is sampled")
        self.likelihood = Likelihood(log_likelihood, mean_loss)
        self.settings = Settings(
            num_data, lr, friction, temperature, beta_hat, scheme, preconditioner, chains, burn_in, thin, start, seed
        )
        first = next(model.parameters(), torch.empty(0))
        self.device = usable_device(first.device if device is None else device)
        self.name = type(model).__name__
        model, self._constants = sampled_copy(model, self.device)
        parameters = dict(model.named_parameters())
        self.ranks, seed = Ranks(group), self.settings.seed
        if self.ranks.size > self.settings.chains:
            raise InputError(f"each process needs a chain of its own, got {self.ranks.size} for {chains} chains; start "
                             f"{chains} or fewer")
        self.numbers = self.ranks.share(self.settings.chains)  # of the chains here
        self.engine, self.fell_back = engine, False  # from "vmap" to "loop"
        self.predictive = predictive or unchanged
        self.ensemble = Ensemble(
            lambda: copy.deepcopy(model).to("meta"),
            len(self.numbers),
            lambda chain: keyed_generator(seed, "start", self.numbers[chain]),
            device=self.device,
            dtype=next(iter(parameters.values())).dtype,
            engine=engine,
        )
        padding = padding_rows(model)
        set_start(self.ensemble, model, padding, start)
        self.prior = Normal(1.0, fan_in_scales(model)) if prior is None else prior
        if not isinstance(self.prior, Prior):
            raise InputError("prior must be a Prior, for example bayesgan.sampler.Normal(1.0), got "
                             f"{prior!r}")
        if self.prior.scales is not None and (absent := parameters.keys() - self.prior.scales.keys()):
            raise InputError(f"the prior has no scale for parameter {min(absent)}; give one for each, for example "
                             "fan_in_scales(model) with some of them changed")
        self.chain = SGHMC.from_sgd(
            list(self.ensemble.parameters.items()),
            self.settings.lr,
            1 - self.settings.friction,
            self.settings.num_data,
            temperature=self.settings.temperature_at,
            beta_hat=self.settings.beta_hat,
            scheme=scheme,
            preconditioner=preconditioner,
            generator=partial(sources, seed, "noise", self.numbers, self.device),
        )
        for name in padding.keys() & parameters.keys():
            self.chain.hold(self.ensemble.parameters[name], padding[name])
        self.step, self.moments = 0, None  # of the data, where they are arrays
        self._looked_at: list = []  # the data that model and likelihood were tried on
        self.draws: list[Draw] = []
        self.store = SampleStore(Path(folder)) if folder is not None else None

    def __repr__(self) -> str:
        weights = f"{self.settings.chains} chains of {self.name} with {self.ensemble.weight_count():,} weights"
        return f"PosteriorSampler({weights}, on {self.device}: {self.step} steps, {len(self.draws)} draws)"

    def run(
        self, data, draws: int, batch_size: int | None = None, progress: bool = True, unpack: Unpack | None = None
    ) -> "PosteriorSampler":
        """Collects `draws` more draws; see `sample` for the arguments. Returns itself.

        Args:
            progress: Show a bar on a terminal and in a notebook, and a line every ten seconds elsewhere.
        """
        refuse_count(draws, "draws")
        shown = Progress(draws, unit="draw", every=10.0) if progress and self.ranks.first else None
        try:
            for number, draw in enumerate(self.sample(data, draws, batch_size, unpack), 1):
                if shown is not None:
                    shown.show(number, f"step {draw.step}, log-likelihood {draw.log_likelihood.mean():.4g}")
        finally:
            if shown is not None:
                shown.close()
        return self

    def sample(
        self, data, draws: int, batch_size: int | None = None, unpack: Unpack | None = None
    ) -> Iterator[Draw]:
        """Yields draws as they are collected; they are also kept in `self.draws`, and in `folder`.

        Args:
            data: (inputs, targets) tensors or numpy arrays with N rows, or a TensorDataset of both: minibatches are
                drawn with replacement, and stopping and loading gives the same bits. Or a shuffling DataLoader, or
                another iterable of minibatches that shuffles, gone through again and again. Whole numbers as inputs
                reach the model as such.
            draws: How many to collect from here on.
            batch_size: Rows of a minibatch for arrays; None is all rows every time. Leave it out for an iterable.
            unpack: What the iterable gives -> (inputs, targets); without it that must be pairs.
        """
        warn_of_rounding(data, self.ensemble.dtype)
        batches = batches_of(data, batch_size, self.settings.num_data, self._sources, self.device, unpack)
        if self.store is not None and self.ranks.from_first(lambda: bool(self.store.draws)) and not self.draws:
            raise InputError(
                f"{self.store.folder} holds the draws of another sampler; name a new folder, or load() first"
            )
        collected, begun = 0, False
        while collected < draws:
            batch = [part.to(self.device) for part in next(batches)]  # the first refuses data that do not fit
            if not begun:
                begun, moments = True, moments_of(data)
                if self.step and moments and self.moments:
                    warn_of_other_data(moments, self.moments)
                self.moments = moments or self.moments
                parts = list(data) if isinstance(data, (tuple, list)) else [data]
                if len(parts) != len(self._looked_at) or any(map(operator.is_not, parts, self._looked_at)):
                    self._use(tried(self.ensemble, self.likelihood, *batch, self.engine))
                    self._looked_at = parts
            log_likelihood, kinetic = self._advance(*batch)
            if self.settings.collects(self.step):
                draw = Draw(self.step, {n: t.cpu().clone() for n, t in self.ensemble.state().items()},
                            log_likelihood.cpu(), kinetic)
                if bad := [name for name, tensor in draw.weights.items() if not tensor.isfinite().all()]:
                    raise InputError(f"{bad[0]} has become non-finite by step {self.step}; lower lr")
                if self.store is not None:
                    temperature = self.settings.temperature_at(self.step - 1)
                    self.store.add({"chains": draw.weights}, self.step, temperature, ranks=self.ranks)
                self.draws.append(draw)
                collected += 1
                yield draw

    @torch.no_grad()
    def predict(self, inputs, each: bool = False, chunk: int = 1024, unpack: Unpack | None = None) -> Tensor:
        """The posterior predictive: the mean of predictive(outputs) over all draws and chains.

        Args:
            inputs: (n, ...), a tensor or numpy array; or a loader that keeps their order, of inputs or of pairs.
            each: Return every draw's and chain's own value, (draws, chains, n, ...), instead of the mean (n, ...).
            chunk: Rows computed at a time.
            unpack: As for `sample`.
        """
        refuse_count(chunk, "chunk", "row")
        if not self.draws:
            raise InputError("nothing was collected yet; call run first")
        inputs = inputs_of(inputs, unpack)
        refuse_not_finite(inputs, "inputs")
        total, values = None, []
        for draw in self.draws:
            weights = {name: tensor.to(self.device) for name, tensor in draw.weights.items()}
            parts = []
            for part in inputs.split(chunk):
                try:
                    outputs = self.ensemble.forward(self._for_all(part.to(self.device)), train=False, state=weights)
                except torch.OutOfMemoryError:
                    raise
                except (IndexError, RuntimeError, TypeError, ValueError) as error:
                    raise not_taken(part, error) from error
                parts.append(torch.stack([row_each(averageable(self.predictive(one_of(outputs, chain))), len(part))
                                          for chain in range(self.ensemble.members)]))
            value = torch.cat(parts, 1).cpu()  # (chains, n, ...)
            if each:
                values.append(self.ranks.whole(value))
            else:
                kind, value = value.dtype, value.double().sum(0)  # in few bits a sum of many draws stops growing
                total = value if total is None else total + value
        if each:
            return torch.stack(values)
        return (self.ranks.sum(total) / (len(self.draws) * self.settings.chains)).to(kind)

    def diagnostics(self, inputs: Tensor | None = None, weights: Iterable[str] = ()) -> Diagnostics:
        """ESS, R-hat and kinetic temperatures of what was collected; see `diagnose`.

        Args:
            inputs: (n, ...) on which predictions are compared; a few dozen rows are enough. Without them only the
                log-likelihood is, and from minibatches its noise hides how slowly the weights mix.
            weights: Parameter names whose single weights are compared as well.
        """
        if not self.draws:
            raise InputError("nothing was collected yet; call run first")
        known, weights = self.ensemble.state(), list(weights)
        if unknown := [name for name in weights if name not in known]:
            raise InputError(f"there is no parameter {unknown[0]!r}; they are {', '.join(self.ensemble.parameters)}")
        quantities = {"log-likelihood": self._over_draws(lambda draw: draw.log_likelihood)}
        if inputs is not None:
            quantities["prediction"] = self.predict(inputs, each=True).transpose(0, 1)  # (chains, draws, n, ...)
        for name in weights:
            quantities[name] = self._over_draws(lambda draw, name=name: draw.weights[name])
        sizes = {name: self.ensemble.size(name) for name in self.ensemble.parameters}
        kinetic = {name: self._over_draws(lambda draw, name=name: draw.kinetic[name]) for name in sizes}
        # at most the correlation of a squared momentum with that of the draw before: a free one's is the square
        shared = (1 - self.settings.friction) ** self.settings.thin
        nominal = [self.settings.temperature_at(draw.step - 1) for draw in self.draws]
        found = diagnose(quantities, kinetic, sizes, sum(nominal) / len(nominal), (1 - shared) / (1 + shared))
        if max(nominal) == 0 and callable(self.settings.temperature):
            found.warnings.append("all draws were collected at temperature 0, before the schedule raised it: they are "
                                  "of an optimiser, not of a posterior; let burn_in last until it has")
        if max(nominal) - min(nominal) > SAME_TEMPERATURE * max(nominal):
            found.warnings.append(f"draws were collected at temperatures from {min(nominal):.3g} to {max(nominal):.3g} "
                                  "and are of no one posterior; let burn_in last until the temperature has settled")
        return found

    def save(self, path: Path | str) -> None:
        """Everything to go on from, draws included, in one file; the old file survives a failure.

        Raises:
            ValueError: If `path` is a folder.
        """
        own = self.ensemble.state(), self.chain.state_dict(), [vars(draw) for draw in self.draws]
        parts = self.ranks.objects_at_first(own)
        if parts is not None:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            state, chain, draws = along_chains(torch.cat, *parts)
            content = {"settings": self._fingerprint(), "step": self.step, "state": state, "chain": chain,
                       "draws": draws, "data": self.moments, "fell_back": self.fell_back}
            write_atomically(Path(path), lambda temporary: torch.save(content, temporary))
        self.ranks.gathered(None)

    def load(self, path: Path | str) -> "PosteriorSampler":
        """Continues where `save` was called, bit for bit on the same machine and tensors as data. Returns itself.

        Raises:
            ValueError: If the file is no such file, or was saved with other settings.
        """
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            own = self._fingerprint()
            # older files do not say
            settings = {"frozen parameters": NONE_FROZEN, "lr's rule": own["lr's rule"], **content["settings"]}
        except Exception as error:  # torch raises many kinds for a damaged file
            raise InputError(
                f"{path} is not a saved sampler ({reason(error)}); save() writes one"
            ) from None
        wrong = [f"{k} {settings.get(k)} (here {v})" for k, v in own.items() if not alike(settings.get(k), v)]
        if wrong or settings.keys() - own.keys():
            raise InputError(f"{path} was saved with {', '.join(wrong)}; construct the sampler with the same settings")
        here = slice(self.numbers.start, self.numbers.stop)
        stored = content["state"], content["chain"], content["draws"]
        state, chain, draws = along_chains(lambda parts: parts[0][here], stored)
        if "generator" in chain["sghmc"]:
            warn(f"{path} was saved by a version with other random streams; from here on the chains draw other "
                 "numbers of the same law")
        self.ensemble.load_state(state)
        self.chain.load_state_dict(chain)
        self.step, self.moments = content["step"], content.get("data")  # older files do not say
        if content.get("fell_back"):
            self._use("loop")
        self.draws = [Draw(**{k: _on_cpu(v) for k, v in draw.items()}) for draw in draws]
        return self

    def _advance(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """One step of all chains on (chains, B, ...) data: log-likelihoods (chains,), kinetic temperatures."""
        if self.step == self.settings.adaptation:
            self.chain.freeze_preconditioner()
        outputs = self.ensemble.forward(inputs, train=True)
        mean = self.likelihood.mean_losses(outputs, targets, self.engine == "vmap")
        self.chain.zero_grad()
        mean.sum().backward()
        for name, parameter in self.ensemble.parameters.items():
            if parameter.grad is None:
                raise InputError(f"parameter {name} is not used by the likelihood; leave it out of the model")
        self.prior.add_gradient(self.ensemble.parameters, 1 / self.settings.num_data, self.ensemble.members)
        kinetic = {}
        if self.settings.collects(self.step + 1):
            measured = kinetic_temperature(self.chain, self.ensemble.parameters)
            kinetic = {name: value.cpu() for name, value in measured.items()}
        self.chain.step()
        self.step += 1
        return -self.settings.num_data * mean.detach(), kinetic

    def _use(self, engine: str) -> None:
        """From here on; "loop" is what is fallen back to."""
        if engine != self.engine:
            self.ensemble.use(engine)
            self.engine, self.fell_back = engine, True

    def _fingerprint(self) -> dict:
        return {**self.settings.fingerprint(self.likelihood.name, self.prior), "frozen parameters": self._constants}

    def _over_draws(self, value: Callable[[Draw], Tensor]) -> Tensor:
        """Of every draw and every chain: (chains, draws, ...)."""
        return self.ranks.whole(torch.stack([value(draw) for draw in self.draws], 1))

    def _sources(self, role: str, device: torch.device | str) -> list[torch.Generator]:
        """The stream of each chain here at the present step."""
        return sources(self.settings.seed, role, self.numbers, device, self.step)

    def _for_all(self, rows: Tensor) -> Tensor:
        return rows.expand(self.ensemble.members, *rows.shape)


def _on_cpu(value):
    if isinstance(value, dict):
        return {name: tensor.cpu() for name, tensor in value.items()}
    return value.cpu() if torch.is_tensor(value) else value
