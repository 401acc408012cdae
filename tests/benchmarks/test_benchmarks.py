"""Benchmarks run at their smallest and refuse nonsense; their figures are for people."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bayesgan.basics.timing import interleaved_seconds
from bayesgan.benchmarks import BENCHMARKS
from bayesgan.benchmarks.gpu import outcome
from bayesgan.benchmarks.peak import highest_resident_bytes
from bayesgan.benchmarks.sampler import CURVATURES, explicit_bias
from bayesgan.benchmarks.smoke import STORED
from bayesgan.benchmarks.variants import VARIANTS
from bayesgan.house import main

ROOT = Path(__file__).parents[2]


def test_interleaved_seconds_calls_in_turn_and_drops_the_warm_up():
    calls = []
    seconds = interleaved_seconds({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=3)
    assert calls == ["a", "b"] * 4 and set(seconds) == {"a", "b"} and all(value >= 0 for value in seconds.values())


def test_explicit_bias_tends_to_zero_and_to_infinity():
    assert explicit_bias(1e-6, 0.5) < 1e-5 and explicit_bias(0.5, 0.5) == float("inf")
    # one coordinate by hand: alpha .4, eta k .2: 2·.4·(1.6+.2) / ((.4-.2)·(3.2+.2)) = 1.44 / .68
    top = 1.44 / 0.68 - 1
    assert explicit_bias(0.2, 0.4) < top and len(CURVATURES) == 100


def test_a_system_without_resource_knows_no_peak(monkeypatch):
    monkeypatch.setattr("bayesgan.benchmarks.peak.Path.exists", lambda path: False)
    assert highest_resident_bytes() > 2**20
    monkeypatch.setitem(sys.modules, "resource", None)  # its import fails, as on Windows
    assert highest_resident_bytes() is None


def call(name, *arguments):
    command = [sys.executable, "-m", "bayesgan", "benchmark", name, *arguments]
    return subprocess.run(command, cwd=ROOT, text=True, capture_output=True)


def test_the_resample_benchmark_agrees_with_its_loop():
    result = call("resample", "--chains", "50", "--budget", "20", "--images", "100", "--repeats", "1")
    assert result.returncode == 0 and "at once" in result.stdout and "peak memory" in result.stdout


@pytest.mark.slow
def test_the_train_benchmark_measures_every_variant(tmp_path):
    arguments = ["--members", "1", "3", "--image_size", "8", "--df_dim", "4", "--gf-dim", "4", "--batch_size", "8",
                 "--repeats", "1", "--semi", "--sampling", "--out_dir", str(tmp_path / "the results")]
    result = call("train", *arguments)
    assert result.returncode == 0, result.stderr
    content = json.loads((tmp_path / "the results" / "results.json").read_text())
    assert content["command"] == f"python -m bayesgan benchmark train {shlex.join(arguments)}"
    rows = content["rows"]
    assert [row["variant"] for row in rows] == [*VARIANTS] * 2
    assert all(row["seconds"] > 0 and row["flops"] > 0 for row in rows)
    assert all(row["peak_bytes"] <= row["peak_bound"] for row in rows)
    flops = {row["variant"]: row["flops"] for row in rows[len(VARIANTS):]}
    assert flops["obvious loop"] > flops["full"] > flops["mixture"] > flops["one GAN"]
    assert (tmp_path / "the results" / "cost.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_gpu_benchmark_runs_on_a_cpu_and_keeps_what_it_has(tmp_path):
    small = ["--image_size", "8", "--df_dim", "4", "--members", "1", "--device", "cpu", "--out_dir", str(tmp_path)]
    result = call("gpu", *small, "--minutes", "0.2")
    assert result.returncode == 0, result.stderr
    content = json.loads((tmp_path / "results.json").read_text())
    moments = content["parts"]["sampler moments"]["found"]
    assert moments["variance"] == pytest.approx(moments["expected"], rel=0.03)
    assert max(content["parts"]["equality in fp32"]["found"].values()) < 1e-4
    assert content["parts"]["accept step"] == {"left out": "no time"} or "found" in content["parts"]["accept step"]
    assert not any("failed" in part for part in content["parts"].values()), result.stdout


def test_a_part_that_fails_costs_no_other():
    assert outcome(lambda: 1 / 0) == {"failed": "ZeroDivisionError: division by zero"}


def test_the_teacher_benchmark_compares_with_all_parts():
    result = call("teacher", "--image_size", "8", "--df_dim", "4", "--points", "200", "--repeats", "1")
    assert result.returncode == 0 and "no teacher" in result.stdout and "one label spreading" in result.stdout


WRONG = {"gpu": ["--minutes", "0"], "teacher": ["--points", "1"], "sampler": ["--repeats", "0"],
         "resample": ["--budget", "1"], "train": ["--variants", "magic"], "smoke": ["--repeats", "0"],
         "scaling": ["--processes", "0"], "results": ["--tasks", "fame"]}
MORE = [("train", ["--precision", "fp8"]), ("train", ["--batch_size", "9999"]), ("resample", ["--no_such_flag"])]


@pytest.mark.parametrize("name, arguments", [*WRONG.items(), *MORE])
def test_bad_arguments_are_one_line(name, arguments, capsys):
    assert set(WRONG) == set(BENCHMARKS)
    assert main(["benchmark", name, *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1


@pytest.mark.parametrize("allowed, code", [(1000.0, 0), (0.001, 2)])
def test_smoke_fails_where_a_ratio_has_doubled_and_only_there(allowed, code, monkeypatch, capsys):
    monkeypatch.setattr("bayesgan.benchmarks.smoke.ALLOWED", allowed)
    monkeypatch.setattr("bayesgan.benchmarks.smoke.iterations", lambda: {
        name: lambda: sum(range(1000)) for name in (*STORED, *(other for other, _ in STORED.values()))})
    assert main(["benchmark", "smoke", "--repeats", "1"]) == code
    told = capsys.readouterr()
    assert told.out.count("|") > 20 and ("is more than twice the 3.5 it was" in told.err) == bool(code)


def test_scaling_is_measured_for_each_number_of_processes(capsys):
    small = ["--num_gen", "2", "--num_disc", "1", "--image_size", "8", "--df_dim", "4", "--gf_dim", "4", "--batch_size",
             "8", "--gen_batch_size", "8", "--iterations", "1", "--repeats", "1"]
    assert main(["benchmark", "scaling", *small]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")][2:]
    assert [row.split("|")[1].strip() for row in rows] == ["1", "2"]
    assert float(rows[0].split("|")[5]) == 0
