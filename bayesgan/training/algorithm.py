"""Algorithm 1 of Saatchi & Wilson 2017: SGHMC on all generators and all discriminators, one iteration at a time.

The trainer owns the two players (players.py); it writes no file and prints nothing (loop.py does).
"""

import torch
from torch import Tensor

from bayesgan.basics.errors import Diverged, InputError
from bayesgan.basics.randomness import keyed_generator
from bayesgan.basics.ranks import Ranks
from bayesgan.data import Dataset, labelled_rows, some, to_float
from bayesgan.ensemble import Ensemble
from bayesgan.evaluation.classification import CHUNK
from bayesgan.objectives import OBJECTIVES, consistency_loss, labelled_loss, real_score
from bayesgan.options import Engines, Options, default_engines
from bayesgan.sampler import SGHMC, Normal, RMSprop, exponential_then_constant, ramp
from bayesgan.store.checkpoints import refuse_nan
from bayesgan.training.losses import Losses, generator_losses, slope_penalty
from bayesgan.training.meetings import Meetings, Shown
from bayesgan.training.minibatches import (
    distorted_batches,
    labelled_batches,
    latent_draw,
    real_batches,
    unlabelled_batch,
)
from bayesgan.training.players import GAUGE_EVERY, Player, shares
from bayesgan.training.teacher import Teacher

__all__ = ["Trainer", "begin_step"]

REMEDY = "start a run with a lower --lr or --temperature"
CORRECT_EVERY = 100  # iterations between corrections for gradient noise, each of which waits for the device
READINGS = ("readings", "kinetic", "noise_readings", "noise")  # of a player, kept in checkpoints


def begin_step(engines: Engines) -> None:
    """Tells CUDA graphs that nothing of what came before is needed any more; torch takes seconds to import what knows.
    """
    if any(compiled for _, compiled in engines.values()):
        torch.compiler.cudagraph_mark_step_begin()


class Trainer:
    """Both posteriors, and `step()` to move every member once.

    The potentials, on the sum scale (N training data, N_g the pseudo-count):

        U_D = N · [-mean_real log D - mean_fakes log(1-D)] - log p(θ_d)     fakes from the mixture of all generators
        U_G = N_g · [-mean_z mean_k log D_k(G(z))] - log p(θ_g)

    A semi-supervised run adds N_l · [-mean_labelled log D(x = y)] to U_D, N_l being label_count; D then stands for the
    sum over the K classes. Consistency c also adds N · c · [-mean_unlabelled 1[sure] E log p(class | distorted x)], the
    classes being those of the `teacher`, certain ones but for the end of burn-in and the draws. Without generators
    these two terms are all.

    Full coupling uses every pair (as Algorithm 1 does); mixture coupling estimates the sums over opponents without
    bias: a discriminator sees as many random images of each generator, and scores a random share of each one's.

    Nothing in `step` waits for the device: a weight or loss that is not finite is found by `check`.

    Several processes have some members each: fakes go to the discriminators that see them, and what these want of them
    comes back; weights stay. Random streams belong to a member and an iteration, so that the number of processes
    changes nothing but rounding.

    Args:
        engines: As `choose_engines` found them; by default `default_engines`.
        ranks: This process among others.
    """

    def __init__(
        self, options: Options, data: Dataset, device: torch.device | str = "cpu", engines: Engines | None = None,
        ranks: Ranks | None = None,
    ):
        self.options, self.device, self.ranks = options, torch.device(device), ranks or Ranks()
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
            self.teacher = Teacher(
                self.discriminators.ensemble, len(data.train), len(data.classes), options.confidence, self.ranks
            )
        self.use(engines or default_engines(options))
        self.turn = 0  # steps of the discriminators that are still to come in this iteration
        self.iteration = 0

    def _player(self, role: str, build, members: int, num_data: int) -> Player:
        options = self.options
        numbers = shares(self.ranks, role, members)[self.ranks.rank]
        ensemble = Ensemble(
            build, len(numbers),
            lambda member: keyed_generator(options.random_seed, "initial weights", role, numbers[member]),
            device=self.device, dtype=self.dtype,
            compute=torch.bfloat16 if options.precision == "bf16" else None,
        )
        rate = exponential_then_constant(options.lr_of(role), options.lr_decay, options.burn_in)
        each = options.steps_of(role)
        sampler = SGHMC.from_sgd(
            list(ensemble.parameters.items()),
            lr=lambda step: rate(step // each),
            momentum=1 - options.friction,
            num_data=num_data,
            temperature=lambda step: self.temperature(step // each),
            preconditioner=RMSprop(floor=options.floor) if options.optimizer == "adam" else None,
            generator=lambda step: [self.random("noise", role, member, iteration=step) for member in numbers],
            check_gradients=False,
        )
        prior = None if options.ml else Normal(options.prior_std, ensemble.scales)
        return Player(role, ensemble, sampler, prior, num_data, ranks=self.ranks, members=members)

    @property
    def iteration(self) -> int:
        """Iterations done. The samplers' own count, so that the two cannot disagree; generators move last."""
        return self.generators.sampler.steps

    @iteration.setter
    def iteration(self, done: int) -> None:
        for player in self.players:
            player.sampler.steps = done * self.options.steps_of(player.role)

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

    @property
    def settled(self) -> bool:
        """Whether images are distorted gently and the graph's classes are probabilities, for the last one is listened
        to.
        """
        return self.options.settling is not None and self.iteration >= self.options.settling and self.teacher.listens

    def _readings(self) -> dict[str, bool]:
        """What a player reads while it moves: now and then gradient noise, once T rises, and the kinetic temperature,
        once noise was subtracted and momenta have forgotten the time before.
        """
        options = self.options
        since = self.iteration - options.burn_in
        if options.ml or options.temperature == 0 or since <= 0 or self.iteration % GAUGE_EVERY or self.turn:
            return {}
        settled = max(options.ramp, 2 * CORRECT_EVERY) + round(3 / options.friction)
        return {"read": True, "gauge": since >= settled}

    def kinetic_temperatures(self) -> dict[str, dict[str, float]]:
        """"generators" and "discriminators" -> "all" and each tensor -> mean kinetic temperature so far."""
        measured = {player.group: player.kinetic_temperatures() for player in self.players}
        return {group: values for group, values in measured.items() if values}

    def step(self) -> Losses:
        """One iteration: fakes, all discriminators (`d_steps` times), then all generators against the moved ones."""
        options = self.options
        if self.iteration == options.burn_in and options.temperature > 0:
            for player in self.players:
                player.freeze_preconditioner()
        if self.iteration in options.spread_moments:
            self.check([], self.iteration)
            self.teacher.spread(self.data, self.iteration)
        for self.turn in reversed(range(options.d_steps)):  # the last one draws as an iteration with one
            begin_step(self.engines)
            with torch.set_grad_enabled(self.turn == 0):
                fakes = self.fakes()  # (I_r, B_g, ...)
            shown = self.shown(fakes)
            real = self.real_batches()  # (K_r, B, ...)
            d_losses = self._move_discriminators(real, shown)
        g_losses = self._move_generators(real, fakes, shown)
        # right after a reading: a reading pairs a momentum with the friction and the step that made it
        if (self.iteration - 1) % CORRECT_EVERY == 0 and options.gradient_noise == "subtract":
            for player in self.players:
                player.correct(options.temperature)
        return Losses(d_losses, g_losses)

    def fakes(self) -> Tensor:
        """Of the generators here, with their graph: (I_r, B_g, ...)."""
        options, sources = self.options, self.sources("latent", self.generators)
        if not sources:
            return torch.zeros(0, options.gen_batch, *self.data.shape, device=self.device, dtype=self.dtype)
        return self.generators.ensemble.forward(latent_draw(options.gen_batch, options.z_dim, sources), train=True)

    def shown(self, fakes: Tensor) -> Shown:
        """What the discriminators here see of the fakes (I_r, B_g, ...) of all processes."""
        return Shown(self.ranks, fakes.detach().flatten(0, 1), Meetings.drawn(self.options, self.table),
                     self.generators.shares, self.discriminators.shares, self.options.gen_batch)

    def _move_discriminators(self, real: Tensor, shown: Shown) -> Tensor:
        if self.teacher is not None:
            rows, weak = unlabelled_batch(self.options, self.data, self.random("unlabelled"))
            classes, sure = self.teacher.teach(weak, rows, self.settled)
        if not len(real):
            self.discriminators.move(None, **self._readings())
            return real.new_zeros(0)
        seen, played = [], self.options.generators > 0  # (K_r, n, ...) each
        if played:  # full coupling has all fakes in order
            fake = shown.images.expand(len(real), *shown.images.shape) if self.options.coupling == "full" else (
                shown.images[shown.fakes])  # (K_r, F, ...)
            seen += [real, fake]
        if self.options.semi:
            sources = self.sources("labelled", self.discriminators)
            labelled, labels = labelled_batches(self.options, self.data, self.labelled, sources)
            seen.append(labelled.to(real))
        if self.teacher is not None:
            sources = self.sources("distorted", self.discriminators)
            seen.append(distorted_batches(self.options, self.data, rows, sources, self.settled).to(real))
        noise = self.sources("noise layers", self.discriminators)
        logits, _ = self.discriminators.ensemble.forward(torch.cat(seen, 1), train=True, noise=noise)
        parts = iter(logits.split([images.shape[1] for images in seen], 1))
        losses = logits.new_zeros(len(logits))  # (K,)
        if played:
            losses = losses + self.objective.discriminator(real_score(next(parts)), real_score(next(parts)))
        if self.options.semi:
            losses = losses + self.label_weight * labelled_loss(next(parts), labels)
        if self.teacher is not None:
            losses = losses + self.options.consistency * consistency_loss(next(parts), classes, sure)
        total = losses.sum()
        if self.objective.gradient_penalty and played:
            total = total + self.objective.gradient_penalty * self.slope_penalty(real, fake)
        self.discriminators.move(total, **self._readings())
        if self.teacher is not None and self.turn == 0:
            self.teacher.update(self.iteration)
        return losses.detach()

    def _move_generators(self, real: Tensor, fakes: Tensor, shown: Shown) -> Tensor:
        if not self.options.generators:
            self.generators.move(None)
            return fakes.new_zeros(0)
        wanted, losses = torch.zeros_like(shown.images), fakes.new_zeros(self.options.generators)
        if len(real):
            makers, weights = (part.to(self.device) for part in (shown.generators, shown.weights.to(fakes.dtype)))
            images = shown.images[shown.judged].requires_grad_()  # (K_r, n, ...)
            scores = self.judged(real, images) * weights  # (K_r, n)
            (gradient,) = torch.autograd.grad(scores.sum(), images)
            wanted.index_add_(0, shown.judged.flatten().to(self.device), gradient.flatten(0, 1))
            losses.index_add_(0, makers.flatten(), scores.detach().flatten())
        pulled = shown.returned(wanted).view_as(fakes)  # what all its judges want of every image
        self.generators.move(fakes, pulled, **self._readings())
        return losses

    def judged(self, real: Tensor, images: Tensor) -> Tensor:
        """The generators' losses at these images (K_r, n, ...) by each discriminator here (`generator_losses`)."""
        sources = self.sources("judging", self.discriminators)
        return generator_losses(self.options, self.discriminators.ensemble, real, images, sources)

    def slope_penalty(self, real: Tensor, fake: Tensor) -> Tensor:
        """Of the discriminators here between (K_r, B, ...) and (K_r, F, ...), see `losses.slope_penalty`."""
        return slope_penalty(self.discriminators.ensemble, real, fake, self.sources("between", self.discriminators))

    def real_batches(self) -> Tensor:
        """A minibatch of real data for each discriminator here: (K_r, B, ...)."""
        sources = self.sources("real", self.discriminators)
        if not sources:
            return torch.zeros(0, self.options.batch_size, *self.data.shape, device=self.device, dtype=self.dtype)
        return real_batches(self.options, self.data, sources).to(self.dtype)

    def sources(self, key: str, player: Player) -> list[torch.Generator]:
        """The random stream of each of a player's members here, at the present iteration."""
        return [self.random(key, member) for member in player.numbers]

    def table(self, *key: str | int) -> torch.Generator:
        """A stream, on the CPU, for what all processes must know without a word."""
        return keyed_generator(self.options.random_seed, *key, *self._now())

    def _now(self) -> tuple[int, ...]:
        return (self.iteration, self.turn) if self.turn else (self.iteration,)

    def random(self, *key: str | int, iteration: int | None = None) -> torch.Generator:
        """The random stream of a role at an iteration (default: the present one, and turn of the discriminators)."""
        when = self._now() if iteration is None else (iteration,)
        return keyed_generator(self.options.random_seed, *key, *when, device=self.device)

    def check(self, history: list[Losses], first: int) -> None:
        """Raises `Diverged` if a loss in `history` (from iteration `first`; may be empty) or a weight is not finite.

        In every process if in any. It names the earliest, and of these the one with the fewest companions: within an
        iteration the fault spreads.
        """
        found = []  # iteration, how many members, what
        for player in self.players:
            losses = [getattr(one, player.group) for one in history]
            bad = ~torch.stack(losses).isfinite() if losses else torch.zeros(1, 1)  # (iterations, members)
            if bad.any():
                row, member = bad.nonzero()[0].tolist()
                member += 0 if player is self.generators else player.numbers.start
                found.append((first + row, int(bad[row].sum()), f"the loss of {player.role} {member}"))
            bad = player.non_finite_members()
            if bad.any():
                member = player.numbers[int(bad.nonzero()[0])]
                found.append((self.iteration - 1, int(bad.sum()), f"a weight of {player.role} {member}"))
        if found := [one for part in self.ranks.gathered(found) for one in part]:
            iteration, _, what = min(found)
            raise Diverged(f"{what} became non-finite at iteration {iteration}; {REMEDY}")

    def mean(self, history: list[Losses]) -> Losses:
        """Of every member of all processes, over some iterations."""
        discriminators = torch.stack([losses.discriminators for losses in history]).mean(0)
        generators = torch.stack([losses.generators for losses in history]).mean(0)
        return Losses(self.ranks.whole(discriminators), self.ranks.sum(generators))

    @torch.no_grad()
    def losses_on(self, data: Tensor) -> Tensor:
        """Of every discriminator as it is: mean loss on some of these data and on fakes, always the same, (K,).

        The data's labels, a teacher and the slope penalty are left out. On data it has not seen a discriminator that
        learns by heart does worse.
        """
        real, ensemble = to_float(some(data, CHUNK)).to(self.dtype), self.discriminators.ensemble
        fakes = self.ranks.whole(self.samples(-(-CHUNK // self.options.generators)).flatten(0, 1))
        own = [self.objective.discriminator(*(real_score(ensemble.forward_member(place, images)[0])
                                              for images in (real, fakes)))
               for place in range(ensemble.members)]
        return self.ranks.whole(torch.stack(own) if own else real.new_zeros(0))

    @torch.no_grad()
    def samples(self, count: int) -> Tensor:
        """Of each generator here, from noise that is the same at every call of the run: (I_r, count, ...)."""
        made = torch.zeros(len(self.generators.numbers), count, *self.data.shape, device=self.device, dtype=self.dtype)
        for place, member in enumerate(self.generators.numbers):  # alone: they may be more than a minibatch
            latent = latent_draw(count, self.options.z_dim, [self.random("fixed noise", member, iteration=0)])[0]
            made[place] = self.generators.ensemble.forward_member(place, latent)
        return made

    def states(self) -> dict[str, dict[str, Tensor]]:
        """The present draw of the members here: "generators" and "discriminators" -> weights and statistics."""
        return {player.group: player.ensemble.state() for player in self.players}

    def draw(self) -> dict[str, dict[str, Tensor]]:
        """What is collected: `states`, and the averaged weights that predict where there is a teacher."""
        return self.states() if self.teacher is None else {**self.states(), "averages": self.teacher.average}

    def state_dict(self) -> dict:
        """Everything the next iteration needs of the members here; tensors, numbers and strings only."""
        return {
            "iteration": self.iteration,
            **self.states(),
            "samplers": {player.role: player.sampler.state_dict() for player in self.players},
            "teacher": {} if self.teacher is None else self.teacher.state_dict(),
            "readings": {player.role: {name: getattr(player, name) for name in READINGS} for player in self.players},
        }

    def load_state_dict(self, state: dict) -> None:
        """Continues where `state_dict()` was taken, bit for bit on the same machine.

        Args:
            state: Of all members; of several processes see `store.checkpoints.joined`.

        Raises:
            ValueError: If the state is damaged or of another run; what is here may have changed then.
        """
        if type(state["iteration"]) is not int or state["iteration"] < 0:
            raise InputError(f"the iteration of a checkpoint must be a whole number, got {state['iteration']!r}")
        refuse_nan(state)
        for player in self.players:
            player.load_state(state[player.group], state["samplers"][player.role])
            for name, value in state.get("readings", {}).get(player.role, {}).items():  # older files have none
                if isinstance(value, dict):
                    value = {key: tensor.to(self.device, player.ensemble.dtype) for key, tensor in value.items()}
                setattr(player, name, value)
        if self.teacher is not None:
            own = self.discriminators.numbers
            average = {name: tensor[own.start : own.stop] for name, tensor in state["teacher"]["average"].items()}
            self.teacher.load_state_dict({**state["teacher"], "average": average})
        self.iteration = state["iteration"]
