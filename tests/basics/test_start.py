"""How a command starts: what it does not import, and from when its seconds are counted."""

import subprocess
import sys
import time

import torch

from bayesgan.basics import optimizers
from bayesgan.basics.later import later
from bayesgan.basics.stopping import BEGUN, started
from tests.commands.helpers import ROOT

SLOW = ["sklearn", "scipy", "matplotlib", "torchvision", "arviz_stats", "torch._dynamo", "torch._inductor"]


def imported(code):
    """Which of the slow libraries are there after these lines."""
    code += f"\nimport sys; print('found', *[name for name in {SLOW} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()[-1].split()[1:]


def test_the_command_line_imports_nothing_slow_but_torch():
    assert imported("from bayesgan.commands.train import main; assert main(['--N', '3']) == 2") == []


def test_training_imports_nothing_slow_but_torch():
    """Digits, a trainer and its steps, the memory it needs, a checkpoint, a picture and events."""
    assert imported(
        "import tempfile, torch; from pathlib import Path; from bayesgan.basics.devices import set_arithmetic\n"
        "from bayesgan.options import load_data, resolve; from bayesgan.store import RunFolder\n"
        "from bayesgan.training.algorithm import Trainer; from bayesgan.training.loop import train\n"
        "from bayesgan.commands.outlook import describe\n"
        "with tempfile.TemporaryDirectory() as folder:\n"
        "    options, _ = resolve({'out_dir': Path(folder), 'train_iter': 2, 'n_save': 1, 'engine': 'loop'})\n"
        "    data = load_data(options); set_arithmetic('fp32', torch.device('cpu')); trainer = Trainer(options, data)\n"
        "    describe(trainer)\n"
        "    train(trainer, RunFolder.create(options, data, [], trainer.engines))\n"
    ) == []


def test_adam_without_the_compiler_is_torchs():
    ends = []
    for kind in (optimizers.Adam, torch.optim.Adam):
        weights = torch.linspace(-1, 1, 7).requires_grad_()
        adam = kind([weights], lr=0.1)
        for _ in range(5):
            adam.zero_grad()
            (weights**4).sum().backward()
            adam.step()
        ends.append(weights.detach())
        assert not adam.state[weights]["exp_avg"].requires_grad
    assert torch.equal(*ends)
    assert imported("import torch; from bayesgan.basics.optimizers import Adam; w = torch.ones(1, requires_grad=True)\n"
                    "adam = Adam([w]); w.sum().backward(); adam.step(); adam.zero_grad()") == []


def test_later_imports_at_the_first_call():
    sqrt = later("cmath", "sqrt")
    assert sqrt(-4) == 2j and later("no_such_module", "f")


def test_seconds_are_counted_from_the_start_of_the_process_once():
    BEGUN[:] = [5.0]
    assert started() == 5.0 and started() > 5.0 and abs(started() - time.perf_counter()) < 1
