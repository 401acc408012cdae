"""run_bgan.py as a user types it: the folder it leaves, resuming, and one line for every mistake."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import SafetensorError
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bayesgan import load_posterior
from bayesgan.commands.train import main
from bayesgan.store.run_folder import RunFolder
from bayesgan.training.algorithm import Trainer
from bayesgan.training.loop import GRID
from bayesgan.training.minibatches import latent_draw
from tests.commands.helpers import ROOT, TINY, read, run


def test_a_run_leaves_what_the_readme_says(tmp_path, capsys):
    folder = run(tmp_path / "out", "--save_samples", "--save_weights")
    assert folder.name.startswith("bgan_digits_")
    results = read(folder, "results_5.json")
    assert len(results["gen_losses"]) == 2 and results["timestamp"] > 0
    assert [len(results[key]) for key in ("disc_losses", "disc_losses_train", "disc_losses_test")] == [1, 1, 1]
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    assert any(name.startswith("weights_generators/") for name in events.Tags()["histograms"])
    assert "_hparams_/session_start_info" in events.summary_metadata
    config = read(folder, "config.json")
    assert config["options"]["z_dim"] == 3 and config["commands"][0]["command"][:2] == TINY[:2]
    assert config["versions"]["torch"] == torch.__version__
    assert "'z_dim': 3" in (folder / "hypers.txt").read_text()
    with np.load(folder / "weights_10.npz", allow_pickle=False) as weights:
        assert weights["generators/project.weight"].shape[0] == 2
    names = {p.name for p in (folder / "samples").iterdir()}
    assert names == {f"{what}_{n:08d}.png" for what in ("mixture", "generator_00", "generator_01") for n in (5, 10)} | {
        "posterior.png"}
    assert Image.open(folder / "samples" / "generator_00_00000010.png").size == (10 * 34 + 2, 10 * 34 + 2)
    assert {p.name for p in (folder / "checkpoints").iterdir()} == {"last.pt", "previous.pt"}
    assert [d["step"] for d in read(folder, "posterior/index.json")["draws"]] == [8, 10]
    assert list((folder / "tensorboard").glob("events*"))
    text = capsys.readouterr().out
    assert "10/10" in text and "it/s" in text and "temperature 0.1" in text and f"--resume {folder}" in text


def test_the_posterior_samples(tmp_path):
    folder = run(tmp_path)
    posterior = load_posterior(folder)
    images = posterior.sample(50, seed=1)
    assert images.shape == (50, 1, 8, 8) and images.abs().max() <= 1
    assert torch.equal(images, load_posterior(folder).sample(50, seed=1))
    assert not torch.equal(images, posterior.sample(50, seed=2))
    assert posterior.generators.members == 4 and posterior.discriminators.members == 2  # 2 draws
    stored = RunFolder.open(folder).store.opened()[1].load("generators")["project.weight"]
    assert torch.equal(posterior.generators.state()["project.weight"][2:], stored)
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        posterior.sample(0)
    for wrong in (2.5, 3.0, "3", None, True):
        with pytest.raises(ValueError, match=f"n must be a whole number, got {wrong!r}"):
            posterior.sample(wrong)
    with pytest.raises(ValueError, match="count must be a whole number, got 1.5"):
        posterior.newest(1.5)
    with pytest.raises(ValueError, match="is not a run folder"):
        load_posterior(tmp_path / "nowhere")
    for wrong in (None, 3):
        with pytest.raises(ValueError, match=f"a run folder must be a path, got {wrong}; name one like runs"):
            load_posterior(wrong)
    with pytest.raises(ValueError, match="device must be one that is here, got 'foo' .*; give cpu"):
        load_posterior(folder, "foo")


def test_crashed_and_resumed_equals_uninterrupted(tmp_path, monkeypatch, capsys):
    """A run that dies after a checkpoint and is taken up again ends in the same weights, draws and pictures."""
    whole = run(tmp_path / "whole", "--save_samples")
    step = Trainer.step

    def dying(trainer):
        if trainer.iteration == 7:
            raise KeyboardInterrupt
        return step(trainer)

    monkeypatch.setattr(Trainer, "step", dying)
    part = run(tmp_path / "part", "--save_samples", code=130)
    monkeypatch.setattr(Trainer, "step", step)
    assert main(["--resume", str(part)]) == 0
    assert "at iteration 5, from last.pt" in capsys.readouterr().out
    for name in ("posterior/draw_00000008.safetensors", "posterior/draw_00000010.safetensors",
                 "samples/mixture_00000005.png", "samples/mixture_00000010.png", "samples/posterior.png"):
        assert (whole / name).read_bytes() == (part / name).read_bytes()
    a, b = (torch.load(f / "checkpoints" / "last.pt", weights_only=True) for f in (whole, part))
    assert all(torch.equal(t, b["generators"][n]) for n, t in a["generators"].items())
    assert len(read(part, "config.json")["commands"]) == 2


def test_fixed_noise_is_the_same_at_every_save(tmp_path, monkeypatch):
    seen = []

    def noted(count, *others):
        if count == GRID:
            seen.append(latent_draw(count, *others))
        return latent_draw(count, *others)

    monkeypatch.setattr("bayesgan.training.algorithm.latent_draw", noted)
    run(tmp_path)
    half = len(seen) // 2  # one latent draw a generator
    assert half > 0 and torch.equal(torch.cat(seen[:half]), torch.cat(seen[half:]))


def test_resume_refuses_other_data(tmp_path, capsys):
    for name, size in (("a", 30), ("b", 40)):
        np.savez(tmp_path / f"{name}.npz", x=np.random.default_rng(size).random((size, 8, 8)))
    folder = run(tmp_path / "out", "--dataset", "npz", "--data_path", tmp_path / "a.npz")
    assert main(["--resume", str(folder), "--train_iter", "12", "--data_path", str(tmp_path / "b.npz")]) == 2
    assert "trained on other data: train 24 (found 32)" in capsys.readouterr().err
    assert main(["--resume", str(folder), "--train_iter", "12", "--gpu_id", "99"]) == 2
    assert "--gpu_id 99 asks for a GPU" in capsys.readouterr().err
    (tmp_path / "a.npz").rename(tmp_path / "moved.npz")
    assert main(["--resume", str(folder), "--train_iter", "12", "--data_path", str(tmp_path / "moved.npz")]) == 0


@pytest.mark.parametrize("name, content", [("config.json", b"\xff\xfe"), ("config.json", b"{}"), ("config.json", b"[]"),
                                           ("posterior/index.json", b"\xff"), ("posterior/index.json", b"[]")])
def test_a_damaged_run_is_one_line(name, content, tmp_path):
    folder = run(tmp_path)
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=name.split("/")[-1]):
        load_posterior(folder)


def test_resume_goes_further_and_refuses_another_run(tmp_path, capsys):
    folder = run(tmp_path)
    before = (folder / "config.json").read_bytes()
    assert main(["--resume", str(folder)]) == 0
    assert "is complete, all 10 iterations and what follows them; add some with --train_iter 20" in (
        capsys.readouterr().out)
    assert (folder / "config.json").read_bytes() == before
    assert main(["--resume", str(folder), "--train_iter", "8", "--keep", "1"]) == 2
    assert "has done 10 iterations already, got --train_iter 8; give more" in capsys.readouterr().err
    assert main(["--resume", str(folder), "--z_dim", "7", "--lr", "0.1"]) == 2
    error = capsys.readouterr().err
    assert "--z_dim 7 (the run has 3)" in error and "--lr 0.1 (the run has 0.0005)" in error
    assert main(["--resume", str(folder), "--train_iter", "16", "--z_dim", "3"]) == 0
    assert [d["step"] for d in read(folder, "posterior/index.json")["draws"]] == [11, 16]
    assert read(folder, "config.json")["options"]["train_iter"] == 16


def test_a_resumed_run_gets_no_defaults_that_came_later(tmp_path):
    """A run that stored no gen_batch_size had that of batch_size, whatever its data set's default is now."""
    folder = run(tmp_path)
    config = read(folder, "config.json")
    assert config["options"]["gen_batch_size"] is not None
    config["options"]["gen_batch_size"] = None
    (folder / "config.json").write_text(json.dumps(config))
    assert main(["--resume", str(folder), "--train_iter", "12"]) == 0
    assert RunFolder.open(folder).options().gen_batch_size is None


@pytest.mark.parametrize("version, told", [(3, True), (4, True), (5, False)])
def test_a_run_of_an_older_version_is_told_that_its_bits_differ(version, told, tmp_path, capsys):
    folder = run(tmp_path, "--num_disc", "3")
    config = read(folder, "config.json")
    assert config["format"] == 5
    (folder / "config.json").write_text(json.dumps(config | {"format": version}))
    assert main(["--resume", str(folder), "--train_iter", "12"]) == 0
    assert ("the bits differ from those it would have had" in capsys.readouterr().out) == told
    assert read(folder, "config.json")["options"]["coupling"] == "mixture"


def test_resume_falls_back_to_the_previous_checkpoint(tmp_path, capsys):
    folder = run(tmp_path)
    (folder / "checkpoints" / "last.pt").write_bytes(b"cut")
    assert main(["--resume", str(folder), "--train_iter", "12"]) == 0
    assert "at iteration 5, from previous.pt" in capsys.readouterr().out
    assert torch.load(folder / "checkpoints" / "previous.pt", weights_only=True)["iteration"] == 10
    assert (folder / "checkpoints" / "last.pt.damaged").exists()
    for name in ("last.pt", "previous.pt"):
        (folder / "checkpoints" / name).write_bytes(b"cut")
    assert main(["--resume", str(folder), "--train_iter", "14"]) == 2
    assert "no checkpoint can be read" in capsys.readouterr().err


def test_an_interrupt_checkpoints_and_exits_130(tmp_path):
    arguments = [a if a != "10" else "100000" for a in TINY]
    process = subprocess.Popen([sys.executable, "run_bgan.py", *arguments, "--out_dir", tmp_path], cwd=ROOT,
                               stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    for line in process.stdout:
        if line.startswith("20/"):
            break
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read()
    assert process.wait(60) == 130 and "stopped after iteration" in rest and "--resume" in rest
    state = torch.load(next(tmp_path.glob("*/checkpoints/last.pt")), weights_only=True)
    assert f"stopped after iteration {state['iteration']};" in rest


def test_dry_run_writes_nothing(tmp_path, capsys):
    assert run(tmp_path / "out", "--dry_run") is None
    assert not (tmp_path / "out").exists()
    assert "s per iteration" in capsys.readouterr().out


def test_divergence_exits_3_and_keeps_the_last_good_checkpoint(tmp_path, capsys):
    folder = run(tmp_path, "--train_iter", "200", "--n_save", "1", "--log_every", "1", "--optimizer", "sgd",
                 "--lr", "1e5", "--network", "mlp", "--objective", "least_squares", code=3)
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and "iteration" in error
    path = folder / "checkpoints" / "last.pt"
    assert str(path) in error
    weights = torch.load(path, weights_only=True)["discriminators"]
    assert all(tensor.isfinite().all() for tensor in weights.values())


def test_ml_says_what_it_overrides(tmp_path, capsys):
    folder = run(tmp_path, "--ml", "--num_disc", "2", "--temperature", "0.5")
    text = capsys.readouterr().out
    assert "--ml trains one generator and one discriminator" in text
    assert "--num_gen 2 overridden" in text and "--temperature 0.5 overridden" in text
    assert load_posterior(folder).generators.members == 1


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--dataset", "mnits"], "--dataset must be one of: npz, digits"),
        (["--network", "vit"], "--network must be one of"),
        (["--coupling", "half"], "--coupling must be one of"),
        (["--objective", "x"], "--objective must be one of"),
        (["--engine", "x"], "--engine must be one of"),
        (["--optimizer", "lion"], "--optimizer must be one of"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["--lr", "fast"], "must be a finite number, got 'fast'"),
        (["--num_gen", "0"], "--num_gen must be at least 1 without labels, got 0"),
        (["--num_disc", "0"], "--num_disc must be"),
        (["--num_mcmc", "-1"], "--num_mcmc must be"),
        (["--batch_size", "0"], "--batch_size must be in 1.."),
        (["--network", "noisy_mlp", "--gen_batch_size", "1"], "--gen_batch_size must be at least 2 with --network"),
        (["--batch_size", "5000"], "--batch_size must be at most the 1294 training data, got 5000"),
        (["--image_size", "7"], "--image_size must be in 8..200"),
        (["--image_size", "201"], "--image_size must be in 8..200"),
        (["--friction", "0"], "--friction must be in"),
        (["--temperature", "-1"], "--temperature must be in 0.."),
        (["--temperature", "nan"], "--temperature: must be a finite number"),
        (["--prior_std", "0"], "--prior_std must be in"),
        (["--lr", "0"], "--lr must be in"),
        (["--burn_in", "11"], "--burn_in and --ramp must end before --train_iter 10"),
        (["--gpu_id", "99"], "--gpu_id 99 asks for a GPU"),
        (["--classes", "10"], "classes of digits are 0, 1, 2"),
        (["--N", "100"], "--N is the number of labels"),
        (["--dataset", "gaussians25", "--network", "dcgan"], "needs images"),
        (["--dataset", "gaussians25", "--image_size", "16"], "--image_size scales images"),
        (["--dataset", "gaussians25", "--shift", "1"], "--shift moves images"),
        (["--shift", "99"], "--shift must be in"),
        (["--resample", "best"], "--resample must be one of"),
        (
            ["--resample", "mh", "--calibration_fraction", "0.01"],
            "needs at least 80 held-out data, digits leaves 14",
        ),
        (["--wasserstein", "--objective", "standard"], "--wasserstein is --objective wasserstein"),
        (["--dataset", "image_folder", "--data_path", "nowhere"], "nowhere does not exist"),
        (["--resume", "nowhere"], "nowhere is not a run folder"),
        (["--lr", "1e300"], "--lr must be in"),
        (["--num_gen", "1000000000000"], "--num_gen must be in"),
        (["--pseudo_count", "1" + "0" * 400], "--pseudo_count must"),
        (["--burn_in", "0"], "--burn_in must be at least 1 with --optimizer adam"),
        (["--ramp", "5"], "must end before"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments, words, tmp_path, capsys):
    given = [*TINY[:-2], "--out_dir", str(tmp_path / "out"), *arguments]
    assert main(given) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and words in error
    assert not (tmp_path / "out").exists()


def test_out_dir_that_is_a_file(tmp_path, capsys):
    (tmp_path / "out").write_text("mine")
    assert main([*TINY, "--out_dir", str(tmp_path / "out")]) == 2
    assert "--out_dir must be a folder that can be written" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize("place, error", [
    ("bayesgan.ensemble.tensor_files.save_file", SafetensorError("No space left on device")),
    ("bayesgan.store.checkpoints.torch.save", RuntimeError("unexpected pos 64 vs 0")),
    ("bayesgan.store.run_folder.np.savez", OSError(28, "No space left on device")),
])
def test_a_full_disk_is_one_line(place, error, tmp_path, capsys, monkeypatch):
    """The errors that the three writers really raise when the disk is full."""

    def full(*arguments, **options):
        raise error

    monkeypatch.setattr(place, full)
    run(tmp_path, "--save_weights", code=2)
    text = capsys.readouterr().err
    assert text.startswith("error: cannot read or write") and text.count("\n") == 1 and "is intact" in text
    assert not list(tmp_path.rglob("*.partial"))


LIMITED = """
import resource, sys
from pathlib import Path
from bayesgan.commands.train import main
held = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData:"))
resource.setrlimit(resource.RLIMIT_DATA, (int(held.split()[1]) * 1024 + 700 * 2**20, resource.RLIM_INFINITY))
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_out_of_memory_is_one_line_and_loses_nothing(tmp_path):
    """A process that really runs out."""
    whole = run(tmp_path)
    large = [
        "--image_size",
        "64",
        "--batch_size",
        "64",
        "--gen_batch_size",
        "64",
        "--engine",
        "loop",
        "--device",
        "cpu",
    ]
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, *large, "--out_dir", str(tmp_path)], cwd=ROOT, text=True, capture_output=True
    )
    assert result.returncode == 2 and result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith(
        "error: out of memory: 10 generators on minibatches of 64 and 2 discriminators on 64 need at most"
    )
    assert "GiB could be had; --gen_batch_size " in result.stderr and "what was saved before is intact" in result.stderr
    assert len(load_posterior(whole).draws) == 2 and main(["--resume", str(whole), "--train_iter", "12"]) == 0


def test_two_runs_in_the_same_second_get_two_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.0)
    run(tmp_path)
    run(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_options_survive_the_config_file(tmp_path):
    folder = run(tmp_path, "--classes", "1", "2")
    options = RunFolder.open(folder).options()
    assert options.classes == [1, 2] and isinstance(options.out_dir, Path) and options.gpu_id is None
