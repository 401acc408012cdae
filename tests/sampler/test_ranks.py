"""Chains in two processes are those of one: the same draws, predictions and diagnostics."""

import os
import time

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import nn
from torch.nn.functional import cross_entropy

from bayesgan import PosteriorSampler
from bayesgan.ensemble import SampleStore

X = torch.randn(60, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = (X.sum(1) > 0).long()


def sampler(**changes):
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    settings = {"mean_loss": cross_entropy, "num_data": 60, "lr": 0.05, "friction": 0.3, "chains": 3, "burn_in": 20,
                "thin": 2, "predictive": lambda outputs: outputs.softmax(-1), **changes}
    return PosteriorSampler(network, **settings)


def process(rank, size, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    one = sampler(group=dist.group.WORLD, folder=folder / "draws")
    if rank == 0:
        time.sleep(1)  # chains wait for nobody; the other may have a draw first
    one.run((X, Y), 6, batch_size=20, progress=False)
    one.save(folder / "half.pt")
    one.run((X, Y), 4, batch_size=20, progress=False)
    found = {"mean": one.predict(X[:5]), "each": one.predict(X[:5], each=True), "said": str(one.diagnostics(X[:5])),
             "chains": one.ensemble.members}
    torch.save(found, folder / f"found{rank}.pt")
    again = sampler(group=dist.group.WORLD).load(folder / "half.pt")
    again.run((X, Y), 4, batch_size=20, progress=False)
    assert torch.equal(again.predict(X[:5]), found["mean"])
    with pytest.raises(ValueError, match="each process needs a chain of its own, got 2 for 1 chains"):
        sampler(chains=1, group=dist.group.WORLD)
    dist.barrier()
    os._exit(0)  # gloo's threads sometimes abort a process while Python takes leave


def test_two_processes_sample_what_one_does(tmp_path):
    torch.multiprocessing.spawn(process, (2, tmp_path), nprocs=2)
    alone = sampler()
    alone.run((X, Y), 10, batch_size=20, progress=False)
    found = [torch.load(tmp_path / f"found{rank}.pt") for rank in range(2)]
    assert [one["chains"] for one in found] == [1, 2]
    for one in found:
        assert torch.allclose(one["mean"], alone.predict(X[:5]), atol=1e-12)
        assert torch.allclose(one["each"], alone.predict(X[:5], each=True), atol=1e-12)
        assert one["said"] == str(alone.diagnostics(X[:5]))
    resumed = sampler().load(tmp_path / "half.pt")  # of two processes, by one
    resumed.run((X, Y), 4, batch_size=20, progress=False)
    assert torch.allclose(resumed.predict(X[:5]), found[0]["mean"], atol=1e-12)
    draws = resumed.draws[0].weights
    stored = SampleStore(tmp_path / "draws").opened()
    assert len(stored) == 10
    assert all(torch.allclose(tensor, draws[name]) for name, tensor in stored[0].load("chains").items())
