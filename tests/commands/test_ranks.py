"""Both scripts under torchrun: what they print, write and refuse, and what becomes of a run that loses a rank."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from bayesgan import load_posterior
from bayesgan.commands.train import main
from bayesgan.store.checkpoints import read_checkpoint
from tests.commands.helpers import ROOT

QUICK = ["--df_dim", "8", "--num_layers", "2", "--num_gen", "2", "--num_mcmc", "1", "--num_disc", "2", "--z_dim", "4",
         "--batch_size", "16", "--engine", "loop", "--precision", "fp64"]
ENDLESS = ["--train_iter", "100000", "--burn_in", "10", "--ramp", "5", "--log_every", "10"]


def started(ranks, script, *flags, cwd, by_rank=None):
    """torchrun, or where the ranks get flags of their own each process by itself."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    if by_rank is None:
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"]
        command = [*torchrun, str(ROOT / script), *flags]
        return [subprocess.Popen(command, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)]
    port = str(29600 + os.getpid() % 300)
    return [
        subprocess.Popen([sys.executable, str(ROOT / script), *flags, *by_rank.get(rank, [])], cwd=cwd, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         env={**environment, "RANK": str(rank), "WORLD_SIZE": str(ranks), "LOCAL_RANK": str(rank),
                              "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port})
        for rank in range(ranks)
    ]


def ended(processes):
    """Of each: exit code, output, errors."""
    return [(process.wait(), out, errors) for process in processes for out, errors in [process.communicate()]]


def only_run(folder):
    (found,) = folder.glob("bgan_*")
    return found


@pytest.mark.parametrize("script, flags", [
    ("run_bgan.py", ["--resample", "obrs"]),
    pytest.param("run_bgan_semi.py", ["--N", "20", "--spread_labels", "2", "--save_weights"], marks=pytest.mark.slow),
])
def test_two_ranks_leave_the_run_that_one_leaves(script, flags, tmp_path, capsys):
    flags = [*QUICK, "--train_iter", "24", "--n_save", "8", *flags]
    ((code, out, errors),) = ended(started(2, script, *flags, "--out_dir", "two", cwd=tmp_path))
    assert code == 0, errors
    assert "2 ranks: 1 + 1 generators, 1 + 1 discriminators" in out and out.count("done: ") == 1
    semi = "semi" in script
    assert main([*flags, "--out_dir", str(tmp_path / "one")], semi) == 0
    two, one = (only_run(tmp_path / name) for name in ("two", "one"))
    assert {path.name for path in (two / "samples").iterdir()} == {path.name for path in (one / "samples").iterdir()}
    states = [read_checkpoint(folder / "checkpoints" / "last.pt") for folder in (two, one)]
    for name, tensor in states[1]["discriminators"].items():
        assert torch.allclose(states[0]["discriminators"][name], tensor, atol=1e-9), name
    samples = [load_posterior(folder).sample(20, seed=1) for folder in (two, one)]
    assert torch.allclose(*samples, atol=1e-4)
    results = [json.loads((folder / "results_24.json").read_text()) for folder in (two, one)]
    assert results[0]["gen_losses"] == pytest.approx(results[1]["gen_losses"], rel=1e-6)
    assert results[0].keys() == results[1].keys()
    assert main(["--resume", str(two), "--train_iter", "30"], semi) == 0
    assert "at iteration 24" in capsys.readouterr().out


@pytest.mark.parametrize("sent, rank", [
    pytest.param(signal.SIGKILL, 0, marks=pytest.mark.slow), (signal.SIGKILL, 1),
    pytest.param(signal.SIGSTOP, 1, marks=pytest.mark.slow),
])
def test_a_lost_rank_ends_the_others_with_one_line_and_the_run_goes_on(sent, rank, tmp_path, capsys):
    flags = [*QUICK, *ENDLESS, "--n_save", "10", "--thin", "10", "--rank_timeout", "3"]
    processes = started(2, "run_bgan.py", *flags, cwd=tmp_path, by_rank={})
    while "20/100000" not in processes[0].stdout.readline():
        assert processes[0].poll() is None, processes[0].stderr.read()
    begun = time.monotonic()
    processes[rank].send_signal(sent)
    _, errors = processes[1 - rank].communicate(timeout=60)
    assert processes[1 - rank].returncode == 4 and time.monotonic() - begun < 20
    lines = [line for line in errors.splitlines() if "error" in line]
    assert len(lines) == 1 and "another rank died or did not answer" in lines[0] and "Traceback" not in errors
    processes[rank].kill()
    processes[rank].communicate()
    run = only_run(tmp_path / "runs")
    done = read_checkpoint(run / "checkpoints" / "last.pt")["iteration"]
    assert main(["--resume", str(run), "--train_iter", str(done + 10)]) == 0
    assert f"at iteration {done}" in capsys.readouterr().out


@pytest.mark.slow
def test_a_signal_to_one_rank_stops_all_at_the_same_iteration(tmp_path):
    processes = started(2, "run_bgan.py", *QUICK, *ENDLESS, "--n_save", "100000", cwd=tmp_path, by_rank={})
    while "20/100000" not in processes[0].stdout.readline():
        assert processes[0].poll() is None, processes[0].stderr.read()
    processes[1].send_signal(signal.SIGTERM)
    (first, out, _), (second, _, errors) = ended(processes)
    assert (first, second) == (143, 143) and "stopped after iteration" in out and errors == ""
    assert (only_run(tmp_path / "runs") / "checkpoints" / "last.pt").exists()


@pytest.mark.parametrize("ranks, by_rank, line", [
    (2, {1: ["--lr", "0.01"]}, "all ranks must have the same lr, rank 0 has 0.0005 and rank 1 0.01"),
    *(pytest.param(*case, marks=pytest.mark.slow) for case in [
        (3, {}, "as many ranks as generators or discriminators, of whichever there are more, got 3 for 2 and 2; "),
        (2, {1: ["--classes", "0", "1"]}, "all ranks must have the same classes"),
        (2, {1: ["--dataset", "npz", "--data_path", "nowhere.npz"]}, "rank 1: nowhere.npz must be"),
        (2, {0: ["--friction", "7"], 1: ["--friction", "7"]}, "error: --friction must be in (0, 1], got 7"),
    ]),
])
def test_what_ranks_disagree_on_is_told_once_before_anything_is_computed(ranks, by_rank, line, tmp_path):
    found = ended(started(ranks, "run_bgan.py", *QUICK, cwd=tmp_path, by_rank=by_rank))
    assert [code for code, _, _ in found] == [2] * ranks
    assert line in found[0][2] and found[0][2].count("\n") == 1 and not any(errors for _, _, errors in found[1:])
    assert not (tmp_path / "runs").exists()
