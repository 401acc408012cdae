"""Compiled networks are compiled as a whole and keep to what CUDA graphs demand, which a compiler that is not there
checks: weights and statistics stay where they are, and nothing made in one iteration is used in the next.
"""

from contextlib import contextmanager
from unittest import mock

import pytest
import torch

from bayesgan.ensemble import ENGINES, engines
from bayesgan.options import load_data, resolve
from bayesgan.training.algorithm import Trainer
from bayesgan.training.engine_choice import choose_engines
from tests.pretend_gpu import GPU, pretend_gpu, tensors_in

GIVEN = {"num_gen": 2, "num_mcmc": 1, "num_disc": 2, "df_dim": 4, "z_dim": 3, "batch_size": 8, "num_layers": 2,
         "train_iter": 30, "burn_in": 4, "ramp": 2, "friction": 0.9}
COMPILED = dict.fromkeys(("generator", "discriminator"), ("loop", True))


def trainer(engines, device="cpu", semi=False, **changes):
    options, _ = resolve({**GIVEN, **changes}, semi)
    return Trainer(options, load_data(options), device, engines)


@contextmanager
def replayed():
    """torch.compile gives what CUDA graphs would: results that the next iteration's overwrite, here with NaN."""
    results, places, modes = [], set(), set()

    def compile(function, **options):
        modes.add((options["mode"], options["fullgraph"]))

        def replay(network, state, inputs):
            made = function(network, state, inputs)
            for name, tensor in state.items():
                if not name.endswith(".drawn"):
                    kind = getattr(tensor, "_dynamo_static_input_type", None)
                    assert kind == "unguarded", f"{name} is {kind}: copied at each replay, or compiled for anew"
                    places.add(tensor.data_ptr())
            results.extend(tensor.detach() for tensor in tensors_in(made))
            return made

        return replay

    def begin():
        while results:
            results.pop().fill_(torch.nan)

    with mock.patch("torch.compile", compile), mock.patch("torch.compiler.cudagraph_mark_step_begin", begin):
        yield modes, places


@pytest.mark.parametrize("changes", [
    {}, {"coupling": "full"}, {"noise": 0.3, "dropout": 0.5}, {"d_steps": 2, "feature_matching": True},
    {"semi": True, "N": 20, "spread_labels": 1},
])
def test_what_cuda_graphs_demand_is_kept_and_the_course_is_the_same(changes):
    with replayed() as (modes, places):
        ours, plain = trainer(COMPILED, **changes), trainer(None, **changes)
        known = []
        for _ in range(8):
            a, b = ours.step(), plain.step()
            assert torch.equal(a.generators, b.generators) and torch.equal(a.discriminators, b.discriminators)
            known.append(len(places))
    assert modes == {(None, True)} and known[0] == known[-1]


def test_on_a_gpu_compiled_networks_never_wait_nor_mix():
    with pretend_gpu() as gpu, replayed() as (modes, _):
        ours = trainer(COMPILED, GPU, noise=0.3)
        for _ in range(8):
            before = gpu.waits
            assert ours.step().generators.device == GPU and gpu.waits == before
        assert modes == {("reduce-overhead", True)}


@pytest.mark.parametrize("engine", ENGINES)
def test_networks_are_compiled_in_one_piece(engine):
    torch._dynamo.reset()
    compile, pieces = torch.compile, []

    def counted(graph, inputs):
        pieces.append(graph)
        return graph.forward

    with mock.patch("torch.compile", lambda function, mode, **options: compile(function, backend=counted, **options)):
        ours = trainer(dict.fromkeys(COMPILED, (engine, True)), noise=0.3, dropout=0.5)
        plain = trainer(dict.fromkeys(COMPILED, (engine, False)), noise=0.3, dropout=0.5)
        for _ in range(3):
            assert torch.equal(ours.step().generators, plain.step().generators)
    assert len(pieces) == 3  # generators, discriminators that learn, and that judge


def test_networks_that_run_without_cuda_graphs_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    counts = torch._dynamo.utils.counters["inductor"]

    def compile(function, **options):
        def compute(network, state, inputs):
            counts["cudagraph_skips"] += "project.weight" in state  # the generators
            return function(network, state, inputs)

        return compute

    with mock.patch("torch.compile", compile):
        options, _ = resolve({**GIVEN, "engine": "loop", "compile": True}, False)
        _, lines = choose_engines(options, load_data(options), torch.device("cpu"))
    told = [line for line in lines if "without CUDA graphs" in line]
    assert len(told) == 1 and told[0].startswith("the generators with loop, compiled"), lines
    assert engines.graphs_skipped() > 0
