"""Algorithm 1 of Saatchi & Wilson 2017: SGHMC on all generators and all discriminators, one iteration at a time.

The trainer owns the two players (players.py); it writes no file and prints nothing (loop.py does).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bayesgan.basics.errors import Diverged, InputError
from bayesgan.basics.randomness import keyed_generator
from bayesgan.data import Dataset, labelled_rows
from bayesgan.ensemble import Ensemble
from bayesgan.objectives import OBJECTIVES, consistency_loss, feature_matching, labelled_loss, real_score
from bayesgan.options import Options
from bayesgan.sampler import SGHMC, Normal, RMSprop, exponential_then_constant, ramp
from bayesgan.training.minibatches import labelled_batches, latent_draw, real_batches, unlabelled_batch
from bayesgan.training.players import GAUGE_EVERY, Player
from bayesgan.training.teacher import Teacher

__all__ = ["Engines", "Losses", "Trainer", "default_engines"]

Engines = dict[str, tuple[str, bool]]  # role -> engine's name, whether it is compiled
REMEDY = "start a run with a lower --lr or --temperature"
CORRECT_EVERY = 100  # iterations between corrections for gradient noise, each of which waits for the device
READINGS = ("readings", "kinetic", "noise_readings", "noise")  # of a player, kept in checkpoints


@dataclass
class Losses:
    """Mean losses of one iteration, priors left out: discriminators (K,), generators (I,)."""

    discriminators: Tensor
    generators: Tensor


def default_engines(options: Options) -> Engines:
    """Those asked for, "loop" where that is "auto"; not compiled."""
    name = "loop" if options.engine == "auto" else options.engine
    return dict.fromkeys(("generator", "discriminator"), (name, False))


class Trainer:
    """Both posteriors, and `step()` to move every member once.

    The potentials, on the sum scale (N training data, N_g the pseudo-count):

        U_D = N · [-mean_real log D - mean_fakes log(1-D)] - log p(θ_d)     fakes from the mixture of all generators
        U_G = N_g · [-mean_z mean_k log D_k(G(z))] - log p(θ_g)

    A semi-supervised run adds N_l · [-mean_labelled log D(x = y)] to U_D, N_l being label_count; D then stands for the
    sum over the K classes. Consistency c also adds N · c · [-mean_unlabelled 1[sure] log p(class | distorted x)], the
    classes being those of the `teacher`.

    Full coupling uses every pair (Algorithm 1 literally); mixture coupling estimates the sums over opponents without
    bias: a discriminator sees random images of the mixture, a generator is scored by one random discriminator.

    Nothing in `step` waits for the device: a weight or loss that is not finite is found by `check`.

    Args:
        engines: As `choose_engines` found them; by default `default_engines`.
    """

    def __init__(
        self, options: Options, data: Dataset, device: torch.device | str = "cpu", engines: Engines | None = None
    ):
        self.options, self.device = options, torch.device(device)
        self.data = data.to(self.device)
        self.dtype = torch.float64 if options.precision == "fp64" else torch.float32
        self.labelled = labelled_rows(self.data) if options.semi else None
        self.label_weight = (options.label_count or len(data.train)) / len(data.train)
        self.objective = OBJECTIVES[options.objective]
        networks = options.networks(data.shape, len(data.classes))
        pseudo_count = options.pseudo_count or len(data.train)
        self.generators = self._player("generator", networks.generator, options.generators, pseudo_count)
        self.discriminators = self._player(
            "discriminator", networks.discriminator, options.discriminators, len(data.train)
        )
        self.players = (self.generators, self.discriminators)
        self.teacher = None
        if options.unlabelled_batch:
            self.teacher = Teacher(self.discriminators.ensemble, len(data.train), options.confidence)
        self.rekeyed = False
        self.use(engines or default_engines(options))
        self.iteration = 0

    def _player(self, role: str, build, members: int, num_data: int) -> Player:
        options = self.options
        ensemble = Ensemble(
            build, members,
            lambda member: keyed_generator(options.random_seed, "initial weights", role, member),
            device=self.device, dtype=self.dtype,
            compute=torch.bfloat16 if options.precision == "bf16" else None,
        )
        sampler = SGHMC.from_sgd(
            list(ensemble.parameters.items()),
            lr=exponential_then_constant(options.lr, options.lr_decay, options.burn_in),
            momentum=1 - options.friction,
            num_data=num_data,
            temperature=self.temperature,
            preconditioner=RMSprop(floor=options.floor) if options.optimizer == "adam" else None,
            generator=self.random("noise", role, iteration=0),
            check_gradients=False,
        )
        prior = None if options.ml else Normal(options.prior_std, ensemble.scales)
        return Player(role, ensemble, sampler, prior, num_data)

    @property
    def iteration(self) -> int:
        """Iterations done. The samplers' own count, so that the two cannot disagree; generators move last."""
        return self.generators.sampler.steps

    @iteration.setter
    def iteration(self, done: int) -> None:
        for player in self.players:
            player.sampler.steps = done

    @property
    def engines(self) -> Engines:
        """What computes each role."""
        return {player.role: player.engine for player in self.players}

    def use(self, engines: Engines) -> None:
        """Computes the ensembles with these engines from now on."""
        for player in self.players:
            player.use(engines[player.role])

    def temperature(self, iteration: int) -> float:
        """0 in burn-in, then a ramp, then the target's."""
        return ramp(self.options.temperature, self.options.burn_in, self.options.ramp)(iteration)

    def _readings(self) -> dict[str, bool]:
        """What a player reads while it moves: now and then gradient noise, once T rises, and the kinetic temperature,
        once noise was subtracted and momenta have forgotten the time before.
        """
        options = self.options
        since = self.iteration - options.burn_in
        if options.ml or options.temperature == 0 or since <= 0 or self.iteration % GAUGE_EVERY:
            return {}
        settled = max(options.ramp, 2 * CORRECT_EVERY) + round(3 / options.friction)
        return {"read": True, "gauge": since >= settled}

    def kinetic_temperatures(self) -> dict[str, dict[str, float]]:
        """"generators" and "discriminators" -> "all" and each tensor -> mean kinetic temperature so far."""
        measured = {player.group: player.kinetic_temperatures() for player in self.players}
        return {group: values for group, values in measured.items() if values}

    def step(self) -> Losses:
        """One iteration: fakes once, all discriminators, then all generators against the moved discriminators."""
        options = self.options
        if self.iteration == options.burn_in and options.temperature > 0:
            for player in self.players:
                player.sampler.freeze_preconditioner()
        if self.iteration in options.spread_moments:
            self.check([], self.iteration)
            self.teacher.spread(self.data, untrained=self.iteration == 0)
        torch.compiler.cudagraph_mark_step_begin()  # nothing of the last iteration is needed any more
        latent = latent_draw(options.generators, options.gen_batch, options.z_dim, self.random("latent"))
        fakes = self.generators.ensemble.forward(latent, train=True)  # (I, B_g, ...)
        real = self.real_batches()  # (K, B, ...)
        d_losses = self._move_discriminators(real, fakes.detach())
        g_losses = self._move_generators(real, fakes)
        # right after a reading: a reading pairs a momentum with the friction and the step that made it
        if (self.iteration - 1) % CORRECT_EVERY == 0 and options.gradient_noise == "subtract":
            for player in self.players:
                player.correct(options.temperature)
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
            source = self.random("labelled")
            labelled, labels = labelled_batches(self.options, self.data, self.labelled, len(real), source)
            images, parts = [*images, labelled.to(real)], [*parts, labelled.shape[1]]
        if self.teacher is not None:
            rows, seen, distorted = unlabelled_batch(self.options, self.data, len(real), self.random("unlabelled"))
            classes, sure = self.teacher.teach(seen, rows)
            images, parts = [*images, distorted.to(real)], [*parts, distorted.shape[1]]
        noise = self.random("noise layers")
        logits, _ = self.discriminators.ensemble.forward(torch.cat(images, 1), train=True, noise=noise)
        of_real, of_fake, *of_labelled = logits.split(parts, 1)
        losses = self.objective.discriminator(real_score(of_real), real_score(of_fake))  # (K,)
        if self.options.semi:
            losses = losses + self.label_weight * labelled_loss(of_labelled[0], labels)
        if self.teacher is not None:
            losses = losses + self.options.consistency * consistency_loss(of_labelled[1], classes, sure)
        total = losses.sum()
        if self.objective.gradient_penalty:
            total = total + self.objective.gradient_penalty * self._slope_penalty(real, fake)
        self.discriminators.move(total, **self._readings())
        if self.teacher is not None:
            self.teacher.update(self.iteration)
        return losses.detach()

    def _slope_penalty(self, real: Tensor, fake: Tensor) -> Tensor:
        """sum_k mean (|∇_x l_k(x)| - 1)² at random points between real and fake (Gulrajani et al. 2017, alg. 1)."""
        count = min(real.shape[1], fake.shape[1])
        source = self.random("between")
        share = torch.rand(len(real), count, generator=source, device=self.device)
        share = share.view(*share.shape, *[1] * (real.dim() - 2))
        # of all generators: full coupling has their fakes in order
        drawn = torch.stack([
            own[torch.randperm(len(own), generator=source, device=self.device)[:count]] for own in fake
        ])
        points = (share * real[:, :count] + (1 - share) * drawn).requires_grad_()
        logits, _ = self.discriminators.ensemble.forward(points, train=False)
        (slope,) = torch.autograd.grad(real_score(logits).sum(), points, create_graph=True)
        return ((slope.flatten(2).norm(dim=-1) - 1) ** 2).mean(-1).sum()

    def _move_generators(self, real: Tensor, fakes: Tensor) -> Tensor:
        judged, weights = self._pairs()  # (K, g): which generators each discriminator scores, and their weights
        images = fakes.detach()[judged].flatten(1, 2).requires_grad_()  # (K, g · B_g, ...)
        logits, features = self.discriminators.ensemble.forward(images, train=False, freeze=True)
        if self.options.feature_matching:
            with torch.no_grad():
                _, target = self.discriminators.ensemble.forward(real, train=False, freeze=True)
            losses = feature_matching(target.unsqueeze(1), features.unflatten(1, (judged.shape[1], -1)))
        else:
            losses = self.objective.generator(real_score(logits).unflatten(1, (judged.shape[1], -1)))  # (K, g)
        total = (losses * weights).sum()
        (gradient,) = torch.autograd.grad(total, images)
        pulled = torch.zeros_like(fakes).index_add_(
            0, judged.flatten(), gradient.unflatten(1, (judged.shape[1], -1)).flatten(0, 1)
        )  # (I, B_g, ...): what all its judges want of every image
        self.generators.move(fakes, pulled, **self._readings())
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

    def real_batches(self) -> Tensor:
        """A minibatch of real data for each discriminator: (K, B, ...)."""
        images = real_batches(self.options, self.data, self.options.discriminators, self.random("real"))
        return images.to(self.dtype)

    def random(self, *key: str | int, iteration: int | None = None) -> torch.Generator:
        """The random stream of a role at an iteration (default: the present one)."""
        iteration = self.iteration if iteration is None else iteration
        return keyed_generator(self.options.random_seed, *key, iteration, device=self.device)

    def check(self, history: list[Losses], first: int) -> None:
        """Raises `Diverged` if a loss in `history` (from iteration `first`; may be empty) or a weight is not finite.

        It names the earliest, and of these the one with the fewest companions: within an iteration the fault spreads.
        """
        found = []  # iteration, how many members, what
        for player in self.players:
            losses = [getattr(one, player.group) for one in history]
            bad = ~torch.stack(losses).isfinite() if losses else torch.zeros(1, 1)  # (iterations, members)
            if bad.any():
                row, member = bad.nonzero()[0].tolist()
                found.append((first + row, int(bad[row].sum()), f"the loss of {player.role} {member}"))
            bad = player.non_finite_members()
            if bad.any():
                member = int(bad.nonzero()[0])
                found.append((self.iteration - 1, int(bad.sum()), f"a weight of {player.role} {member}"))
        if found:
            iteration, _, what = min(found)
            raise Diverged(f"{what} became non-finite at iteration {iteration}; {REMEDY}")

    def states(self) -> dict[str, dict[str, Tensor]]:
        """The present draw: "generators" and "discriminators" -> weights and statistics."""
        return {player.group: player.ensemble.state() for player in self.players}

    def draw(self) -> dict[str, dict[str, Tensor]]:
        """What is collected: `states`, and the averaged weights that predict where there is a teacher."""
        return self.states() if self.teacher is None else {**self.states(), "averages": self.teacher.average}

    def state_dict(self) -> dict:
        """Everything the next iteration needs; tensors, numbers and strings only."""
        return {
            "iteration": self.iteration,
            **self.states(),
            "samplers": {player.role: player.sampler.state_dict() for player in self.players},
            "teacher": {} if self.teacher is None else self.teacher.state_dict(),
            "readings": {player.role: {name: getattr(player, name) for name in READINGS} for player in self.players},
        }

    def load_state_dict(self, state: dict) -> None:
        """Continues where `state_dict()` was taken, bit for bit on the same machine.

        Generators of another kind of device have states of another size: then the streams of the noise are keyed anew
        by seed, role and iteration, and `rekeyed` is True.

        Raises:
            ValueError: If the state is damaged or of another run; what is here may have changed then.
        """
        if type(state["iteration"]) is not int or state["iteration"] < 0:
            raise InputError(f"the iteration of a checkpoint must be a whole number, got {state['iteration']!r}")
        if bad := [name for name, tensor in tensors_in(state) if not tensor.isfinite().all()]:
            raise InputError(f"the checkpoint holds NaN in {bad[0]}")
        for player in self.players:
            player.ensemble.load_state(state[player.group])
            sampler = state["samplers"][player.role]
            fresh = self.random("noise", player.role, iteration=state["iteration"]).get_state()
            self.rekeyed = sampler["sghmc"]["generator"].shape != fresh.shape
            if self.rekeyed:
                sampler = {**sampler, "sghmc": {**sampler["sghmc"], "generator": fresh}}
            player.sampler.load_state_dict(sampler)
            for name, value in state.get("readings", {}).get(player.role, {}).items():  # older files have none
                if isinstance(value, dict):
                    value = {key: tensor.to(self.device) for key, tensor in value.items()}
                setattr(player, name, value)
        if self.teacher is not None:
            self.teacher.load_state_dict(state["teacher"])
        self.iteration = state["iteration"]


def tensors_in(state: dict, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every floating-point tensor of nested dicts and lists, with where it is."""
    for key, value in state.items() if isinstance(state, dict) else enumerate(state):
        place = f"{name}/{key}" if name else str(key)
        if isinstance(value, (dict, list)):
            yield from tensors_in(value, place)
        elif torch.is_tensor(value) and value.is_floating_point():
            yield place, value
