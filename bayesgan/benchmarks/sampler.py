"""What an SGHMC step costs over its lower bound (drawing the noise, and SGD), and against the `posteriors` package."""

import argparse
import copy
import time

import torch
from arviz_stats.base import array_stats
from torch import Tensor, nn
from torch.func import functional_call

from bayesgan.benchmarks.registry import BENCHMARKS, interleaved_seconds
from bayesgan.errors import InputError
from bayesgan.sampler import SGHMC

__all__ = ["run"]

CURVATURES = torch.logspace(0, 2, 100, dtype=torch.float64)  # of the 100-d Gaussian: condition number 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeats", type=int, default=30, help="timed rounds")
    parser.add_argument("--steps", type=int, default=20_000, help="steps of each chain on the Gaussian")
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
        {"step": chain.step, "bound": lower_bound, "whole": whole_step, "theirs": their_step}, repeats
    )
    millions = sum(p.numel() for p in parameters) / 1e6
    print(f"{millions:.1f} M weights, {device}, {torch.get_num_threads()} threads, torch {torch.__version__}, median of {repeats}")
    print(f"  SGHMC step                          {1e3 * seconds['step']:8.2f} ms")
    print(f"  randn + SGD(momentum) step          {1e3 * seconds['bound']:8.2f} ms   ratio {seconds['step'] / seconds['bound']:.2f}")
    print(f"  gradient + SGHMC step               {1e3 * seconds['whole']:8.2f} ms")
    print(f"  gradient + posteriors.sghmc update  {1e3 * seconds['theirs']:8.2f} ms   ratio {seconds['theirs'] / seconds['whole']:.2f}")


def effective_samples(steps: int, posteriors) -> None:
    """Smallest bulk ESS per second over 100 coordinates of N(0, 1/curvature), each package at its best settings.

    Best means: the most ESS per second among settings whose variances are within a tenth of the truth (on average over
    coordinates), so that nobody wins by a biased chain.
    """
    results = {}
    for name, chain in (("bayesgan", our_chain), ("posteriors", lambda *s: their_chain(posteriors, *s))):
        rows = []
        for stiffness in (0.05, 0.2, 0.5, 1.0, 2.0, 3.0):
            for friction in (0.02, 0.05, 0.1, 0.3, 0.6):
                seconds, values = chain(stiffness, friction, steps)
                kept = values[steps // 10:]
                if not kept.isfinite().all():
                    continue  # unstable
                error = (kept.var(0) * CURVATURES - 1).abs().mean().item()
                ess = float(array_stats.ess(kept.T[:, None].numpy(), method="bulk").min())
                rows.append((ess / seconds, stiffness, friction, error, ess))
        good = [row for row in rows if row[3] < 0.1] or rows
        results[name] = max(good)
        rate, stiffness, friction, error, ess = results[name]
        print(f"  {name:11} {rate:8.1f} ESS/s ({ess:.0f} in {steps} steps; eta·k {stiffness:g}, friction {friction:g}, "
              f"variance off by {100 * error:.1f} %)")
    print(f"  ratio {results['bayesgan'][0] / results['posteriors'][0]:.2f}   100-d Gaussian, condition number 100, float64")


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
