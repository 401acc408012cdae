"""What an SGHMC step costs over its lower bound (drawing the noise, and SGD), and against the `posteriors` package."""

import argparse
import copy
import time

import torch
from arviz_stats.base import array_stats
from torch import Tensor, nn
from torch.func import functional_call

from bayesgan.benchmarks.registry import BENCHMARKS
from bayesgan.basics.errors import InputError
from bayesgan.sampler import SGHMC
from bayesgan.basics.timing import interleaved_seconds

__all__ = ["run"]

CURVATURES = torch.logspace(0, 2, 100, dtype=torch.float64)  # of the 100-d Gaussian: condition number 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeats", type=int, default=30, help="timed rounds")
    parser.add_argument("--steps", type=int, default=5_000, help="steps of each trial chain on the Gaussian")
    parser.add_argument("--device", default="cpu", help="torch device of the step timings")


def run(arguments: argparse.Namespace) -> None:
    """Prints both comparisons."""
    if arguments.repeats < 1 or arguments.steps < 1000:
        raise InputError(f"--repeats must be at least 1 and --steps 1000, got {arguments.repeats} and {arguments.steps}")
    try:
        import posteriors
    except ImportError:
        raise InputError('the comparison needs the posteriors package; pip install -e ".[benchmark]"') from None
    step_times(arguments.repeats, arguments.device, posteriors)
    effective_samples(arguments.steps, posteriors)


def step_times(repeats: int, device: str, posteriors) -> None:
    """One step on a 784-1000-1000-1000-10 network (2.8 M weights)."""
    torch.manual_seed(0)
    widths = (784, 1000, 1000, 1000, 10)
    layers = [layer for a, b in zip(widths, widths[1:]) for layer in (nn.Linear(a, b), nn.ReLU())][:-1]
    ours, sgd_net = (nn.Sequential(*copy.deepcopy(layers)).to(device) for _ in range(2))
    x, y = torch.randn(64, 784, device=device), torch.randint(10, (64,), device=device)
    for net in (ours, sgd_net):
        nn.functional.cross_entropy(net(x), y).backward()
    source = torch.Generator(device)
    chain = SGHMC.from_sgd(ours.parameters(), lr=1e-6, momentum=0.9, num_data=60_000, generator=source)
    sgd = torch.optim.SGD(sgd_net.parameters(), lr=1e-6, momentum=0.9)
    parameters = list(sgd_net.parameters())

    def lower_bound():
        for p in parameters:
            torch.randn(p.shape, device=p.device, generator=source)
        sgd.step()

    def whole_step():
        chain.zero_grad()
        nn.functional.cross_entropy(ours(x), y).backward()
        chain.step()

    weights = {name: p.detach().clone() for name, p in ours.named_parameters()}
    transform = posteriors.sgmcmc.sghmc.build(
        lambda w, batch: (-nn.functional.cross_entropy(functional_call(ours, w, batch[0]), batch[1]), torch.tensor([])),
        lr=1e-3, alpha=0.1, temperature=1 / 60_000,
    )
    state = [transform.init(weights)]

    def their_step():
        state[0], _ = transform.update(state[0], (x, y), inplace=True)

    seconds = interleaved_seconds(
        {"step": chain.step, "bound": lower_bound, "whole": whole_step, "theirs": their_step}, repeats, device=device
    )
    millions = sum(p.numel() for p in parameters) / 1e6
    print(f"{millions:.1f} M weights, {device}, {torch.get_num_threads()} threads, torch {torch.__version__}, median of {repeats}")
    print(f"  SGHMC step                          {1e3 * seconds['step']:8.2f} ms")
    print(f"  randn + SGD(momentum) step          {1e3 * seconds['bound']:8.2f} ms   ratio {seconds['step'] / seconds['bound']:.2f}")
    print(f"  gradient + SGHMC step               {1e3 * seconds['whole']:8.2f} ms")
    print(f"  gradient + posteriors.sghmc update  {1e3 * seconds['theirs']:8.2f} ms   ratio {seconds['theirs'] / seconds['whole']:.2f}")


def effective_samples(steps: int, posteriors) -> None:
    """Smallest bulk ESS per second over 100 coordinates of N(0, 1/curvature), each package at its best settings.

    Best means the most ESS per second among the settings whose exact stationary variances, known in closed form for
    both, are within a tenth of the truth on average over coordinates: nobody wins by a biased chain.
    """
    packages = {"bayesgan": (our_chain, lambda stiffness, friction: 0.0),  # baoa is exact on Gaussians
                "posteriors": (lambda *settings: their_chain(posteriors, *settings), explicit_bias)}
    best = {}
    for name, (chain, bias) in packages.items():
        rows = []
        for stiffness in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 3.8):
            for friction in (0.02, 0.05, 0.1, 0.2, 0.4, 0.8):
                if bias(stiffness, friction) > 0.1:
                    continue
                rows.append((effective_rate(chain, stiffness, friction, steps)[0], stiffness, friction))
        _, stiffness, friction = max(rows)
        best[name], ess = effective_rate(chain, stiffness, friction, 10 * steps)  # long, for a figure free of the search
        print(f"  {name:11} {best[name]:8.1f} ESS/s ({ess:.0f} in {10 * steps} steps; eta·k {stiffness:g}, friction "
              f"{friction:g}, best of {len(rows)} settings)")
    print(f"  ratio {best['bayesgan'] / best['posteriors']:.1f}   100-d Gaussian, condition number 100, float64")


def effective_rate(chain, stiffness: float, friction: float, steps: int) -> tuple[float, float]:
    """ESS per second and ESS of the coordinate that mixes worst, after a tenth of the steps."""
    seconds, values = chain(stiffness, friction, steps)
    ess = float(array_stats.ess(values[steps // 10:].T[:, None].numpy(), method="bulk").min())
    return ess / seconds, ess


def explicit_bias(stiffness: float, friction: float) -> float:
    """Mean relative error of the variances when θ moves with the old momentum; infinite where that is unstable.

    Var θ = (T/k) · 2 alpha (2 - alpha + eta k) / ((alpha - eta k)(4 - 2 alpha + eta k)).
    """
    if stiffness >= friction:
        return float("inf")
    step = stiffness * CURVATURES / CURVATURES[-1]  # eta · k of each coordinate
    factor = 2 * friction * (2 - friction + step) / ((friction - step) * (4 - 2 * friction + step))
    return (factor - 1).abs().mean().item()


def our_chain(stiffness: float, friction: float, steps: int) -> tuple[float, Tensor]:
    """Seconds and positions (steps, 100); scheme baoa, eta = stiffness / largest curvature."""
    theta = torch.zeros(100, dtype=torch.float64, requires_grad=True)
    chain = SGHMC([theta], stiffness / CURVATURES[-1].item(), friction, scheme="baoa",
                  generator=torch.Generator().manual_seed(0))
    values = torch.empty(steps, 100, dtype=torch.float64)
    begun = time.perf_counter()
    for step in range(steps):
        chain.zero_grad()
        ((CURVATURES * theta**2).sum() / 2).backward()
        chain.step()
        values[step] = theta.detach()
    return time.perf_counter() - begun, values


def their_chain(posteriors, stiffness: float, friction: float, steps: int) -> tuple[float, Tensor]:
    """The same through posteriors.sghmc: its eta is lr², its friction per step lr · alpha."""
    torch.manual_seed(0)
    lr = (stiffness / CURVATURES[-1].item()) ** 0.5
    transform = posteriors.sgmcmc.sghmc.build(
        lambda theta, batch: (-(CURVATURES * theta**2).sum() / 2, torch.tensor([])), lr=lr, alpha=friction / lr
    )
    state = transform.init(torch.zeros(100, dtype=torch.float64))
    values = torch.empty(steps, 100, dtype=torch.float64)
    begun = time.perf_counter()
    for step in range(steps):
        state, _ = transform.update(state, None, inplace=True)
        values[step] = state.params
    return time.perf_counter() - begun, values


BENCHMARKS.register("sampler")((add_arguments, run))
