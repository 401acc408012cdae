"""The stability study: a GAN that diverges is a result and is kept, and the table counts the verdicts."""

import json
from itertools import product

import pytest

from bayesgan.experiments.command import main
from bayesgan.experiments.stability import BASES, MAPPED, RATES, median, plot, rates_in_words, table, verdicts

GOOD = {"word": "converged", "distance": 0.1, "diversity": 0.9, "clusters": None, "d_loss": 1.4}
LOST = {"word": "diverged", "distance": None, "diversity": None, "clusters": None, "d_loss": None}


def test_a_diverging_gan_is_a_result_and_not_trained_again(tmp_path, monkeypatch):
    monkeypatch.setitem(BASES, "mixture", {**BASES["mixture"], "optimizer": "sgd", "lr": 1e5})
    line = ["stability", "--datasets", "mixture", "--factors", "temperature", "--seeds", "1", "--train_iter", "40",
            "--out_dir", str(tmp_path)]
    assert main(line) == 0
    before = json.loads((tmp_path / "results.json").read_text())["results"]
    plain = before["mixture"]["ML"]["base"][0]
    assert plain["word"] == "diverged" and plain["distance"] is None and "became non-finite" in plain["reason"]
    assert "| 1 diverged |" in (tmp_path / "table.md").read_text()
    monkeypatch.setattr("bayesgan.experiments.stability.Trainer", lambda *a, **k: pytest.fail("trained again"))
    assert main(line) == 0
    assert json.loads((tmp_path / "results.json").read_text())["results"] == before


def test_the_table_counts_verdicts_and_leaves_out_who_diverged():
    assert verdicts([LOST, GOOD, GOOD]) == ["2 converged", "1 diverged"]
    assert median([LOST, GOOD, {**GOOD, "distance": 0.3}], "distance") == 0.2
    rows = table({"zeros": {"ML": {"base": [GOOD, LOST], rates_in_words(4, 16): [GOOD]}, "Bayesian 1": {},
                            "Bayesian 5": {rates_in_words(4, 1): [LOST]}, "Bayesian 10": {}}})
    assert [list(row.values()) for row in rows] == [
        ["ML", "base", "1 converged, 1 diverged", "0.10", "0.90", "1.40"],
        ["Bayesian 5", "g_lr x4", "1 diverged", "-", "-", "-"]]


def test_a_map_has_every_pair_of_rates():
    """The rates of the generators go to the right, those of the discriminators up."""
    own = {players: {rates_in_words(g, d): [GOOD] for g, d in product(RATES, RATES)} for players in MAPPED}
    own["ML"][rates_in_words(16, 0.25)] = [LOST]
    left, right, _ = plot(own, "zeros").axes
    assert [text.get_text() for text in left.texts].count("1 diverged") == 1
    assert left.texts[3].get_text() == "1 diverged" and left.texts[3].get_position() == (3, 0)
    assert [text.get_text() for text in right.texts] == ["0.10\n1 converged"] * 16
