"""Engines are measured, remembered and checked; what fails is left out with a line that says why."""

import json

import pytest
import torch

from bayesgan.commands.train import main
from bayesgan.data import DATA_SETS
from bayesgan.ensemble import ENGINES
from bayesgan.options import ROLES, load_data, resolve
from bayesgan.store.run_folder import RunFolder
from bayesgan.training.engine_choice import choose_engines, memory_file, new_trial, remembered
from tests.commands.helpers import TINY, read, run

CPU = torch.device("cpu")


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def pieces(**changes):
    options, _ = resolve({"num_gen": 2, "num_mcmc": 1, "df_dim": 4, "batch_size": 8, "num_layers": 2, **changes})
    return options, load_data(options)


def test_the_fastest_is_chosen_for_each_role_and_remembered(empty_cache, monkeypatch):
    options, data = pieces()
    times = iter([[3.0, 2.0, 4.0], [1.0, 2.0, 3.0]])
    seconds = map(lambda values: {(name, False): value for name, value in zip(ENGINES, values)}, times)
    monkeypatch.setattr("bayesgan.training.engine_choice.interleaved_seconds", lambda *a, **k: next(seconds))
    engines, lines = choose_engines(options, data, CPU)
    assert engines == {"generator": ("vmap", False), "discriminator": ("loop", False)}
    assert (
        lines[0]
        == "engine of the generators: vmap (loop 3000.0, vmap 2000.0, patches 4000.0 ms forward and backward of 2)"
    )
    again, lines = choose_engines(options, data, CPU)  # no third measurement
    assert again == engines and "as measured before" in lines[0]
    with pytest.raises(StopIteration):  # another shape is another question
        choose_engines(*pieces(batch_size=9), CPU)


def test_a_real_measurement_names_all(empty_cache):
    _, lines = choose_engines(*pieces(), CPU)
    assert len(lines) == 2 and all(
        f"{name} " in line and " ms forward and backward of " in line for line in lines for name in ENGINES
    )


def test_the_first_is_kept_unless_another_is_clearly_faster(empty_cache, monkeypatch):
    monkeypatch.setattr(
        "bayesgan.training.engine_choice.interleaved_seconds", lambda calls, **k: dict(zip(calls, (1.04, 1.0, 2.0)))
    )
    assert choose_engines(*pieces(), CPU)[0] == dict.fromkeys(ROLES, ("loop", False))


@pytest.mark.parametrize("slow, members", [(0.0, (2, 2)), (100.0, (6, 3))])
def test_where_two_members_fill_the_cores_two_are_tried(slow, members, empty_cache, monkeypatch):
    monkeypatch.setattr("bayesgan.training.engine_choice.SLOW", slow)
    trial = new_trial(*pieces(num_gen=6, num_disc=3), CPU)
    assert (trial.generators.ensemble.members, trial.discriminators.ensemble.members) == members


@pytest.mark.parametrize(
    "failure, words",
    [
        (RuntimeError("no such kernel\nsecond line"), "RuntimeError: no such kernel"),
        (None, "ArithmeticError: its outputs differ"),
    ],
)
def test_an_engine_that_fails_or_lies_is_left_out(failure, words, empty_cache, monkeypatch):
    def broken(network, weights, inputs):
        if failure is not None:
            raise failure
        outputs = loop(network, weights, inputs)
        return (outputs[0] * 1.5, outputs[1]) if isinstance(outputs, tuple) else outputs * 1.5

    loop = ENGINES["loop"]
    for name in set(ENGINES) - {"loop"}:
        monkeypatch.setitem(ENGINES._entries, name, broken)
    engines, lines = choose_engines(*pieces(), CPU)
    assert engines == dict.fromkeys(ROLES, ("loop", False))
    warnings = [line for line in lines if line.startswith("warning: ")]
    assert not memory_file().exists()  # it may work next time
    assert len(warnings) == 2 * (len(ENGINES) - 1) and all(words in line and "\n" not in line for line in warnings)


def test_engines_are_tried_on_judging_through_noise_too(empty_cache, monkeypatch):
    """As an iteration does: what fails there alone would fail in the first one, after the trial."""
    def broken(network, weights, inputs):
        if "noise.drawn" in weights and not weights["logits.weight"].requires_grad:
            raise RuntimeError("no noise for the judged")
        return loop(network, weights, inputs)

    loop = ENGINES["loop"]
    for name in set(ENGINES) - {"loop"}:
        monkeypatch.setitem(ENGINES._entries, name, broken)
    _, lines = choose_engines(*pieces(noise=0.3), CPU)
    assert sum("no noise for the judged" in line for line in lines) == len(ENGINES) - 1
    _, lines = choose_engines(*pieces(noise=0.3, feature_matching=True), CPU)  # which has no noise in judging
    assert not any("no noise for the judged" in line for line in lines)


def test_a_compiler_that_fails_is_one_warning_and_the_run_goes_on(empty_cache, tmp_path, monkeypatch, capsys):
    def compile(function, **options):
        def call(*arguments):
            raise RuntimeError("no C++ compiler")
        return call

    monkeypatch.setattr(torch, "compile", compile)
    folder = run(tmp_path / "out", "--compile", "--engine", "loop")
    text = capsys.readouterr().out
    assert (
        text.count("warning: ") == 2
        and "the generators cannot be computed with loop, compiled, left out: RuntimeError: no C++" in text
    )
    assert read(folder, "config.json")["engines"] == {"generator": ["loop", False], "discriminator": ["loop", False]}


def test_compiled_networks_take_the_same_course(empty_cache, monkeypatch):
    """torch.compile with its tracing backend: what is compiled and measured is what the run then uses."""
    compile = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda function, **options: compile(function, backend="aot_eager", dynamic=False)
    )
    options, data = pieces(engine="vmap", compile=True)
    seconds = {("vmap", False): 2.0, ("vmap", True): 1.0}
    monkeypatch.setattr(
        "bayesgan.training.engine_choice.interleaved_seconds",
        lambda steps, **k: {name: seconds[name] for name in steps},
    )
    from bayesgan.training.algorithm import Trainer
    engines, lines = choose_engines(options, data, CPU)
    assert engines == dict.fromkeys(ROLES, ("vmap", True)), lines
    ours, plain = Trainer(options, data, engines=engines), Trainer(options, data)
    for _ in range(3):
        a, b = ours.step(), plain.step()
        assert (a.generators - b.generators).abs().max() < 1e-4 and (
            a.discriminators - b.discriminators
        ).abs().max() < 1e-4


def test_a_resumed_run_keeps_its_engines(empty_cache, tmp_path, monkeypatch):
    folder = run(tmp_path / "out", "--engine", "auto")
    stored = RunFolder.open(folder).engines("cpu")
    assert set(stored) == set(ROLES) and RunFolder.open(folder).engines("cuda") is None
    monkeypatch.setattr("bayesgan.commands.train.choose_engines", lambda *a: pytest.fail("measured again"))
    assert main(["--resume", str(folder), "--train_iter", "12"]) == 0


def test_on_another_kind_of_device_they_are_chosen_again_and_noted(empty_cache, tmp_path, monkeypatch):
    folder = run(tmp_path / "out", "--engine", "loop")
    config = read(folder, "config.json")
    (folder / "config.json").write_text(json.dumps({**config, "device_type": "cuda", "engines": {
        role: ["patches", True] for role in ROLES}}))
    assert main(["--resume", str(folder), "--train_iter", "12"]) == 0
    config = read(folder, "config.json")
    assert config["device_type"] == "cpu" and config["engines"] == {role: ["loop", False] for role in ROLES}


def test_a_damaged_or_forbidden_memory_costs_a_measurement_only(empty_cache, monkeypatch, tmp_path):
    memory_file().parent.mkdir(parents=True)
    for damaged in ("[", "[]", '{"a": 1}', '{"a": {"generator": ["lost", false], "discriminator": ["loop", false]}}'):
        memory_file().write_text(damaged)
        assert remembered(memory_file()) == {}
    choose_engines(*pieces(), CPU)
    assert len(json.loads(memory_file().read_text())) == 1
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))  # no folder can be made in a file
    assert set(choose_engines(*pieces(), CPU)[0]) == set(ROLES)


def test_bf16_is_refused_where_there_is_no_arithmetic_for_it(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("bayesgan.basics.devices.natively_bf16", lambda device: False)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    assert main([*TINY, "--precision", "bf16", "--out_dir", str(tmp_path)]) == 2
    assert "--precision bf16 needs bfloat16 arithmetic, which this cpu device lacks" in capsys.readouterr().err
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    folder = run(tmp_path, "--precision", "bf16", "--engine", "loop")
    assert RunFolder.open(folder).options().precision == "bf16"


@pytest.mark.parametrize("native, asked, precision", [(True, [], "bf16"), (False, [], "fp32"),
                                                      (False, ["--precision", "bf16"], "bf16")])
def test_bf16_that_nobody_asked_for_is_fp32_where_it_would_be_slower(
    native, asked, precision, monkeypatch, tmp_path, capsys
):
    monkeypatch.setitem(DATA_SETS["digits"].semi, "precision", "bf16")
    monkeypatch.setattr("bayesgan.commands.train.natively_bf16", lambda device: native)
    arguments = [*TINY, "--N", "20", "--out_dir", str(tmp_path), "--engine", "loop", "--no_supervised", *asked]
    assert main(arguments, semi=True) == 0
    assert ("--precision fp32, not bf16" in capsys.readouterr().out) == (precision == "fp32")
    (folder,) = tmp_path.iterdir()
    assert RunFolder.open(folder).options().precision == precision
