"""What a run says of itself after it was gone on with, ended early or exported belongs to the draws it has then."""

import json
import shlex

import numpy as np
import pytest
import torch

from bayesgan import load_posterior
from bayesgan.commands.evaluate import Evaluator
from bayesgan.commands.train import main, parser
from bayesgan.house import main as house
from bayesgan.options import Options, given_flags, resolve
from bayesgan.report.mixing import keep_mixing, kept_mixing
from bayesgan.report.story import told
from bayesgan.store import RunFolder
from bayesgan.training.algorithm import Trainer
from tests.commands.helpers import outcome, read, run

PLACES = {"out_dir", "data_path", "cache_path"}


def steps(folder):
    return [draw["step"] for draw in RunFolder.open(folder).store.draws]


def go_on(folder, *flags, semi=False, code=0):
    assert main(["--resume", str(folder), *map(str, flags)], semi) == code


def stopped(monkeypatch, at, out, *flags, semi=False):
    """A run that is interrupted before an iteration, as by Ctrl-C."""
    step = Trainer.step

    def dying(one):
        if one.iteration == at:
            raise KeyboardInterrupt
        return step(one)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", dying)
        return run(out, *flags, code=130, semi=semi)


@pytest.mark.parametrize("semi, flags", [
    (False, []),
    (False, ["--temperature", "1", "--num_mcmc", "1", "--gen_batch_size", "64", "--lr", "0.0005"]),
    (True, ["--N", "20", "--consistency", "0", "--no-feature_matching", "--network", "auto"]),
    (True, ["--N", "20", "--ml"]),
])
def test_the_settings_it_tells_make_the_same_run(tmp_path, semi, flags):
    """Also where a value is the flag's own default, which the data set or the labels would change."""
    folder = run(tmp_path, *flags, semi=semi)
    typed = parser(semi).parse_args(shlex.split(" ".join(told(folder).settings)))
    (again, _), own = resolve(given_flags(typed, Options), semi), RunFolder.open(folder).options()
    assert {name for name in vars(own) if getattr(own, name) != getattr(again, name)} <= PLACES


def test_draws_stay_evenly_spread_when_it_goes_on(tmp_path):
    """Those chosen by --thin stay as they are."""
    folder = run(tmp_path / "spread", "--train_iter", 20, "--burn_in", 4, "--ramp", 2, "--keep", 5)
    assert steps(folder) == [12, 14, 16, 18, 20]
    go_on(folder, "--train_iter", 106)
    assert steps(folder) == [26, 46, 66, 86, 106]
    folder = run(tmp_path / "chosen", "--train_iter", 20, "--burn_in", 4, "--ramp", 2, "--keep", 5, "--thin", 1)
    go_on(folder, "--train_iter", 106)
    assert steps(folder) == [102, 103, 104, 105, 106]
    folder = run(tmp_path / "usual", "--train_iter", 20, "--burn_in", 4, "--ramp", 2, "--keep", 5, "--thin", 2)
    go_on(folder, "--train_iter", 106)  # the usual value, but chosen
    assert steps(folder) == [98, 100, 102, 104, 106]


def test_a_run_is_measured_once_at_its_end(tmp_path, monkeypatch):
    calls, measured = [], Evaluator.__call__
    monkeypatch.setattr(Evaluator, "__call__", lambda self: calls.append(1) or measured(self))
    run(tmp_path, "--N", 20, "--num_disc", 1, "--spread_labels", 0, "--consistency", 0, semi=True)
    assert len(calls) == 2  # at 5 and at 10 iterations


def test_one_gan_stays_one(tmp_path):
    folder = run(tmp_path, "--ml")
    go_on(folder, "--train_iter", 20)
    assert steps(folder) == [20]


def test_words_that_stood_for_numbers_may_be_given_again(tmp_path, capsys):
    folder = run(tmp_path / "all", "--N", "all", "--spread_labels", 0, semi=True)
    go_on(folder, "--N", "all", "--train_iter", 12, semi=True)
    go_on(folder, "--N", 100, semi=True, code=2)
    assert "got --N 100 (the run has 1294)" in capsys.readouterr().err
    three = run(tmp_path / "three", "--classes", 0, 1, 2)
    go_on(three, "--classes", 0, 1, code=2)
    assert "got --classes [0, 1] (the run has [0, 1, 2])" in capsys.readouterr().err
    go_on(three, "--classes", 0, 1, 2, "--train_iter", 12)
    one = run(tmp_path / "ml", "--ml", "--num_gen", 7)
    go_on(one, "--ml", "--num_gen", 7, "--train_iter", 12)


def test_a_run_that_is_ended_early_has_no_later_draws_and_its_own_figures(tmp_path, monkeypatch):
    flags = ["--N", 20, "--num_disc", 1, "--train_iter", 40, "--burn_in", 4, "--ramp", 2, "--thin", 3, "--keep", 20,
             "--n_save", 10, "--spread_labels", 0, "--consistency", 0]
    folder = stopped(monkeypatch, 37, tmp_path, *flags, semi=True)
    assert max(steps(folder)) > 30
    go_on(folder, "--train_iter", 30, semi=True)
    assert max(steps(folder)) == 30
    stored, files = read(folder, "results_30.json"), {path.name for path in (folder / "posterior").glob("draw_*")}
    assert files == {f"draw_{step:08d}.safetensors" for step in steps(folder)}
    probabilities = load_posterior(folder).predict_proba(RunFolder.open(folder).load_data().test)
    wrong = int((probabilities.argmax(1) != RunFolder.open(folder).load_data().test_labels).sum())
    assert stored["classification"]["posterior"]["errors"] == wrong
    assert stored["classification"]["posterior"]["classifiers"] == len(steps(folder)) * 1


def test_a_longer_run_has_the_yardstick_of_a_longer_run(tmp_path):
    flags = ["--N", 20, "--num_disc", 1, "--spread_labels", 0, "--consistency", 0, "--n_save", 1000]
    short, long = (run(tmp_path / str(n), *flags, "--train_iter", n, semi=True) for n in (10, 60))
    before = RunFolder.open(short).supervised().state()
    go_on(short, "--train_iter", 60, semi=True)
    after, expected = (RunFolder.open(folder).supervised().state() for folder in (short, long))
    assert all(torch.equal(after[name], expected[name]) for name in after)
    assert any(not torch.equal(after[name], before[name]) for name in after)


@pytest.mark.parametrize("flags", [["--d_lr", 0.001, "--g_lr", 0.001, "--lr", 1e-6],
                                   ["--optimizer", "sgd", "--lr", 0.3]])
def test_the_yardstick_does_not_depend_on_a_step_that_is_not_its_own(tmp_path, flags):
    shared = ["--N", 20, "--num_disc", 1, "--spread_labels", 0, "--consistency", 0]
    usual = run(tmp_path / "usual", *shared, "--d_lr", 0.001 if "--d_lr" in flags else 0.0005, semi=True)
    folder = run(tmp_path / "other", *shared, *flags, semi=True)
    assert read(folder, "results_10.json")["supervised_acc"] == read(usual, "results_10.json")["supervised_acc"]


def test_figures_of_older_draws_are_left_out(tmp_path):
    folder = run(tmp_path)
    opened = RunFolder.open(folder)
    keep_mixing(opened, {"generators": {"networks": 4, "ess": 3.0}})
    (folder / "scores").mkdir()
    (folder / "scores" / "scores.json").write_text(json.dumps({"newest_draw": 10, "rows": {"mixture": {"fid": 5.0}}}))
    assert house(["resample", str(folder), "--n", "4", "--budget", "3", "--judge_steps", "0"]) == 0
    story = told(folder)
    assert story.scores and story.resampled and kept_mixing(opened)
    go_on(folder, "--train_iter", 20)
    story = told(folder)
    assert not story.scores and not story.resampled and not kept_mixing(RunFolder.open(folder))
    words = " ".join(story.missing)
    assert "scores are of older draws and left out; python -m bayesgan score" in words
    assert "is of older draws and left out; python -m bayesgan resample" in words


def test_a_card_tells_the_errors_of_what_it_holds_and_all_minutes(tmp_path):
    folder = run(tmp_path, "--N", 20, "--num_disc", 1, "--spread_labels", 0, "--consistency", 0, semi=True)
    for iteration, errors in ((5, 1), (10, 77)):
        content = read(folder, f"results_{iteration}.json")
        content["classification"]["posterior"] = {"errors": errors, "entropy": {"test": 0.1}}
        (folder / f"results_{iteration}.json").write_text(json.dumps(content))
    config = read(folder, "config.json")
    config["commands"] = [{**config["commands"][0], "seconds": {"start": 30.0}}, {**config["commands"][0], "seconds":
                                                                                  {"start": 20.0, "end": 100.0}}]
    (folder / "config.json").write_text(json.dumps(config))
    assert house(["export", str(folder), str(tmp_path / "given")]) == 0
    card = (tmp_path / "given" / "README.md").read_text()
    assert "| errors of 359 test data | 77 |" in card and ", 2.5 minutes," in card


def test_before_the_first_save_draws_can_be_evaluated(tmp_path, monkeypatch):
    flags = ["--N", 20, "--num_disc", 1, "--spread_labels", 0, "--consistency", 0, "--n_save", 1000, "--train_iter", 40,
             "--burn_in", 4, "--ramp", 2, "--thin", 3]
    folder = stopped(monkeypatch, 30, tmp_path, *flags, semi=True)
    for file in folder.glob("results_*.json"):
        file.unlink()
    assert house(["evaluate", str(folder)]) == 0
    assert (folder / "evaluation" / "figures.json").exists() and not (folder / "evaluation" / "errors.png").exists()
    assert told(folder).done == max(steps(folder))


def test_other_test_data_and_other_labelled_rows_are_noticed(tmp_path, capsys):
    source = np.random.default_rng(0)
    arrays = {"x": source.random((60, 8, 8)), "y": np.arange(60) % 2, "x_test": source.random((20, 8, 8)),
              "y_test": np.arange(20) % 2}
    np.savez(tmp_path / "mine.npz", **arrays)
    flags = ["--dataset", "npz", "--data_path", tmp_path / "mine.npz", "--N", 8, "--num_disc", 1, "--spread_labels", 0,
             "--consistency", 0]
    folder = run(tmp_path / "runs", *flags, semi=True)
    np.savez(tmp_path / "mine.npz", **arrays | {"y_test": 1 - np.arange(20) % 2})
    assert house(["evaluate", str(folder)]) == 2
    assert "the run was trained on other data: rest" in capsys.readouterr().err
    np.savez(tmp_path / "mine.npz", **arrays)
    assert house(["evaluate", str(folder)]) == 0
    content = read(folder, "labelled.json")
    data = RunFolder.open(folder).load_data()
    other = next(row for row in range(len(data.train))
                 if row not in content["rows"] and label_of(arrays, data, row) == content["labels"][0])
    content["rows"][0] = other
    (folder / "labelled.json").write_text(json.dumps(content))
    go_on(folder, "--train_iter", 12, semi=True, code=2)
    assert "the run was trained on other data: rest" in capsys.readouterr().err


def label_of(arrays, data, row):
    """Of a training row, by its picture."""
    pixels = np.rint(arrays["x"] * 255).astype(np.uint8)
    return int(arrays["y"][(pixels == data.train[row, 0].numpy()).all((1, 2)).nonzero()[0][0]])


def test_a_config_without_a_schedule_is_damaged(tmp_path, capsys):
    folder = run(tmp_path)
    config = read(folder, "config.json")
    config["options"]["burn_in"] = None
    (folder / "config.json").write_text(json.dumps(config))
    assert house(["report", str(folder)]) == 2
    assert "burn_in, ramp and thin must be numbers" in capsys.readouterr().err


def test_standardised_vectors_given_as_raw_ones_are_warned_of(tmp_path):
    x = np.random.default_rng(0).normal(50, 80, (60, 4))
    np.savez(tmp_path / "mine.npz", x=x, y=np.arange(60) % 2)
    folder = run(tmp_path / "runs", "--dataset", "npz", "--data_path", tmp_path / "mine.npz", "--N", 8, "--num_disc", 1,
                 "--spread_labels", 0, "--consistency", 0, semi=True)
    posterior = load_posterior(folder)
    with pytest.warns(UserWarning, match="far from those that the run was trained on"):
        posterior.predict_proba(posterior.standardised(x))


def test_a_dry_run_finds_that_there_is_no_place(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    run(tmp_path / "file", "--dry_run", code=2)
    assert "--out_dir must be a folder that can be written" in capsys.readouterr().err
    run(tmp_path / "file" / "below", "--dry_run", code=2)


def test_a_resample_that_cannot_be_is_refused_before_it_is_kept(tmp_path, capsys):
    folder = run(tmp_path, "--calibration_fraction", 0)
    go_on(folder, "--train_iter", 12, "--resample", "obrs", code=2)
    assert "--resample needs at least" in capsys.readouterr().err and steps(folder)[-1] == 10
    go_on(folder, "--train_iter", 12)
    assert steps(folder)[-1] == 12


def test_a_run_that_was_killed_after_its_first_draw_goes_on(tmp_path, monkeypatch):
    flags = ["--train_iter", 40, "--burn_in", 4, "--ramp", 2, "--thin", 3, "--keep", 20, "--n_save", 1000]
    folder = stopped(monkeypatch, 20, tmp_path / "killed", *flags)
    assert len(steps(folder)) > 2
    go_on(folder)
    whole = run(tmp_path / "whole", *flags)
    assert outcome(folder)[0] == outcome(whole)[0]


def test_a_run_that_is_ended_early_on_a_draw_has_its_grids(tmp_path, monkeypatch):
    folder = stopped(monkeypatch, 31, tmp_path, "--train_iter", 40, "--burn_in", 4, "--ramp", 2, "--thin", 2,
                     "--keep", 20, "--n_save", 10)
    go_on(folder, "--train_iter", 30)
    assert {path.name for path in (folder / "samples").iterdir()} >= {
        "mixture_00000030.png", "generator_00_00000030.png", "posterior.png"}


@pytest.mark.parametrize("change", [{"format": None}, {"versions": None}])
def test_older_configs_are_read(tmp_path, change):
    folder = run(tmp_path)
    (folder / "config.json").write_text(json.dumps({**read(folder, "config.json"), **change}))
    go_on(folder, "--train_iter", 12)
    assert house(["report", str(folder)]) == house(["export", str(folder), str(tmp_path / "new")]) == 0


def test_a_run_goes_on_in_another_precision_if_its_config_says_so(tmp_path):
    folder = run(tmp_path, "--train_iter", 230, "--burn_in", 215, "--ramp", 2, "--n_save", 230)
    config = read(folder, "config.json")
    config["options"]["precision"] = "fp64"
    (folder / "config.json").write_text(json.dumps(config))
    go_on(folder, "--train_iter", 460)


def test_a_flag_that_changes_nothing_is_named_when_a_run_goes_on(tmp_path, capsys):
    folder = run(tmp_path, "--num_gen", 0, "--N", 20, "--spread_labels", 0, "--no_supervised", semi=True)
    go_on(folder, "--train_iter", 12, "--save_samples", semi=True)
    assert "--save_samples changes nothing here" in capsys.readouterr().out
