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
    loaded = store.opened()[1]
    assert torch.equal(loaded.load("generators")["a.weight"], torch.full((2, 3), 30.0))
    assert torch.equal(loaded.load("discriminators")["b"], torch.full((4,), -30.0))
    assert [draw.entry["step"] for draw in store.opened(1)] == [30]
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


def test_drawing_again_after_a_resume_replaces_what_was_later(tmp_path):
    store = SampleStore(tmp_path)
    for step in (10, 20, 30, 20):
        store.add(groups(float(step)), step, 1.0)
    assert [draw["step"] for draw in store.draws] == [10, 20]


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    store = SampleStore(tmp_path, keep=1)
    store.add(groups(1.0), 1, 1.0)

    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bayesgan.ensemble.tensor_files.save_file", full)
    with pytest.raises(OSError):
        store.add(groups(2.0), 2, 1.0)
    assert [draw["step"] for draw in store.draws] == [1]
    assert torch.equal(store.opened()[0].load("discriminators")["b"], torch.full((4,), -1.0))
    assert {p.name for p in tmp_path.iterdir()} == {"index.json", "draw_00000001.safetensors"}


def test_damage_is_named(tmp_path):
    store = SampleStore(tmp_path)
    assert store.draws == [] and store.opened() == []
    store.add(groups(1.0), 1, 1.0)
    (tmp_path / "draw_00000001.safetensors").write_bytes(b"x" * 20)
    with pytest.raises(ValueError, match="cannot read .*draw_00000001.safetensors"):
        store.opened()
    (tmp_path / "draw_00000001.safetensors").unlink()
    with pytest.raises(ValueError, match="draw_00000001.safetensors is absent and the index names it"):
        store.opened()


ENTRY = {"step": 1, "temperature": 1.0, "kinetic_temperature": {}, "file": "draw_1.safetensors"}
WRONG = [
    ("step", "1", "step is damaged: it must be a whole number, at least 0, got '1'"), ("step", 1.5, "whole number"),
    ("step", True, "whole number"), ("temperature", None, "must be a number, at least 0, got None"),
    ("temperature", float("nan"), "must be a number"), ("temperature", 1e400, "must be a number"),
    ("kinetic_temperature", [], "must be dict"), ("file", "../draw_1.safetensors", "must be text like draw"),
    ("file", 5, "must be text like draw"),
]


@pytest.mark.parametrize("field, value, words", WRONG)
def test_an_index_with_a_field_of_the_wrong_type_is_named(tmp_path, field, value, words):
    (tmp_path / "index.json").write_text(json.dumps({"draws": [{**ENTRY, field: value}]}))
    with pytest.raises(ValueError, match=words):
        len(SampleStore(tmp_path).draws)


def test_an_index_from_before_the_kinetic_temperature_was_measured_is_read(tmp_path):
    for absent in ({}, {"kinetic_temperature": None}):
        old = {name: value for name, value in ENTRY.items() if name != "kinetic_temperature"} | absent
        (tmp_path / "index.json").write_text(json.dumps({"format": 1, "draws": [old]}))
        assert SampleStore(tmp_path).draws == [{**ENTRY, "kinetic_temperature": {}}]


@pytest.mark.parametrize("text", ["[", "[]", '{"draws": {}}', "3", '{"draws": [1]}', "[" * 100_000])
def test_an_index_that_is_something_else_is_one_line(tmp_path, text):
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(ValueError, match="index.json.* damaged"):
        len(SampleStore(tmp_path).draws)


def test_every_flipped_byte_of_a_draw_is_noticed(tmp_path):
    store = SampleStore(tmp_path)
    store.add(groups(1.0), 1, 1.0)
    path = tmp_path / "draw_00000001.safetensors"
    content, (good,) = path.read_bytes(), store.opened()
    wanted = {group: good.load(group) for group in ("generators", "discriminators")}
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        try:
            (bad,) = store.opened()
            found = {group: bad.load(group) for group in wanted}
        except ValueError:
            continue
        # what is left are bytes that say nothing, such as the padding behind the header
        assert all(torch.equal(found[group][name], wanted[group][name]) for group in wanted for name in wanted[group])


def test_what_is_open_can_be_read_on_after_the_store_has_dropped_it(tmp_path):
    store = SampleStore(tmp_path, keep=1)
    store.add(groups(1.0), 1, 1.0)
    (old,) = store.opened()
    store.add(groups(2.0), 2, 1.0)
    assert not (tmp_path / "draw_00000001.safetensors").exists()
    assert old.load("generators")["a.weight"].eq(1).all()
    assert store.opened()[0].load("generators")["a.weight"].eq(2).all()


def test_a_reader_that_comes_while_a_full_store_goes_on_takes_the_newer_index(tmp_path, monkeypatch):
    store, reader = SampleStore(tmp_path, keep=2), SampleStore(tmp_path)
    for step in (1, 2):
        store.add(groups(float(step)), step, 1.0)
    read, waiting = SampleStore.draws.fget, [3, 4]

    def overtaken(self):
        found = read(self)
        if self is reader and waiting:  # between reading the index and opening its files
            store.add(groups(9.0), waiting.pop(0), 1.0)
        return found

    monkeypatch.setattr(SampleStore, "draws", property(overtaken))
    assert [draw.entry["step"] for draw in reader.opened()] == [3, 4]


def test_one_group_is_read_alone_and_a_missing_one_is_one_line(tmp_path):
    store = SampleStore(tmp_path)
    store.add({"generators": {"w": torch.ones(2)}, "discriminators": {"w": torch.zeros(2)}}, 1, 1.0)
    assert store.opened()[0].load("generators")["w"].tolist() == [1, 1]
    with pytest.raises(ValueError, match="holds no judges"):
        store.opened()[0].load("judges")


def test_more_draws_than_files_may_usually_be_open(tmp_path):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    store = SampleStore(tmp_path)
    store.add(groups(1.0), 1, 1.0)
    content = (tmp_path / "draw_00000001.safetensors").read_bytes()
    draws = [{"step": n, "temperature": 1.0, "kinetic_temperature": {}, "file": f"draw_{n:08d}.safetensors"}
             for n in range(1, 1100)]
    for draw in draws:
        (tmp_path / draw["file"]).write_bytes(content)
    (tmp_path / "index.json").write_text(json.dumps({"draws": draws}))
    try:
        assert len(store.opened()) == 1099
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_killed_between_the_first_draw_and_its_index_nothing_is_lost(tmp_path, monkeypatch):
    store = SampleStore(tmp_path)
    write = SampleStore._write

    def killed(self, draws):
        if draws:
            raise KeyboardInterrupt
        write(self, draws)

    with monkeypatch.context() as patch:
        patch.setattr(SampleStore, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            store.add(groups(1.0), 1, 1.0)
    assert (tmp_path / "draw_00000001.safetensors").exists() and store.draws == []
    store.add(groups(2.0), 1, 1.0)
    assert store.opened()[0].load("generators")["a.weight"].eq(2).all()
