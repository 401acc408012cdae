"""A small run of run_bgan.py and what it leaves, shared by every test that trains from the command line."""

import json
from pathlib import Path

import torch

from bayesgan.commands.train import main

ROOT = Path(__file__).parents[2]
TINY = ["--num_gen", "2", "--num_mcmc", "1", "--df_dim", "4", "--z_dim", "3", "--batch_size", "8", "--num_layers", "2",
        "--train_iter", "10", "--n_save", "5", "--log_every", "5", "--keep", "2", "--device", "cpu"]


def run(out, *extra, code=0, semi=False):
    assert main([*TINY, "--out_dir", str(out), *map(str, extra)], semi) == code
    return next(iter(Path(out).glob("bgan_*")), None) if Path(out).is_dir() else None


def read(folder, name):
    return json.loads((folder / name).read_text())


def outcome(folder):
    state = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)["generators"]
    return {name: tensor.tolist() for name, tensor in state.items()}, {
        str(p.relative_to(folder)) for p in folder.rglob("*") if "tensorboard" not in p.parts}
