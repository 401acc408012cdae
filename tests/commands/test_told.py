"""What a command says of idle flags, of a stop at the worst moment, of a full disk, of what it replaces."""

import errno
import json
import signal

import numpy as np
import pytest

from bayesgan.basics import files
from bayesgan.basics.files import write_atomically
from bayesgan.commands.going_on import continued
from bayesgan.commands.train import main
from bayesgan.house import main as house
from bayesgan.options import resolve
from bayesgan.store import RunFolder
from bayesgan.training import loop
from tests.commands.helpers import outcome, read, run

PAIR = {"num_gen": 1, "num_disc": 1, "num_mcmc": 1, "batch_size": 8}


@pytest.mark.parametrize("given, semi, idle", [
    ({"coupling": "full", **PAIR, "gen_batch_size": 8}, False, True),
    ({"coupling": "full", **PAIR, "gen_batch_size": 9}, False, False),
    ({"settle": 0.5, "burn_in": 0, "optimizer": "sgd", "train_iter": 100}, True, True),
    ({"settle": 0.5, "burn_in": 50, "train_iter": 100}, True, False),
    ({"ramp": 5, "temperature": 0.0}, False, True),
])
def test_a_flag_is_said_to_change_nothing_exactly_where_it_changes_nothing(given, semi, idle):
    name = next(iter(given))
    assert any(line.startswith(f"--{name} changes nothing") for line in resolve(given, semi)[1]) == idle


def test_a_ramp_changes_nothing_at_temperature_0(tmp_path):
    flags = ["--temperature", 0, "--train_iter", 20, "--burn_in", 4, "--keep", 4]
    one, other = run(tmp_path / "one", *flags), run(tmp_path / "other", *flags, "--ramp", 8)
    steps = [[draw["step"] for draw in RunFolder.open(folder).store.draws] for folder in (one, other)]
    assert steps[0] == steps[1] == [8, 12, 16, 20] and outcome(one) == outcome(other)


def test_coupling_that_is_not_named_as_idle_changes_the_run(tmp_path):
    flags = ["--num_gen", 1, "--num_disc", 1, "--gen_batch_size", 16]
    one, other = (run(tmp_path / name, *flags, "--coupling", name) for name in ("mixture", "full"))
    assert outcome(one)[0] != outcome(other)[0]


def test_a_stop_while_the_last_is_saved_ends_the_command_and_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    save = loop.save

    def asked(trainer, *given):
        save(trainer, *given)
        if trainer.iteration == 10:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save", asked)
        folder = run(tmp_path, code=130)
    assert f"stopped after iteration 10; go on with: --resume {folder}" in capsys.readouterr().out
    assert not (folder / "samples" / "posterior.png").exists() and not RunFolder.open(folder).ended
    assert main(["--resume", str(folder)]) == 0 and RunFolder.open(folder).ended


@pytest.mark.parametrize("place", ["bayesgan.commands.train.summary", "bayesgan.commands.train.train"])
def test_a_stop_at_any_other_moment_says_how_to_go_on(tmp_path, monkeypatch, capsys, place):
    def stop(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(place, stop)
        folder = run(tmp_path, code=130)
    assert f"go on with: --resume {folder}" in capsys.readouterr().out
    assert main(["--resume", str(folder)]) == 0 and RunFolder.open(folder).ended


@pytest.mark.parametrize("free, number", [(1000, errno.ENOSPC), (10**9, errno.EIO)])
def test_a_full_disk_is_called_one(tmp_path, monkeypatch, free, number):
    def write(path):
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 1814336 vs 1814224")

    monkeypatch.setattr(files.shutil, "disk_usage", lambda path: type("Usage", (), {"free": free}))
    with pytest.raises(OSError) as caught:
        write_atomically(tmp_path / "new.pt", write)
    assert caught.value.errno == number


def test_tables_are_replaced_with_a_word_and_other_files_never(tmp_path, capsys):
    folder = run(tmp_path / "out", "--N", 20, "--spread_labels", 0, "--consistency", 0, semi=True)
    for name, count in (("mine", 5), ("other/mine", 3)):
        (tmp_path / name).mkdir(parents=True)
        images = np.random.default_rng(0).integers(0, 17, (count, 8, 8)).astype(np.uint8)
        np.savez(tmp_path / name / "new.npz", x=images)
    for name, words in (("mine", "new.npz.csv"), ("other/mine", "new.npz.csv, in place of an older table")):
        assert house(["classify", str(folder), str(tmp_path / name / "new.npz")]) == 0
        assert capsys.readouterr().out.rstrip().endswith(words)
    (tmp_path / "precious.csv").write_text("precious\n")
    own = str(tmp_path / "mine" / "new.npz")
    assert house(["classify", str(folder), own, "--out", str(tmp_path / "precious.csv")]) == 2
    assert "is there and no table of classify" in capsys.readouterr().err
    assert (tmp_path / "precious.csv").read_text() == "precious\n"


def test_an_empty_file_may_be_written_to(tmp_path):
    folder = run(tmp_path / "out", "--N", 20, "--spread_labels", 0, "--consistency", 0, semi=True)
    np.savez(tmp_path / "new.npz", x=np.random.default_rng(0).integers(0, 17, (5, 8, 8)).astype(np.uint8))
    (tmp_path / "t.csv").touch()
    assert house(["classify", str(folder), str(tmp_path / "new.npz"), "--out", str(tmp_path / "t.csv")]) == 0
    assert (tmp_path / "t.csv").read_text().startswith("name,class,probability")


def test_an_older_run_at_temperature_0_keeps_its_ramp_and_its_beat(tmp_path):
    folder = run(tmp_path, "--temperature", 0, "--train_iter", 60, "--burn_in", 20, "--keep", 4)
    config = read(folder, "config.json")
    config["options"] |= {"ramp": 4, "thin": 9}  # as they were before ramps at temperature 0 were none
    (folder / "config.json").write_text(json.dumps(config))
    own = continued(RunFolder.open(folder), {})
    assert (own.ramp, own.thin) == (4, 9)


def test_check_reads_what_commands_have_written(tmp_path, capsys):
    folder = run(tmp_path)
    assert house(["report", str(folder)]) == house(["resample", str(folder), "--n", "4", "--budget", "2"]) == 0
    assert house(["check", str(folder)]) == 0
    damaged = [folder / "samples" / "posterior.png", *folder.glob("resampled/*/samples.npz"),
               *folder.glob("resampled/*/diagnostics.json")]
    assert len(damaged) == 3
    for path in damaged:
        path.write_bytes(path.read_bytes()[:20])
    capsys.readouterr()
    assert house(["check", str(folder)]) == 2
    text = capsys.readouterr().out
    assert text.count("DAMAGED") == 3 and all(path.name in text for path in damaged)
    (folder / "notes.json").write_text("mine, and no JSON")
    (folder / "posterior" / "index.json").write_text("{")
    assert house(["check", str(folder)]) == 2
    text = capsys.readouterr().out
    assert "notes" not in text and text.count("index.json") == 1 and "delete posterior/index" not in text
