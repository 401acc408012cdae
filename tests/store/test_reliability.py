"""Nothing is lost and nothing trusted: two writers, killed writers and endings, readers meanwhile, damaged files."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from bayesgan import load_posterior
from bayesgan.basics.files import remove_leftovers, write_atomically
from bayesgan.basics.locks import only_writer
from bayesgan.commands.train import main
from bayesgan.ensemble import SampleStore
from bayesgan.house import main as house
from bayesgan.options import resolve
from bayesgan.store import RunFolder
from bayesgan.store.places import new_folder
from bayesgan.training.algorithm import Trainer
from bayesgan.training.events import Events
from tests.commands.helpers import ROOT, TINY, outcome, read, run

HOLD = """
import sys, time
from pathlib import Path
from bayesgan.basics.locks import only_writer
with only_writer(Path(sys.argv[1]), "trained"):
    print("held", flush=True)
    time.sleep(60)
"""


def holder(folder):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_writer_is_told_who_the_first_is_and_a_killed_one_lets_go(tmp_path, capsys):
    folder = run(tmp_path)
    weights = outcome(folder)[0]
    process = holder(folder)
    assert main(["--resume", str(folder), "--train_iter", "14"]) == 2
    error = capsys.readouterr().err
    assert re.search(f"is being trained by process {process.pid} on .* since .*; wait for it, or stop it", error)
    assert outcome(folder)[0] == weights and read(folder, "config.json")["options"]["train_iter"] == 10
    process.kill()
    process.wait()
    assert main(["--resume", str(folder), "--train_iter", "14"]) == 0


@pytest.mark.parametrize("command, place", [(["resample"], "resampled"), (["evaluate"], "evaluation")])
def test_what_is_written_after_training_has_one_writer_too(command, place, tmp_path, capsys):
    semi = command == ["evaluate"]
    folder = run(tmp_path, *(["--N", "10", "--no_supervised"] if semi else []), semi=semi)
    (folder / place).mkdir(exist_ok=True)
    with only_writer(folder / place, f"{command[0]}d"):
        assert house([*command, str(folder)]) == 2
    assert f"{place} is being {command[0]}d by process {os.getpid()}" in capsys.readouterr().err


def test_dead_leftovers_go_and_those_of_the_living_stay(tmp_path):
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    names = [f".last.pt.{int(dead.stdout)}.partial", f".last.pt.{os.getpid()}.partial", ".mine.partial", "x.1.partial"]
    (tmp_path / "checkpoints").mkdir()
    for name in names:
        (tmp_path / "checkpoints" / name).write_bytes(b"half")
    assert [path.name for path in remove_leftovers(tmp_path)] == names[:1]
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == set(names[1:])


def test_resume_removes_what_a_killed_process_had_begun(tmp_path):
    folder = run(tmp_path)
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    leftover = folder / "posterior" / f".draw_1.safetensors.{int(dead.stdout)}.partial"
    leftover.write_bytes(b"half")
    assert main(["--resume", str(folder), "--train_iter", "12"]) == 0 and not leftover.exists()


def killed_at(tmp_path, number):
    """Exit code of a run that dies just before its `number`-th write, as by a signal that nobody can catch."""
    code = (
        "import os, sys\n"
        "import bayesgan.basics.files as files\n"
        "real, left = os.replace, [int(sys.argv[1])]\n"
        "def replace(*places):\n"
        "    left[0] -= 1\n"
        "    if left[0] < 0: os._exit(9)\n"
        "    return real(*places)\n"
        "files.os.replace = replace\n"
        "from bayesgan.commands.train import main\n"
        "sys.exit(main(sys.argv[2:]))"
    )
    arguments = [*TINY, "--resample", "obrs", "--engine", "loop", "--out_dir", str(tmp_path)]
    return subprocess.run([sys.executable, "-c", code, str(number), *arguments], cwd=ROOT, capture_output=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode


@pytest.mark.slow
def test_killed_before_every_single_write_a_run_ends_in_the_same_bits(tmp_path):
    assert killed_at(tmp_path / "whole", 10**6) == 0
    whole = outcome(next((tmp_path / "whole").glob("bgan_*")))
    for number in range(1000):
        out = tmp_path / f"killed_{number}"
        if killed_at(out, number) == 0:
            break
        folders = list(out.glob("bgan_*"))
        if not folders or not (folders[0] / "config.json").exists():
            continue  # nothing had begun
        assert main(["--resume", str(folders[0])]) == 0
        assert outcome(folders[0])[0] == whole[0] and RunFolder.open(folders[0]).ended
        assert not [path for path in folders[0].rglob(".*.partial") if str(os.getpid()) not in path.name]
    assert number > 15


@pytest.mark.parametrize("place", ["posterior.png", "diagnostics.json"])
def test_a_run_killed_in_its_ending_is_ended_by_resume(place, tmp_path, monkeypatch, capsys):
    def killed(path, write):
        if path.name == place:
            raise KeyboardInterrupt
        write_atomically(path, write)

    with monkeypatch.context() as patch:
        for module in ("evaluation.pictures", "basics.files"):
            patch.setattr(f"bayesgan.{module}.write_atomically", killed)
        folder = run(tmp_path, "--resample", "obrs", code=130)
    assert "stopped; what was saved before is intact" in capsys.readouterr().err
    assert not RunFolder.open(folder).ended and not list(folder.rglob(place))
    assert main(["--resume", str(folder)]) == 0
    assert RunFolder.open(folder).ended and list(folder.rglob(place))
    assert main(["--resume", str(folder)]) == 0 and "is complete" in capsys.readouterr().out


def test_a_thousand_reads_while_a_full_store_goes_on(tmp_path):
    """Every reader gets two whole draws that follow each other, whatever is dropped meanwhile."""
    code = (
        "import sys, torch\n"
        "from bayesgan.ensemble import SampleStore\n"
        "store, step = SampleStore(sys.argv[1], keep=2), 0\n"
        "while True:\n"
        "    step += 1\n"
        "    state = {'w': torch.full((1000,), float(step))}\n"
        "    store.add({'generators': state}, step, 1.0)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT)
    store = SampleStore(tmp_path)
    try:
        begun = time.monotonic()
        while len(store.draws) < 2 and time.monotonic() - begun < 60:
            time.sleep(0.05)
        for _ in range(1000):
            draws = store.opened()
            assert len(draws) == 2 and draws[1].entry["step"] == draws[0].entry["step"] + 1
            for draw in draws:
                assert draw.load("generators")["w"].eq(draw.entry["step"]).all()
    finally:
        writer.kill()
        writer.wait()


def test_a_posterior_that_was_loaded_stays_what_it_is(tmp_path):
    folder = run(tmp_path)
    early = load_posterior(folder)
    before = early.sample(5, seed=1)
    assert main(["--resume", str(folder), "--train_iter", "20"]) == 0
    assert not (folder / "posterior" / early.draws[0]["file"]).exists()
    assert torch.equal(early.sample(5, seed=1), before) and early.generators.members == 4


def removed_during(tmp_path, monkeypatch, name, iteration=6):
    """The folder of a run of which `name` is deleted meanwhile, and the run's exit code."""
    step = Trainer.step

    def stepped(self):
        if self.iteration == iteration:
            folder = next(tmp_path.glob("bgan_*"))
            (folder / name).rename(tmp_path / "gone")  # at once: a thread may be writing there
        return step(self)

    monkeypatch.setattr(Trainer, "step", stepped)
    code = main([*TINY, "--log_every", "1", "--out_dir", str(tmp_path)])
    return next(tmp_path.glob("bgan_*"), None), code


def test_a_lost_folder_of_events_costs_the_events_alone(tmp_path, monkeypatch, capfd):
    folder, code = removed_during(tmp_path, monkeypatch, "tensorboard")
    told = capfd.readouterr()
    assert code == 0 and RunFolder.open(folder).ended and "Traceback" not in told.err
    assert told.out.count("warning: events for TensorBoard are no longer written") <= 1


def test_events_say_once_that_they_are_lost(tmp_path, capfd):
    with Events(tmp_path / "events", 0) as events:
        events.add_scalar("a", 1.0, 1)
        (tmp_path / "events").rename(tmp_path / "gone")  # at once: its thread may be writing there
        begun = time.monotonic()
        while events.writer is not None and time.monotonic() - begun < 60:  # its thread writes when it likes
            events.add_scalar("a", 1.0, 2)
            time.sleep(0.001)
    told = capfd.readouterr()
    assert told.out.count("events for TensorBoard are no longer written") == 1 and "Traceback" not in told.err


def test_a_place_for_events_that_cannot_be_made_is_no_reason_to_fail(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    with Events(tmp_path / "file", 0) as events:
        events.add_scalar("a", 1.0, 1)
    assert "no longer written" in capsys.readouterr().out


def test_lost_checkpoints_are_made_again(tmp_path, monkeypatch):
    folder, code = removed_during(tmp_path, monkeypatch, "checkpoints")
    assert code == 0 and (folder / "checkpoints" / "last.pt").exists()


def test_a_lost_run_is_one_line_and_leaves_no_half_of_one(tmp_path, monkeypatch, capfd):
    folder, code = removed_during(tmp_path, monkeypatch, "")
    error = capfd.readouterr().err
    assert code == 2 and "is gone while the run was writing to it; start the run anew" in error
    assert "Traceback" not in error and folder is None


def test_a_signal_in_the_last_iteration_is_heard(tmp_path, monkeypatch, capsys):
    step = Trainer.step

    def stepped(self):
        if self.iteration == 9:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", stepped)
        folder = run(tmp_path, code=143)
    assert "stopped after iteration 10; go on with: --resume" in capsys.readouterr().out
    assert not RunFolder.open(folder).ended
    assert main(["--resume", str(folder)]) == 0 and RunFolder.open(folder).ended


def test_a_run_that_another_went_on_with_meanwhile_is_left_alone(tmp_path, monkeypatch, capsys):
    folder = run(tmp_path)
    load = RunFolder.load_data

    def slow(self, *places):
        found = load(self, *places)
        if not read(folder, "config.json")["options"]["save_samples"]:  # the other comes first
            config = read(folder, "config.json")
            config["options"]["save_samples"] = True
            (folder / "config.json").write_text(json.dumps(config))
        return found

    monkeypatch.setattr(RunFolder, "load_data", slow)
    assert main(["--resume", str(folder), "--train_iter", "14"]) == 2
    assert "was gone on with by another process meanwhile; give the command again" in capsys.readouterr().err
    assert read(folder, "config.json")["options"]["save_samples"] is True


def test_the_ending_waits_for_whoever_evaluates(tmp_path, capsys):
    (tmp_path / "out").mkdir()
    with only_writer(tmp_path / "out", "evaluated"):
        waiting = threading.Thread(target=lambda: only_writer(tmp_path / "out", "evaluated", wait=True).__enter__())
        waiting.start()
        time.sleep(0.3)
        assert waiting.is_alive() and "waiting for it" in capsys.readouterr().out
    waiting.join(20)
    assert not waiting.is_alive()


def test_resampling_again_replaces_everything_and_says_so(tmp_path, capsys):
    folder = run(tmp_path)
    first = ["resample", str(folder), "--n", "20", "--judge_steps", "0", "--budget", "4"]
    assert house([*first, "--ratio", "components"]) == 0
    place = folder / "resampled" / "obrs_4_0"
    assert (place / "ratio.png").exists()
    assert house([*first, "--n", "5"]) == 0
    assert "replacing what was in" in capsys.readouterr().out
    assert np.load(place / "samples.npz")["x"].shape[0] == 5 and not (place / "ratio.png").exists()
    assert [path.name for path in place.parent.iterdir() if path.is_dir()] == ["obrs_4_0"]


def test_a_complete_run_says_which_flags_changed_nothing(tmp_path, capsys):
    folder = run(tmp_path)
    assert main(["--resume", str(folder), "--resample", "obrs"]) == 0
    told = capsys.readouterr().out
    assert "--resample changed nothing" in told and "python -m bayesgan resample" in told


def test_a_run_that_is_to_end_where_it_stands_gets_its_last_draw(tmp_path, monkeypatch):
    step = Trainer.step

    def stepped(self):
        losses = step(self)
        if self.iteration == 9:
            os.kill(os.getpid(), signal.SIGINT)
        return losses

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", stepped)
        folder = run(tmp_path, code=130)
    assert main(["--resume", str(folder), "--train_iter", "9"]) == 0
    assert load_posterior(folder).draws[-1]["step"] == 9 and (folder / "samples" / "mixture_00000009.png").exists()


def test_two_runs_that_begin_in_one_second_get_two_folders(tmp_path, monkeypatch):
    options, _ = resolve({"out_dir": tmp_path})
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    assert [new_folder(options).name for _ in range(3)] == ["bgan_digits_1000", "bgan_digits_1000_1",
                                                            "bgan_digits_1000_2"]


def test_few_draws_of_a_single_chain_are_worth_no_number(tmp_path, capsys, recwarn):
    run(tmp_path, "--num_disc", "1", "--train_iter", "20", "--keep", "5")
    told = capsys.readouterr().out
    assert "nan" not in told and not [one for one in recwarn if "NaN" in str(one.message)]


def test_children_of_a_terminated_experiment_save_and_end(tmp_path):
    command = [sys.executable, "-m", "bayesgan.experiments", "semi_ablation", "--methods", "base", "--draws", "2",
               "--N", "20", "--train_iter", "100000", "--jobs", "2", "--out_dir", str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "OMP_NUM_THREADS": "1"})
    begun = time.monotonic()
    while len(list(tmp_path.rglob("config.json"))) < 2 and time.monotonic() - begun < 120:
        time.sleep(0.2)
    time.sleep(1)
    process.terminate()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 143 and "Traceback" not in error
    for folder in {path.parent for path in tmp_path.rglob("config.json")}:
        with RunFolder.open(folder).writing():  # nobody holds it any more
            pass
