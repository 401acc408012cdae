"""A cell is read back where its settings are the same, and only there."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from bayesgan.experiments.cells import Cells, code_version, place


class Key(NamedTuple):
    model: str
    seed: int


def made(cells, key, settings, result):
    """The cell's result, and whether it was computed."""
    calls = []
    return cells.cell(key, settings, lambda: calls.append(None) or result), bool(calls)


def test_a_cell_is_computed_once(tmp_path):
    key = Key("one GAN", 3)
    assert place(key) == Path("one_GAN/seed3")
    assert made(Cells(tmp_path), key, {"lr": 0.1, "sizes": (1, 2)}, {"x": (1, 2)}) == ({"x": [1, 2]}, True)
    cells = Cells(tmp_path)
    assert made(cells, key, {"lr": 0.1, "sizes": (1, 2)}, None) == ({"x": [1, 2]}, False)
    content = json.loads((tmp_path / place(key) / "cell.json").read_text())
    assert content["key"] == ["one GAN", 3] and content["version"] == code_version()
    assert cells.devices == [content["device"]]


@pytest.mark.parametrize("settings, named", [({"lr": 0.2, "N": 5}, "lr"), ({"lr": 0.1}, "N"),
                                             ({"lr": 0.1, "N": 5, "more": None}, "more")])
def test_other_settings_compute_it_anew(tmp_path, capsys, settings, named):
    made(Cells(tmp_path), Key("GAN", 0), {"lr": 0.1, "N": 5}, 1)
    assert made(Cells(tmp_path), Key("GAN", 0), settings, 2) == (2, True)
    assert f"was made with another {named}: computed anew" in capsys.readouterr().out
    assert made(Cells(tmp_path), Key("GAN", 0), settings, 3) == (2, False)


def test_keys_of_one_place_never_share_a_cell(tmp_path):
    made(Cells(tmp_path), Key("one GAN", 0), {}, 1)
    assert made(Cells(tmp_path), Key("one_GAN", 0), {}, 2) == (2, True)


def test_a_cell_of_another_version_is_kept_with_a_line(tmp_path, capsys):
    for seed in range(2):
        made(Cells(tmp_path), Key("GAN", seed), {}, seed)
        path = tmp_path / "GAN" / f"seed{seed}" / "cell.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"version": {"version": "0.0.1", "dirty": True}}))
    cells = Cells(tmp_path)
    assert [made(cells, Key("GAN", seed), {}, None) for seed in range(2)] == [(0, False), (1, False)]
    told = capsys.readouterr().out
    assert told.count("\n") == 1 and "was made by version 0.0.1 with changes, kept" in told


@pytest.mark.parametrize("text", ["", "[]", '{"key": ["GAN", 0]}'])
def test_a_damaged_cell_is_computed_anew(tmp_path, capsys, text):
    made(Cells(tmp_path), Key("GAN", 0), {}, 1)
    (tmp_path / "GAN" / "seed0" / "cell.json").write_text(text)
    assert made(Cells(tmp_path), Key("GAN", 0), {}, 2) == (2, True)
    assert "is damaged" in capsys.readouterr().out
