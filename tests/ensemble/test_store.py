"""Draws on disk: what goes in comes out, and the folder is readable at every moment."""

import json

import pytest
import torch

from bayesgan.ensemble import SampleStore


def groups(value):
    return {"generators": {"a.weight": torch.full((2, 3), value)}, "discriminators": {"b": torch.full((4,), -value)}}


def test_round_trip_keeps_the_newest(tmp_path):
    store = SampleStore(tmp_path, keep=2)
    for step in (10, 20, 30):
        store.add(groups(float(step)), step, temperature=0.5)
    assert [draw["step"] for draw in store.draws] == [20, 30]
    assert store.draws[0]["temperature"] == 0.5
    loaded = store.load(store.draws[1])
    assert torch.equal(loaded["generators"]["a.weight"], torch.full((2, 3), 30.0))
    assert torch.equal(loaded["discriminators"]["b"], torch.full((4,), -30.0))
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


def test_drawing_again_after_a_resume_replaces_what_was_later(tmp_path):
    store = SampleStore(tmp_path)
    for step in (10, 20, 30, 20):
        store.add(groups(float(step)), step, 1.0)
    assert [draw["step"] for draw in store.draws] == [10, 20]


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    store = SampleStore(tmp_path, keep=1)
    store.add(groups(1.0), 1, 1.0)

    def full(tensors, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bayesgan.ensemble.store.save_file", full)
    with pytest.raises(OSError):
        store.add(groups(2.0), 2, 1.0)
    assert [draw["step"] for draw in store.draws] == [1]
    assert torch.equal(store.load(store.draws[0])["discriminators"]["b"], torch.full((4,), -1.0))
    assert {p.name for p in tmp_path.iterdir()} == {"index.json", "draw_00000001.safetensors"}


def test_damage_is_named(tmp_path):
    store = SampleStore(tmp_path)
    assert store.draws == []
    store.add(groups(1.0), 1, 1.0)
    (tmp_path / "draw_00000001.safetensors").write_bytes(b"x" * 20)
    with pytest.raises(ValueError, match="draw_00000001.safetensors"):
        store.load(store.draws[0])
    (tmp_path / "index.json").write_text(json.dumps([])[:1])
    with pytest.raises(ValueError, match="not an index of draws"):
        len(store.draws)


def test_one_group_is_read_alone_and_a_missing_one_is_one_line(tmp_path):
    store = SampleStore(tmp_path)
    store.add({"generators": {"w": torch.ones(2)}, "discriminators": {"w": torch.zeros(2)}}, 1, 1.0)
    assert store.load(store.draws[0], "generators")["w"].tolist() == [1, 1]
    with pytest.raises(ValueError, match="holds no judges"):
        store.load(store.draws[0], "judges")
