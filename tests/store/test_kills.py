"""SIGKILL at random moments of both scripts; every run is taken up again and ends in the same bits."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

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
