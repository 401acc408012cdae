"""Signals at the moments a process lives through: before and while it imports, and when they are ignored."""

import signal
import subprocess
import sys
import time

import pytest

from tests.commands.helpers import ROOT

SLOW = """
print("importing", flush=True)
import time
time.sleep(30)
def main():
    return 0
"""


def started(tmp_path, module, before=""):
    (tmp_path / "slow.py").write_text(module)
    code = (f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; {before}\n"
            "from bayesgan.basics.stopping import start\nsys.exit(start('slow'))")
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("name, code", [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_during_the_imports_is_one_line(tmp_path, name, code):
    process = started(tmp_path, SLOW)
    assert process.stdout.readline() == "importing\n"
    process.send_signal(getattr(signal, name))
    out, err = process.communicate(timeout=10)
    assert process.returncode == code and err == "stopped before anything was done\n"


def test_a_closed_terminal_that_nohup_ignores_stays_ignored(tmp_path):
    process = started(tmp_path, SLOW.replace("30", "1"), "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=20) == 0


def test_nothing_slow_is_imported_before_signals_are_heard():
    code = ("import sys, bayesgan.basics.stopping, bayesgan.experiments; "
            "print('torch' in sys.modules or 'numpy' in sys.modules)")
    begun = time.perf_counter()
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout == "False\n"
    assert time.perf_counter() - begun < 5
