"""SIGKILL at random moments of both scripts, and a thousand readers of a run that trains."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from bayesgan import load_posterior
from bayesgan.commands.train import main
from bayesgan.store import RunFolder
from tests.commands.helpers import ROOT, TINY, outcome

KILLS = int(os.environ.get("KILLS", "40"))  # 40 take some minutes


@pytest.mark.slow
@pytest.mark.parametrize("semi", [False, True])
def test_kills_at_random_moments(tmp_path, semi, capsys):
    script = "run_bgan_semi.py" if semi else "run_bgan.py"
    flags = [*TINY, "--engine", "loop", *(["--N", "10"] if semi else ["--resample", "obrs"])]

    def begun(out):
        return subprocess.Popen([sys.executable, script, *flags, "--out_dir", str(out)], cwd=ROOT,
                                stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})

    start = time.monotonic()
    assert begun(tmp_path / "whole").wait() == 0
    seconds = time.monotonic() - start
    whole = outcome(next((tmp_path / "whole").glob("bgan_*")))[0]
    hit = 0
    for number in range(KILLS):
        out = tmp_path / str(number)
        process = begun(out)
        time.sleep(random.Random(number).uniform(0.4, 1.0) * seconds)  # the first part is imports
        process.send_signal(signal.SIGKILL)
        process.wait()
        folder = next(out.glob("bgan_*"), None)
        if folder is not None and (folder / "config.json").exists():
            hit += 1
            assert main(["--resume", str(folder)], semi) == 0
            assert outcome(folder)[0] == whole and RunFolder.open(folder).ended
            assert not list(folder.rglob(".*.partial"))
        shutil.rmtree(out, ignore_errors=True)
    assert hit > KILLS / 4
    with capsys.disabled():
        print(f"{script}: {KILLS} kills, {hit} of them within a run's folder")


@pytest.mark.slow
def test_a_thousand_reads_of_a_run_that_drops_a_draw_at_every_iteration(tmp_path):
    flags = ["1000000" if flag == "10" else flag for flag in TINY]
    command = [sys.executable, "run_bgan.py", *flags, "--thin", "1", "--burn_in", "5", "--ramp", "1", "--n_save",
               "1000", "--engine", "loop", "--out_dir", str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    begun = time.monotonic()
    while time.monotonic() - begun < 120 and not list(tmp_path.glob("*/posterior/draw_*")):
        time.sleep(0.2)
    time.sleep(2)
    newest = set()
    try:
        for _ in range(1000):
            posterior = load_posterior(next(tmp_path.glob("bgan_*")))
            assert posterior.generators.members == 2 * len(posterior.draws) and posterior.discriminators.members
            newest.add(posterior.draws[-1]["step"])
    finally:
        process.terminate()
    assert process.wait(60) == 143 and len(newest) > 20
