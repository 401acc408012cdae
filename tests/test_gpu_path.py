"""All that computes keeps its tensors on one device, and an iteration never waits: on a GPU that is not there."""

import pytest
import torch

from bayesgan import load_posterior
from bayesgan.commands.resample import resample_run
from bayesgan.commands.train import main
from bayesgan.options import load_data, resolve
from bayesgan.training.algorithm import Trainer
from tests.commands.helpers import TINY, read
from tests.pretend_gpu import GPU, pretend_gpu
from tests.sampler.helpers import classes, classifier

GIVEN = {"num_gen": 2, "num_mcmc": 1, "num_disc": 2, "df_dim": 4, "z_dim": 3, "batch_size": 8, "num_layers": 2,
        "train_iter": 30, "burn_in": 4, "ramp": 2, "friction": 0.9}
VARIANTS = {
    "mixture": {}, "full": {"coupling": "full"}, "wasserstein": {"wasserstein": True}, "shift": {"shift": 1},
    "noise": {"noise": 0.3, "dropout": 0.5}, "features": {"feature_matching": True}, "sgd": {"optimizer": "sgd"},
    "teacher": {"N": 20, "consistency": 1.0, "spread_labels": 2}, "no teacher": {"N": 20, "consistency": 0.0},
}


def test_the_pretence_refuses_what_a_gpu_refuses():
    with pretend_gpu() as gpu:
        on = torch.ones(3, device=GPU)
        assert on.device == GPU and on.is_cuda and (on * 2).device == GPU and on.cpu().device.type == "cpu"
        for mixed in (lambda: on + torch.ones(3), lambda: on @ torch.ones(3), lambda: torch.cat([on, torch.ones(3)]),
                      lambda: torch.randn(3, generator=torch.Generator(), device=GPU),
                      lambda: torch.ones(3).normal_(generator=torch.Generator("cuda"))):
            with pytest.raises(RuntimeError, match="cuda:0 and on cpu|other device"):
                mixed()
        before = gpu.waits
        on.sum().item(), bool(on.sum() > 0), on.tolist()
        assert gpu.waits >= before + 3
        assert (on + 1.0).device == GPU and (on + torch.tensor(1.0)).device == GPU
        weight = torch.ones(3, device=GPU, requires_grad=True)
        (weight * on).sum().backward()
        assert weight.grad.device == GPU


@pytest.mark.parametrize("name, engine", [
    *((name, "loop") for name in VARIANTS),
    *((name, engine) for name in ("noise", "teacher") for engine in ("vmap", "patches")),
])
def test_iterations_keep_to_the_gpu_and_never_wait(name, engine):
    options, _ = resolve({**GIVEN, **VARIANTS[name], "engine": engine}, "N" in VARIANTS[name])
    with pretend_gpu() as gpu:
        trainer = Trainer(options, load_data(options), GPU)
        waits = []
        for _ in range(12):
            before = gpu.waits
            losses = trainer.step()
            waits.append(gpu.waits - before)
        assert losses.discriminators.device == GPU and losses.generators.isfinite().all().item()
        graphs = set(options.spread_moments)
        assert all(count == 0 for step, count in enumerate(waits) if step not in graphs), waits
        state = trainer.state_dict()
        resumed = Trainer(options, load_data(options), GPU)
        resumed.load_state_dict(state)
        resumed.step()


@pytest.mark.parametrize("semi", [False, True])
def test_both_command_lines_run_on_the_gpu_go_on_and_are_used(semi, tmp_path, capsys):
    flags = [*TINY, "--device", "cuda", "--out_dir", str(tmp_path)]
    with pretend_gpu():
        assert main([*flags, *(["--N", "20"] if semi else ["--resample", "obrs"])], semi) == 0, capsys.readouterr().err
        folder = next(tmp_path.iterdir())
        assert main(["--resume", str(folder), "--train_iter", "12", "--device", "cuda"], semi) == 0
        posterior = load_posterior(folder, "cuda")
        assert posterior.sample(3).device == GPU
        if semi:
            assert posterior.predict_proba(posterior.sample(3)).shape == (3, 10)
        else:
            resample_run(folder, 4, method="mh", budget=4, device=GPU)
    assert read(folder, "config.json")["device_type"] == "cuda"
    assert main(["--resume", str(folder), "--train_iter", "14", "--device", "cpu"], semi) == 0  # where there is none


def test_the_sampler_of_any_network_runs_on_the_gpu():
    x, y = classes()
    with pretend_gpu() as gpu:
        sampler = classifier(device=GPU)
        assert sampler.chain.check_every == 20
        sampler.run((x, y), draws=4, batch_size=10, progress=False)
        assert gpu.waits and sampler.predict(x[:5]).shape == (5, 3)
        sampler.diagnostics(x[:5])
