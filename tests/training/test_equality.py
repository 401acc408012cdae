"""Every engine, precision and coupling computes what the loop over all pairs of plain modules computes."""

import dataclasses

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from bayesgan.benchmarks.obvious import ObviousTrainer
from bayesgan.ensemble import ENGINES
from bayesgan.networks import NETWORKS
from bayesgan.options import ROLES, load_data, resolve
from bayesgan.training.algorithm import Trainer

TINY = {"num_gen": 3, "num_mcmc": 1, "num_disc": 2, "df_dim": 8, "z_dim": 4, "batch_size": 16, "gen_batch_size": 12,
        "train_iter": 40, "num_layers": 2, "feature_matching": False}
SEMI = {"N": 20, "label_batch_size": 10, "consistency": 0.0}


def pieces(semi=False, **changes):
    options, _ = resolve({**TINY, **(SEMI if semi else {}), **changes}, semi)
    return options, load_data(options)


def assert_same_course(ours, theirs, steps, tolerance):
    """Losses of `steps` iterations, which also compares every move of the weights but the last."""
    for iteration in range(steps):
        a, b = ours.step(), theirs.step()
        for role in ("discriminators", "generators"):
            difference = (getattr(a, role).double() - getattr(b, role).double()).abs().max().item()
            assert difference < tolerance, (iteration, role, difference)


@pytest.mark.parametrize("semi", [False, True])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_takes_the_obvious_loops_course(engine, network, semi):
    options, data = pieces(semi, engine=engine, network=network, coupling="full", precision="fp64")
    assert_same_course(Trainer(options, data), ObviousTrainer(Trainer(options, data)), 6, 1e-10)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("precision, tolerance", [("fp32", 1e-4), ("bf16", 0.05)])
def test_lower_precisions_stay_near_the_double_loop(engine, precision, tolerance):
    """Losses are near 1; bfloat16 has 8 bits. Starts alike: a second step would compare different fakes."""
    options, data = pieces(engine=engine, coupling="full", precision=precision)
    double = dataclasses.replace(options, precision="fp64")
    run = Trainer(options, data)
    assert run.generators.ensemble.compute is (torch.bfloat16 if precision == "bf16" else None)
    assert all(
        p.dtype is torch.float32 for p in run.generators.ensemble.parameters.values()
    )  # weights and state stay single
    assert_same_course(run, ObviousTrainer(Trainer(double, data)), 2, tolerance)


@pytest.mark.parametrize("num_gen, num_disc, semi, changes", [
    (3, 2, False, {}), (2, 3, False, {"wasserstein": True}), (1, 1, False, {}), (2, 10, False, {}),
    (3, 2, True, {}), (3, 2, True, {"feature_matching": True}),
])
def test_mixture_coupling_has_the_expectation_of_all_pairs(num_gen, num_disc, semi, changes):
    """Losses and the gradients of the fakes: the same weights, data and latent draws, other partners each time."""
    changes = {"num_gen": num_gen, "num_disc": num_disc, "network": "mlp", "precision": "fp64",
               **({"noise": 0.0, "dropout": 0.0} if semi else {}), **changes}
    mixed, full = (Trainer(*pieces(semi, coupling=coupling, **changes)) for coupling in ("mixture", "full"))
    latent = torch.randn(num_gen, 12, 4, dtype=torch.float64)
    real, fakes = mixed.real_batches(), mixed.generators.ensemble.forward(latent, train=False).detach().requires_grad_()

    def found(run):
        gradients = []
        run.discriminators.move = lambda *arguments, **readings: None  # nothing moves
        run.generators.move = lambda made, gradient, **readings: gradients.append(gradient)
        run.sources = lambda key, player: [run.random(key, member, iteration=0) for member in player.numbers]
        shown = run.shown(fakes)
        return run._move_discriminators(real, shown), run._move_generators(real, fakes, shown), *gradients

    expected, draws = found(full), [[], [], []]
    for mixed.iteration in range(400):
        for kept, value in zip(draws, found(mixed), strict=True):
            kept.append(value)
    for kept, value in zip(map(torch.stack, draws), expected, strict=True):
        error = kept.std(0) / len(kept) ** 0.5
        assert ((kept.mean(0) - value).abs() <= 6 * error + 1e-12).all()  # of thousands of numbers


class NoWaiting(TorchDispatchMode):
    """Refuses what makes a host wait for a GPU: reading a number, or shapes that depend on values."""

    WAITS = ("_local_scalar_dense", "nonzero", "bincount", "unique", "masked_select", "is_nonzero", "equal")

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        assert function.overloadpacket.__name__ not in self.WAITS, f"{function} waits for the device"
        return function(*arguments, **(keywords or {}))


@pytest.mark.parametrize(
    "semi, changes",
    [
        (False, {}),
        (False, {"coupling": "full"}),
        (False, {"wasserstein": True}),
        (True, {"feature_matching": True, "noise": 0.3, "shift": 1, "dropout": 0.3}),
        (True, {"consistency": 1.0, "spread_labels": 1}),  # spread in the first iteration alone
    ],
)
def test_an_iteration_never_waits_for_the_device(semi, changes, monkeypatch):
    run = Trainer(*pieces(semi, burn_in=2, ramp=1, **changes))
    run.step()
    with pytest.raises(AssertionError, match="waits for the device"), NoWaiting():
        torch.ones(1).item()
    for name in ("tolist", "cpu", "numpy", "item", "__bool__"):  # on a CPU these ask nothing of the dispatcher
        monkeypatch.setattr(torch.Tensor, name, lambda *_, name=name: pytest.fail(f"{name} waits for the device"))
    with NoWaiting():
        for _ in range(4):  # burn-in, the freeze, the ramp and sampling
            run.step()


def test_patches_leave_no_convolution():
    class Convolutions(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
            self.count += "convolution" in function.overloadpacket.__name__
            return function(*arguments, **(keywords or {}))

    counts = {}
    for engine in ("vmap", "patches"):
        run = Trainer(*pieces(engine=engine))
        with Convolutions() as seen:
            run.step()
        counts[engine] = seen.count
    assert counts["vmap"] > 0 and counts["patches"] == 0


def test_the_slope_penalty_sees_every_generator_at_full_coupling():
    run = Trainer(*pieces(coupling="full", wasserstein=True, network="mlp", precision="fp64"))
    fake = torch.arange(36.0, dtype=torch.float64).repeat_interleave(64).view(1, 36, 1, 8, 8).expand(2, -1, -1, -1, -1)
    seen = []
    run.discriminators.ensemble.forward = lambda points, train: (
        seen.append(points) or (points.flatten(2).sum(-1, keepdim=True), None)
    )
    run.random = lambda *key: torch.Generator().manual_seed(100 * len(seen) + key[-1])
    for _ in range(30):
        run.slope_penalty(torch.zeros(2, 16, 1, 8, 8, dtype=torch.float64), fake)
    values = torch.stack(seen).flatten(3).amax(-1)  # share times the fake's number, 12 fakes a generator
    assert (values > 24).any() and (values < 12).any()


def test_every_role_has_the_engine_it_was_given():
    options, data = pieces()
    run = Trainer(options, data, engines={"generator": ("vmap", False), "discriminator": ("loop", False)})
    assert run.generators.ensemble.engine is ENGINES["vmap"] and run.discriminators.ensemble.engine is ENGINES["loop"]
    assert tuple(run.engines) == ROLES
