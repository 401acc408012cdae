"""Reading and writing a run's folder: what is damaged is set aside, what cannot be read now is left alone."""

import errno
import json

import pytest
import torch

from bayesgan.options import load_data, resolve
from bayesgan.store import RunFolder
from bayesgan.store.checkpoints import load_checkpoint, save_checkpoint


@pytest.fixture
def folder(tmp_path):
    options, _ = resolve({"out_dir": tmp_path, "df_dim": 4, "num_layers": 2, "z_dim": 3})
    return RunFolder.create(options, load_data(options), ["--z_dim", "3"])


def checkpoint(folder, *values):
    for value in values:
        folder.save_checkpoint({"value": torch.tensor(value)})
    return folder.path / "checkpoints"


def test_the_newest_checkpoint_is_handed_over(folder):
    checkpoint(folder, 1, 2)
    seen = []
    assert folder.load_checkpoint(seen.append) == "last.pt" and seen[0]["value"] == 2


def test_a_damaged_checkpoint_is_renamed_and_the_one_before_is_read(folder):
    place = checkpoint(folder, 1, 2)
    (place / "last.pt").write_bytes(b"cut")
    seen = []
    assert folder.load_checkpoint(seen.append) == "previous.pt" and seen[0]["value"] == 1
    assert (place / "last.pt.damaged").read_bytes() == b"cut" and not (place / "last.pt").exists()


def test_all_damaged_is_one_line_and_nothing_is_touched(folder):
    place = checkpoint(folder, 1, 2)
    for name in ("last.pt", "previous.pt"):
        (place / name).write_bytes(b"cut")
    with pytest.raises(ValueError, match="no checkpoint can be read"):
        folder.load_checkpoint(print)
    assert {path.name for path in place.iterdir()} == {"last.pt", "previous.pt"}


@pytest.mark.parametrize("failure", [
    OSError(errno.EIO, "Input/output error"), MemoryError(), RuntimeError("DefaultCPUAllocator: not enough memory"),
])
def test_a_failure_that_passes_leaves_every_checkpoint_where_it_is(failure, folder, monkeypatch):
    place = checkpoint(folder, 1, 2)

    def fail(*arguments, **keywords):
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(torch, "load", fail)
        with pytest.raises(type(failure)):
            folder.load_checkpoint(print)
    assert {path.name for path in place.iterdir()} == {"last.pt", "previous.pt"}
    assert folder.load_checkpoint(lambda state: None) == "last.pt"


def test_saved_weights_make_the_runs_networks(folder):
    options = folder.options()
    networks = options.networks((1, 8, 8), 10)
    states = {}
    for group, build in zip(("generators", "discriminators"), networks):
        states[group] = {name: torch.randn(2, *tensor.shape) for name, tensor in build().state_dict().items()
                         if tensor.is_floating_point()}
        states[group] |= {name: torch.zeros(2, dtype=tensor.dtype) for name, tensor in build().state_dict().items()
                          if not tensor.is_floating_point()}
    folder.save_weights(5, states)
    read = folder.load_weights(5)
    assert folder.ensemble("generators", read["generators"]).forward_member(1, torch.zeros(4, 3)).shape == (4, 1, 8, 8)
    assert torch.equal(read["discriminators"]["logits.bias"], states["discriminators"]["logits.bias"])
    with pytest.raises(ValueError, match="--save_weights writes them"):
        folder.load_weights(6)


def test_the_device_is_recorded(folder):
    assert "cores" in RunFolder.open(folder.path).config["device"]


def test_a_run_from_before_gradient_noise_was_subtracted_goes_on_as_it_was(folder):
    assert RunFolder.open(folder.path).options().gradient_noise == "subtract"
    config = folder.path / "config.json"
    content = json.loads(config.read_text())
    del content["options"]["gradient_noise"]
    config.write_text(json.dumps(content))
    assert RunFolder.open(folder.path).options().gradient_noise == "ignore"


def test_a_missing_part_of_several_ranks_leads_to_the_checkpoint_before(tmp_path):
    for value in (1.0, 2.0):
        save_checkpoint(tmp_path, {"value": torch.tensor(value)})
    torch.save({"value": torch.tensor(3.0), "parts": ["part_00000003.1of2.pt"]}, tmp_path / "last.pt")
    seen = []
    assert load_checkpoint(tmp_path, seen.append) == "previous.pt" and seen[0]["value"] == 1
    assert (tmp_path / "last.pt.damaged").exists()
    torch.save({"value": torch.tensor(3.0), "parts": ["../../secret.pt"]}, tmp_path / "last.pt")
    assert load_checkpoint(tmp_path, seen.append, set_aside=False) == "previous.pt"
