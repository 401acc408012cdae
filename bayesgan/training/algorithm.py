"""Algorithm 1 of Saatchi & Wilson 2017: SGHMC on all generators and all discriminators, one iteration at a time.

The trainer owns the two ensembles and their samplers; it writes no file and prints nothing (loop.py does).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bayesgan.data import Dataset, labelled_rows, shifted, to_float
from bayesgan.ensemble import Ensemble, make_engine
from bayesgan.basics.errors import Diverged
from bayesgan.networks import NETWORKS
from bayesgan.objectives import OBJECTIVES, feature_matching, labelled_loss, real_score
from bayesgan.basics.randomness import keyed_generator
from bayesgan.sampler import SGHMC, Normal, RMSprop, exponential_then_constant, ramp
from bayesgan.options.options import Options

__all__ = ["ROLES", "Engines", "Losses", "Trainer", "batch_sizes", "default_engines", "labelled_batches", "latent_draw"]

ROLES = ("generator", "discriminator")
Engines = dict[str, tuple[str, bool]]  # role -> engine's name, whether it is compiled
REMEDY = "start a run with a lower --lr or --temperature"


@dataclass
class Losses:
    """Mean losses of one iteration, priors left out: discriminators (K,), generators (I,)."""

    discriminators: Tensor
    generators: Tensor


def latent_draw(members: int, count: int, size: int, generator: torch.Generator) -> Tensor:
    """z, (members, count, size), standard normal."""
    return torch.randn(members, count, size, generator=generator, device=generator.device)


def labelled_batches(
    options: Options, data: Dataset, rows: Tensor, members: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """A minibatch for each member of the labelled images `rows` (N,): (members, S, ...), (members, S).

    All N where the minibatch holds them, else draws with replacement.
    """
    count = options.label_batch_size or min(options.batch_size, options.N)
    if count < len(rows):
        drawn = torch.randint(len(rows), (members, count), generator=generator, device=rows.device)
        rows = rows[drawn]
    else:
        rows = rows.expand(members, -1)
    images = to_float(data.train[rows])
    return shifted(images, options.shift, generator) if options.shift else images, data.train_labels[rows]


def default_engines(options: Options) -> Engines:
    """Those asked for, "loop" where that is "auto"; not compiled."""
    return dict.fromkeys(ROLES, ("loop" if options.engine == "auto" else options.engine, False))


def batch_sizes(options: Options) -> tuple[int, int]:
    """Images that each discriminator trains on in an iteration, and that it judges for the generators."""
    pool, full = options.generators * options.gen_batch, options.coupling == "full"
    labelled = (options.label_batch_size or min(options.batch_size, options.N)) if options.semi else 0
    trained = options.batch_size + (pool if full else min(options.batch_size, pool)) + labelled
    return trained, pool if full else options.gen_batch * -(-options.generators // options.discriminators)


class Trainer:
    """Both posteriors, and `step()` to move every member once.

    The potentials, on the sum scale (N training data, N_g the pseudo-count):

        U_D = N · [-mean_real log D - mean_fakes log(1-D)] - log p(θ_d)     fakes from the mixture of all generators
        U_G = N_g · [-mean_z mean_k log D_k(G(z))] - log p(θ_g)

    A semi-supervised run adds N_l · [-mean_labelled log D(x = y)] to U_D, N_l being label_count; D then stands for the
    sum over the K classes.

    Full coupling uses every pair (Algorithm 1 literally); mixture coupling estimates the sums over opponents without
    bias: a discriminator sees random images of the mixture, a generator is scored by one random discriminator.

    Nothing in `step` waits for the device: a weight or loss that is not finite is found by `check`.

    Args:
        engines: As `choose_engines` found them; by default `default_engines`.
    """

    def __init__(self, options: Options, data: Dataset, device: torch.device | str = "cpu", engines: Engines | None = None):
        self.options, self.device = options, torch.device(device)
        self.data = data.to(self.device)
        self.dtype = torch.float64 if options.precision == "fp64" else torch.float32
        self.labelled = labelled_rows(self.data) if options.semi else None
        self.objective = OBJECTIVES[options.objective]
        self.iteration = 0
        sizes = options.sizes(data.shape, len(data.classes) if options.semi else 1)
        pair = NETWORKS[options.network_for(data)]
        self.generators, self.discriminators = (
            Ensemble(
                lambda: network(sizes), members,
                lambda member: keyed_generator(options.random_seed, "initial weights", role, member),
                device=self.device, dtype=self.dtype,
                compute=torch.bfloat16 if options.precision == "bf16" else None,
            )
            for network, role, members in zip(
                pair, ROLES, (options.generators, options.discriminators)
            )
        )
        self.engines: Engines = {}
        self.use(engines or default_engines(options))
        self.counts = {"generator": options.pseudo_count or len(data.train), "discriminator": len(data.train)}
        self.label_weight = (options.label_count or len(data.train)) / len(data.train)
        self.samplers, self.priors = {}, {}
        for role, ensemble in zip(ROLES, (self.generators, self.discriminators)):
            self.samplers[role] = SGHMC.from_sgd(
                list(ensemble.parameters.items()),
                lr=exponential_then_constant(options.lr, options.lr_decay, options.burn_in),
                momentum=1 - options.friction,
                num_data=self.counts[role],
                temperature=self.temperature,
                preconditioner=RMSprop(floor=options.floor) if options.optimizer == "adam" else None,
                generator=self.random("noise", role),
                check_gradients=False,
            )
            self.priors[role] = None if options.ml else Normal(options.prior_std, ensemble.scales)

    def use(self, engines: Engines) -> None:
        """Computes the ensembles with these engines from now on."""
        for role, ensemble in zip(ROLES, (self.generators, self.discriminators)):
            if engines[role] != self.engines.get(role):
                ensemble.engine = make_engine(*engines[role], device=self.device)
        self.engines = dict(engines)

    def temperature(self, iteration: int) -> float:
        """0 in burn-in, then a ramp, then the target's."""
        return ramp(self.options.temperature, self.options.burn_in, self.options.ramp)(iteration)

    def step(self) -> Losses:
        """One iteration: fakes once, all discriminators, then all generators against the moved discriminators."""
        options = self.options
        if self.iteration == options.burn_in and options.temperature > 0:
            for sampler in self.samplers.values():
                sampler.freeze_preconditioner()
        torch.compiler.cudagraph_mark_step_begin()  # nothing of the last iteration is needed any more
        latent = latent_draw(options.generators, options.gen_batch, options.z_dim, self.random("latent"))
        fakes = self.generators.forward(latent, train=True)  # (I, B_g, ...)
        real = self.real_batches()  # (K, B, ...)
        d_losses = self._move_discriminators(real, fakes.detach())
        g_losses = self._move_generators(real, fakes)
        self.iteration += 1
        return Losses(d_losses, g_losses)

    def _move_discriminators(self, real: Tensor, fakes: Tensor) -> Tensor:
        pool = fakes.flatten(0, 1)  # (P, ...), P = I · B_g
        if self.options.coupling == "full":
            fake = pool.expand(len(real), *pool.shape)
        else:
            choice, count = self.random("fakes"), min(real.shape[1], len(pool))
            fake = torch.stack([
                pool[torch.randperm(len(pool), generator=choice, device=self.device)[:count]] for _ in range(len(real))
            ])  # (K, F, ...)
        images, parts = [real, fake], [real.shape[1], fake.shape[1]]
        if self.options.semi:
            labelled, labels = labelled_batches(self.options, self.data, self.labelled, len(real), self.random("labelled"))
            images, parts = [*images, labelled.to(real)], [*parts, labelled.shape[1]]
        logits, _ = self.discriminators.forward(torch.cat(images, 1), train=True, noise=self.random("noise layers"))
        of_real, of_fake, *of_labelled = logits.split(parts, 1)
        losses = self.objective.discriminator(real_score(of_real), real_score(of_fake))  # (K,)
        if self.options.semi:
            losses = losses + self.label_weight * labelled_loss(*of_labelled, labels)
        total = losses.sum()
        if self.objective.gradient_penalty:
            total = total + self.objective.gradient_penalty * self._slope_penalty(real, fake)
        self._apply("discriminator", self.discriminators, total)
        return losses.detach()

    def _slope_penalty(self, real: Tensor, fake: Tensor) -> Tensor:
        """sum_k mean (|∇_x l_k(x)| - 1)² at random points between real and fake (Gulrajani et al. 2017, alg. 1)."""
        count = min(real.shape[1], fake.shape[1])
        source = self.random("between")
        share = torch.rand(len(real), count, generator=source, device=self.device)
        share = share.view(*share.shape, *[1] * (real.dim() - 2))
        # of all generators: full coupling has their fakes in order
        drawn = torch.stack([own[torch.randperm(len(own), generator=source, device=self.device)[:count]] for own in fake])
        points = (share * real[:, :count] + (1 - share) * drawn).requires_grad_()
        logits, _ = self.discriminators.forward(points, train=False)
        (slope,) = torch.autograd.grad(real_score(logits).sum(), points, create_graph=True)
        return ((slope.flatten(2).norm(dim=-1) - 1) ** 2).mean(-1).sum()

    def _move_generators(self, real: Tensor, fakes: Tensor) -> Tensor:
        judged, weights = self._pairs()  # (K, g): which generators each discriminator scores, and their weights
        images = fakes.detach()[judged].flatten(1, 2).requires_grad_()  # (K, g · B_g, ...)
        logits, features = self.discriminators.forward(images, train=False, freeze=True)
        if self.options.feature_matching:
            with torch.no_grad():
                _, target = self.discriminators.forward(real, train=False, freeze=True)
            losses = feature_matching(target.unsqueeze(1), features.unflatten(1, (judged.shape[1], -1)))
        else:
            losses = self.objective.generator(real_score(logits).unflatten(1, (judged.shape[1], -1)))  # (K, g)
        total = (losses * weights).sum()
        (gradient,) = torch.autograd.grad(total, images)
        pulled = torch.zeros_like(fakes).index_add_(
            0, judged.flatten(), gradient.unflatten(1, (judged.shape[1], -1)).flatten(0, 1)
        )  # (I, B_g, ...): what all its judges want of every image
        self._apply("generator", self.generators, fakes, pulled)
        mean = torch.zeros(self.options.generators, device=self.device, dtype=losses.dtype)
        return mean.index_add_(0, judged.flatten(), (losses.detach() * weights).flatten())

    def _pairs(self) -> tuple[Tensor, Tensor]:
        """Generator numbers (K, g) and weights (K, g); each generator's weights add up to 1."""
        generators, discriminators = self.options.generators, self.options.discriminators
        if self.options.coupling == "full":
            judged = torch.arange(generators, device=self.device).expand(discriminators, -1)
        else:
            source = self.random("judges")
            share = -(-generators // discriminators)  # where it does not divide, some generators get two judges
            order = torch.randperm(generators, generator=source, device=self.device)
            judged = order.repeat(-(-discriminators * share // generators))[: discriminators * share]
            judges = torch.randperm(discriminators, generator=source, device=self.device)
            judged = judged.view(share, discriminators).T[judges]
        ones = torch.ones(judged.numel(), device=self.device, dtype=self.dtype)
        judges = ones.new_zeros(generators).index_add_(0, judged.flatten(), ones)  # bincount would wait for the device
        return judged, 1 / judges[judged]

    def _apply(self, role: str, ensemble: Ensemble, value: Tensor, gradient: Tensor | None = None) -> None:
        """Backward from `value` (a mean loss), the prior's share, one SGHMC step."""
        self.samplers[role].zero_grad()
        value.backward(gradient)
        if self.priors[role] is not None:
            self.priors[role].add_gradient(ensemble.parameters, 1 / self.counts[role])
        self.samplers[role].step()

    def real_batches(self) -> Tensor:
        """An independent minibatch of real data for each discriminator, drawn with replacement: (K, B, ...)."""
        shape = (self.options.discriminators, self.options.batch_size)
        source = self.random("real")
        rows = torch.randint(len(self.data.train), shape, generator=source, device=self.device)
        images = to_float(self.data.train[rows]).to(self.dtype)
        return shifted(images, self.options.shift, source) if self.options.shift else images

    def random(self, *key: str | int, iteration: int | None = None) -> torch.Generator:
        """The random stream of a role at an iteration (default: the present one)."""
        iteration = self.iteration if iteration is None else iteration
        return keyed_generator(self.options.random_seed, *key, iteration, device=self.device)

    def check(self, history: list[Losses], first: int) -> None:
        """Raises `Diverged` if a loss in `history` (from iteration `first`) or a weight is not finite.

        It names the earliest, and of these the one with the fewest companions: within an iteration the fault spreads.
        """
        seen = []  # iteration, how many members, what
        for role in ("discriminators", "generators"):
            finite = torch.stack([getattr(losses, role) for losses in history]).isfinite()
            if not finite.all():
                row, member = (~finite).nonzero()[0].tolist()
                seen.append((first + row, (~finite[row]).sum().item(), f"the loss of {role[:-1]} {member}"))
            weights = getattr(self, role).parameters.values()
            finite = torch.stack([weight.detach().flatten(1).isfinite().all(1) for weight in weights]).all(0)
            if not finite.all():
                member = (~finite).nonzero()[0].item()
                seen.append((self.iteration - 1, (~finite).sum().item(), f"a weight of {role[:-1]} {member}"))
        if seen:
            iteration, _, what = min(seen)
            raise Diverged(f"{what} became non-finite at iteration {iteration}; {REMEDY}")

    def state_dict(self) -> dict:
        """Everything the next iteration needs; tensors, numbers and strings only."""
        return {
            "iteration": self.iteration,
            "generators": self.generators.state(),
            "discriminators": self.discriminators.state(),
            "samplers": {role: sampler.state_dict() for role, sampler in self.samplers.items()},
        }

    def load_state_dict(self, state: dict) -> None:
        """Continues where `state_dict()` was taken, bit for bit on the same machine."""
        self.iteration = state["iteration"]
        self.generators.load_state(state["generators"])
        self.discriminators.load_state(state["discriminators"])
        for role, sampler in self.samplers.items():
            sampler.load_state_dict(state["samplers"][role])
