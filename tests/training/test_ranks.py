"""Two processes with half of the members each take the course of one process with all of them."""

import os

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing

from bayesgan.basics.errors import Diverged
from bayesgan.basics.ranks import Ranks, connected
from bayesgan.options import load_data, resolve
from bayesgan.store.checkpoints import read_checkpoint, save_checkpoint
from bayesgan.training.algorithm import Trainer

STEPS = 50
TINY = {"num_gen": 3, "num_mcmc": 1, "num_disc": 2, "df_dim": 8, "z_dim": 4, "batch_size": 16, "gen_batch_size": 12,
        "num_layers": 2, "train_iter": 60, "burn_in": 20, "ramp": 5, "network": "mlp", "lr_decay": 0.0,
        "precision": "fp64"}
FEW = {"N": 20, "label_batch_size": 10, "unlabelled_batch_size": 8, "spread_labels": 2, "confidence": 0.2}
CASES = {
    "mixture": {},
    "full": {"coupling": "full"},
    "several steps": {"d_steps": 2},
    "wasserstein": {"wasserstein": True, "network": "dcgan"},
    "one discriminator": {"num_disc": 1, "num_gen": 2},  # the first process has none
    "one generator": {"num_disc": 3, "num_gen": 1},
    "teacher": {**FEW, "network": "noisy_mlp", "noise": 0.3, "dropout": 0.2, "feature_matching": True},
    "no generators": {**FEW, "num_gen": 0, "num_disc": 3},
    "one pupil": {**FEW, "num_disc": 1, "network": "dcgan", "shift": 1},
}


def made(case, ranks=None):
    changes = {**TINY, **CASES[case]}
    options, _ = resolve(changes, "N" in changes)
    return Trainer(options, load_data(options), ranks=ranks)


def course(trainer):
    losses = [trainer.step() for _ in range(STEPS)]
    return trainer.mean(losses)


def process(rank, size, folder):
    """All cases in one of the processes, for their start is what costs."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    ranks = Ranks(dist.group.WORLD)
    for case in CASES:
        trainer = made(case, ranks)
        losses = course(trainer)
        temperatures = trainer.kinetic_temperatures()
        save_checkpoint(folder / case, trainer.state_dict(), ranks)
        if rank == 0:
            torch.save({"losses": vars(losses), "kinetic": temperatures, "sent": ranks.sent}, folder / f"{case}.pt")
        whole = read_checkpoint(folder / case / "last.pt") if ranks.gathered(None) else None
        trainer.load_state_dict(whole)
        assert all(torch.equal(a, b) for a, b in zip(trainer.states()["generators"].values(),
                                                     made_again(trainer, whole)["generators"].values()))
    broken = made("mixture", ranks)
    if rank == 1:
        next(iter(broken.generators.ensemble.parameters.values())).data[0] = float("nan")
    with pytest.raises(Diverged, match="a weight of generator 2"):
        broken.check([], 0)
    dist.barrier()
    os._exit(0)  # gloo's threads sometimes abort a process while Python takes leave


def made_again(trainer, whole):
    own = trainer.generators.numbers
    return {"generators": {name: tensor[own.start : own.stop] for name, tensor in whole["generators"].items()}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(process, (2, path), nprocs=2)
    return path


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_take_the_course_of_one(case, folder):
    alone = made(case)
    expected = course(alone)
    found = torch.load(folder / f"{case}.pt")
    for group, losses in vars(expected).items():
        assert found["losses"][group] == pytest.approx(losses, rel=1e-7, abs=1e-9), group
    state = read_checkpoint(folder / case / "last.pt")
    for group, weights in alone.states().items():
        for name, tensor in weights.items():
            size = max([1.0, *tensor.abs().flatten().tolist()])
            assert torch.allclose(state[group][name], tensor, rtol=0, atol=1e-7 * size), (group, name)
    for group, values in alone.kinetic_temperatures().items():
        assert found["kinetic"][group] == pytest.approx(values, rel=1e-6)
    resumed = made(case)
    resumed.load_state_dict(state)  # of two ranks, by one
    assert resumed.iteration == STEPS
    assert found["sent"] > 0


def test_shares_are_even_and_complete():
    ranks = Ranks()
    for ranks.size in (1, 2, 3, 7):
        for count in (1, 2, 5, 20):
            for ascending in (True, False):
                shares = ranks.shares(count, ascending)
                assert [number for share in shares for number in share] == list(range(count))
                assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_process_alone_needs_nobody(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with connected() as ranks:
        assert (ranks.rank, ranks.size, ranks.first) == (0, 1, True)
        assert ranks.gathered(3) == [3] and ranks.most(2) == 2 and ranks.from_first(lambda: 5) == 5
    assert not dist.is_initialized() and "MASTER_ADDR" not in os.environ
