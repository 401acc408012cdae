"""The page about runs in every state: of maximum likelihood, just begun, with parts missing, of older versions."""

import json
import os
import re
import shutil
from html import unescape

import pytest

from bayesgan.basics.locks import only_writer
from bayesgan.house import main
from tests.commands.helpers import run

OLDER = ("device", "device_type", "engines", "units", "ended", "versions", "git_commit", "exported")
LATER = ("gradient_noise", "g_lr", "d_lr", "d_steps", "spread_labels", "rank_timeout")  # options
FIRST = ("iteration", "timestamp", "disc_losses", "gen_losses", "temperature")  # of a version 1 in its results


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """ml: maximum likelihood; semi: with labels; plain: with enough draws for R-hat; vectors."""
    out = tmp_path_factory.mktemp("runs")
    return {"ml": run(out / "ml", "--ml"), "semi": run(out / "semi", "--N", "20", semi=True),
            "plain": run(out / "plain", "--thin", "1", "--keep", "8", "--train_iter", "20"),
            "vectors": run(out / "vectors", "--dataset", "synthetic")}


def copied(folder, target):
    shutil.copytree(folder, target)
    return target


def changed_config(folder, change):
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def words_of(*folders, capsys):
    capsys.readouterr()
    assert main(["report", *map(str, folders)]) == 0
    assert capsys.readouterr().err == ""
    page = (folders[0] / "report.html").read_text()
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page[page.index("<body>"):])))


def begun(folder):
    """As a run is before its first save."""
    for path in folder.iterdir():
        if path.name not in ("config.json", "hypers.txt", "labelled.json"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    changed_config(folder, lambda config: config.update(ended=0))


@pytest.mark.parametrize("content", ['{"discriminators": 3}', "[1]", "{", '{"discriminators": {"networks": 8}}'])
def test_a_damaged_measure_of_mixing_is_left_out_of_the_card(content, runs, tmp_path):
    folder = copied(runs["plain"], tmp_path / "run")
    (folder / "posterior" / "mixing.json").write_text(content)
    assert main(["export", str(folder), str(tmp_path / "card")]) == 0
    assert "worth so many independent ones" not in (tmp_path / "card" / "README.md").read_text()


def test_a_measure_of_mixing_is_on_the_card(runs, tmp_path):
    folder = copied(runs["plain"], tmp_path / "run")
    (folder / "posterior" / "mixing.json").write_text('{"discriminators": {"networks": 8, "ess": 6.6}}')
    assert main(["export", str(folder), str(tmp_path / "card")]) == 0
    card = (tmp_path / "card" / "README.md").read_text()
    assert "8 discriminators are worth so many independent ones" in card and "| 7" in card


def test_a_complete_run_whose_draws_are_gone_is_not_advised_to_go_on(runs, tmp_path, capsys):
    folder = copied(runs["plain"], tmp_path / "run")
    shutil.rmtree(folder / "posterior")
    assert main(["export", str(folder), str(tmp_path / "card")]) == 2
    assert "is complete and has no collected draws; restore its folder posterior" in capsys.readouterr().err


def test_maximum_likelihood_claims_no_posterior(runs, tmp_path, capsys):
    words = words_of(runs["ml"], capsys=capsys)
    assert "1 generator and 1 discriminator;" in words and "it does not optimise" not in words
    assert "kinetic temperature" not in words and "states late in training, no samples" in words
    assert main(["export", str(runs["ml"]), str(tmp_path / "ml")]) == 0
    card = (tmp_path / "ml" / "README.md").read_text()
    assert "trained by maximum likelihood" in card and "sghmc" not in card and "is the posterior itself" not in card


@pytest.mark.parametrize("kind", ["ml", "semi", "plain", "vectors"])
def test_of_a_run_that_has_just_begun_only_what_can_be_done_is_offered(kind, runs, tmp_path, capsys):
    folder = copied(runs[kind], tmp_path / "begun")
    begun(folder)
    words = words_of(folder, capsys=capsys)
    assert "0 of " in words and "--resume" in words and "Nothing has been saved yet" in words
    assert "no collected draws yet" in words and "python -m bayesgan" not in words
    with only_writer(folder, "trained"):
        words = words_of(folder, capsys=capsys)
    assert f"is being trained by process {os.getpid()} on" in words and "goes on" not in words


@pytest.mark.parametrize("gone", ["results_*.json", "samples", "tensorboard", "checkpoints", "posterior",
                                  "posterior/mixing.json", "evaluation", "labelled.json", "supervised.safetensors"])
@pytest.mark.parametrize("kind", ["semi", "plain"])
def test_what_else_there_is_is_told_when_a_part_is_missing(kind, gone, runs, tmp_path, capsys):
    folder = copied(runs[kind], tmp_path / "copy")
    for path in folder.glob(gone):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    words = words_of(folder, capsys=capsys)
    assert "How it went" in words and ("The posterior at work" in words) == (gone != "posterior")
    assert ("Nothing has been saved yet" in words) == (gone == "results_*.json")
    assert ("labelled.json is missing" in words) == (gone == "labelled.json" and kind == "semi")


@pytest.mark.parametrize("version", [None, 1, 2])
@pytest.mark.parametrize("kind", ["semi", "plain"])
def test_runs_of_older_versions_are_told(version, kind, runs, tmp_path, capsys):
    folder = copied(runs[kind], tmp_path / "old")

    def age(config):
        for name in OLDER:
            config.pop(name, None)
        for name in LATER:
            config["options"].pop(name, None)
        config.pop("format") if version is None else config.update(format=version)

    changed_config(folder, age)
    for path in folder.glob("results_*.json"):
        found = json.loads(path.read_text())
        path.write_text(json.dumps({name: found[name] for name in FIRST}))
    words = words_of(folder, capsys=capsys)
    assert "on an unknown device, commit unknown." in words and "The posterior at work" in words
    assert "not complete" not in words
    if kind == "plain":
        assert words_of(folder, runs["plain"], capsys=capsys).count("The posterior at work") == 2


def test_runs_of_one_name_stay_apart_and_the_same_run_is_told_once(runs, tmp_path, capsys, monkeypatch):
    first = copied(runs["plain"], tmp_path / "a" / "same")
    second = copied(runs["plain"], tmp_path / "b" / "same")
    words = words_of(first, second, capsys=capsys)
    assert f"{first}, {second}" in words and "Options that differ: none" in words
    words = words_of(first, first, capsys=capsys)
    assert "Compared" not in words and words.count("What was run") == 1
    monkeypatch.chdir(first)
    assert main(["report", "."]) == 0
    assert "<title>same</title>" in (first / "report.html").read_text()


def test_what_cannot_be_compared_or_written_is_one_line(runs, tmp_path, capsys):
    for arguments, line in (([runs["plain"], runs["vectors"]], "runs of one kind of data can be compared"),
                            ([runs["plain"], tmp_path], "is not a run folder"),
                            ([runs["plain"], "--out", tmp_path], "--out must be a file, got the folder")):
        assert main(["report", *map(str, arguments)]) == 2
        error = capsys.readouterr().err
        assert line in error and error.count("\n") == 1
