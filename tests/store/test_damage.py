"""What of a run is damaged, missing or of another kind is found, named, and never makes it worse."""

import json
import pickle
import re
import shutil
import subprocess
import warnings

import numpy as np
import pytest
import torch

from bayesgan import load_posterior
from bayesgan.commands.train import main
from bayesgan.house import main as house
from bayesgan.store import RunFolder, config
from tests.commands.helpers import read, run

CONFIG = [
    (("options", "train_iter"), "10", "train_iter must be of type int, got '10'"),
    (("options", "lr"), None, "lr must be of type float, got None"),
    (("options", "num_gen"), True, "num_gen must be of type int, got True"),
    (("options", "dataset"), "mnits", "--dataset must be one of"),
    (("options", "num_gen"), -1, "--num_gen must be in"),
    (("data", "shape"), [1, "8", 8], "shape, entry 1 is damaged: it must be a whole number, at least 1, got '8'"),
    (("data", "classes"), "ten", "classes is damaged: it must be a list"),
    (("commands",), {}, "commands is damaged: it must be a list"),
    (("commands",), [], "commands is damaged: it must be a list with entries"),
    (("format",), 99, "made by a newer version, format 99"),
    (("options",), [], "options is damaged: it must be dict"),
]


@pytest.mark.parametrize("place, value, words", CONFIG)
def test_a_config_with_a_field_of_the_wrong_type_is_one_line(place, value, words, tmp_path, capsys):
    folder = run(tmp_path)
    config = read(folder, "config.json")
    inner = config
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    (folder / "config.json").write_text(json.dumps(config))
    for command in (lambda: main(["--resume", str(folder), "--train_iter", "14"]),
                    lambda: house(["resample", str(folder)])):
        capsys.readouterr()
        assert command() == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.update(iteration="5"), lambda state: state.update(iteration=5.5),
        lambda state: state["generators"]["project.weight"].fill_(float("nan")),
        lambda state: state["samplers"]["generator"]["state"][0].update(momentum=torch.zeros(3)),
        lambda state: state["samplers"]["generator"]["sghmc"].update(steps=None),
        lambda state: state["samplers"].clear(),
        lambda state: state["generators"].update({"project.weight": torch.zeros(2)}),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_damaged_and_the_one_before_is_taken(change, tmp_path, capsys):
    folder = run(tmp_path)
    path = folder / "checkpoints" / "last.pt"
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, path)
    assert main(["--resume", str(folder), "--train_iter", "12"]) == 0
    assert "at iteration 5, from previous.pt" in capsys.readouterr().out


def test_flipped_bytes_of_a_checkpoint_are_noticed(tmp_path, capsys):
    folder = run(tmp_path)
    path = folder / "checkpoints" / "last.pt"
    content = bytearray(path.read_bytes())
    place = content.index(state_bytes(path))
    content[place] ^= 1
    path.write_bytes(content)
    assert main(["--resume", str(folder), "--train_iter", "12"]) == 0
    assert "at iteration 5, from previous.pt" in capsys.readouterr().out


def state_bytes(path):
    return torch.load(path, weights_only=True)["generators"]["project.weight"].numpy().tobytes()


def test_check_says_what_is_whole_and_what_to_do(tmp_path, capsys):
    folder = run(tmp_path)
    assert house(["check", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "draw 8" in told and "checkpoints/last.pt" in told and "the run is complete: all 10 iterations" in told
    draw = next((folder / "posterior").glob("draw_*.safetensors"))
    content = bytearray(draw.read_bytes())
    content[-5] ^= 1
    draw.write_bytes(content)
    (folder / "checkpoints" / "last.pt").write_bytes(b"cut")
    (folder / "checkpoints" / ".last.pt.999999999.partial").write_bytes(b"half")
    assert house(["check", str(folder)]) == 2
    told = capsys.readouterr().out
    assert re.search(r"DAMAGED  draw \d+: .* are not what was written.*delete the file and its entry", told)
    assert "DAMAGED  checkpoints/last.pt: " in told and "--resume sets it aside and goes on from previous.pt" in told
    assert "1 unfinished files of a killed process, which --resume removes" in told
    assert house(["check", str(tmp_path)]) == 2


def test_results_that_cannot_be_read_are_left_out_and_said(tmp_path, capsys):
    folder = run(tmp_path)
    (folder / "results_5.json").write_text(json.dumps({"iteration": "five"}))
    assert [results["iteration"] for results in RunFolder.open(folder).results()] == [10]
    assert "results_5.json, iteration is damaged: it must be a whole number" in capsys.readouterr().out


def test_vectors_are_classified_in_the_units_they_were_given_in(tmp_path):
    """Whoever mistakes standardised vectors for raw ones is told."""
    source = np.random.default_rng(0)
    y = np.arange(200) % 2
    x = source.standard_normal((200, 3)) * 50 + 1000 + 300 * y[:, None]
    np.savez(tmp_path / "mine.npz", x=x, y=y)
    folder = run(tmp_path / "out", "--dataset", "npz", "--data_path", tmp_path / "mine.npz", "--N", "20",
                 "--no_supervised", "--network", "mlp", semi=True)
    posterior = load_posterior(folder)
    standard, said = posterior.standardised(x), posterior.predict_proba(x)
    assert abs(standard.mean()) < 0.2 and torch.equal(said, posterior.predict_proba(standard, units=False))
    assert torch.equal(said, posterior.predictive(torch.from_numpy(x)).probabilities)
    for given, units in ((standard, True), (x, False)):
        with pytest.warns(UserWarning, match=f"far from those that the run was trained on.*got {units}"):
            posterior.predict_proba(given, units)
    for wrong in (x[:, :2], torch.zeros(2, 4), torch.zeros(2, 1), np.float64(3), [1.0, 2.0, 3.0]):
        for change in (posterior.standardised, posterior.in_units):
            with pytest.raises(ValueError, match=r"x must be (\(n, 3\)|arrays of numbers)"):
                change(wrong)
    assert np.allclose(posterior.in_units(standard.numpy()), x, rtol=1e-6)
    with pytest.raises(ValueError, match="x must be finite, also as float32"):
        posterior.predict_proba(np.full((2, 3), 1e300))
    with pytest.raises(ValueError, match="x must be bytes or floats, got torch.int64"):
        posterior.predict_proba(torch.ones(2, 3, dtype=torch.int64))


def test_doubles_are_standardised_before_they_are_rounded(tmp_path):
    """Two classes 20 apart at 1.7e9, where float32 has one number in 128."""
    source = np.random.default_rng(0)
    y = np.arange(200) % 2
    x = np.stack([1.7e9 + 20 * y + source.standard_normal(200), source.standard_normal(200)], 1)
    np.savez(tmp_path / "mine.npz", x=x, y=y)
    posterior = load_posterior(run(tmp_path / "out", "--dataset", "npz", "--data_path", tmp_path / "mine.npz", "--N",
                                   "20", "--no_supervised", "--network", "mlp", semi=True))
    expected = (x - x.mean(0)) / x.std(0)
    assert np.abs(posterior.standardised(x).numpy() - expected).max() < 0.2  # all rows against the training rows
    said = posterior.predict_proba(x)
    assert torch.equal(said, posterior.predict_proba(torch.from_numpy(x)))
    split = (said[:, 0] > said[:, 0].mean()).numpy()  # after so few iterations which side is which is chance
    assert abs((split == y).mean() - 0.5) > 0.45  # rounded first they would be one class
    made = posterior.sample(100)
    assert made.dtype == torch.float64 and len(made[:, 0].unique()) > 50  # of 1 as floats
    assert made.dtype != posterior.sample(5, units=False).dtype == torch.float32


@pytest.mark.parametrize("units", [
    [[1.0], [2.0]], [[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]], [], [[1.0, 2.0, 3.0], [1.0, 1.0, -1.0]],
    [[1.0, 2.0], [1.0, 2.0, 3.0]],
])
def test_units_that_cannot_be_are_damage(units, tmp_path, capsys):
    np.savez(tmp_path / "mine.npz", x=np.random.default_rng(0).standard_normal((50, 3)))
    folder = run(tmp_path / "out", "--dataset", "npz", "--data_path", tmp_path / "mine.npz", "--network", "mlp")
    (folder / "config.json").write_text(json.dumps({**read(folder, "config.json"), "units": units}))
    capsys.readouterr()
    assert house(["check", str(folder)]) == 2
    error = capsys.readouterr().err
    assert "is damaged (units must be a mean and a spread of 3 numbers each" in error and error.count("\n") == 1
    with pytest.raises(ValueError, match="units must be"):
        load_posterior(folder)


def test_images_without_a_dark_pixel_are_warned_of(tmp_path):
    posterior = load_posterior(run(tmp_path, "--N", "10", "--no_supervised", semi=True))
    with pytest.warns(UserWarning, match="no value of these images is negative.*2 . x - 1"):
        posterior.predict_proba(torch.rand(5, 1, 8, 8))
    with pytest.raises(ValueError, match="were not standardised"):
        posterior.standardised(torch.rand(5, 3))
    assert "10 classes" in repr(posterior) and pickle.loads(pickle.dumps(posterior)).sample(3).shape == (3, 1, 8, 8)


def test_draws_without_a_checkpoint_are_not_begun_over(tmp_path, capsys):
    folder = run(tmp_path)
    shutil.rmtree(folder / "checkpoints")
    assert main(["--resume", str(folder), "--train_iter", "13"]) == 2
    assert "has draws and no checkpoint to go on from" in capsys.readouterr().err
    assert len(load_posterior(folder).draws) == 2
    assert house(["check", str(folder)]) == 2
    assert "DAMAGED  checkpoints: there are none; the run cannot go on" in capsys.readouterr().out


def test_draws_without_an_index_are_never_deleted(tmp_path, capsys):
    folder = run(tmp_path)
    before = sorted((folder / "posterior").glob("draw_*"))
    (folder / "posterior" / "index.json").unlink()
    assert main(["--resume", str(folder), "--train_iter", "20"]) == 2
    assert "index.json is missing beside 2 draws; restore it" in capsys.readouterr().err
    assert sorted((folder / "posterior").glob("draw_*")) == before
    assert house(["check", str(folder)]) == 2
    shutil.rmtree(folder / "posterior")
    assert house(["check", str(folder)]) == 2
    assert "the run is complete and has no draws" in capsys.readouterr().out


def test_an_option_that_nobody_knows_is_damage(tmp_path, capsys):
    folder = run(tmp_path)
    config = read(folder, "config.json")
    config["options"]["temprature"] = config["options"].pop("temperature")
    (folder / "config.json").write_text(json.dumps(config))
    assert main(["--resume", str(folder), "--train_iter", "12"]) == 2
    assert "there is no option 'temprature'" in capsys.readouterr().err


def test_a_dry_run_touches_no_damaged_checkpoint(tmp_path):
    folder = run(tmp_path)
    (folder / "checkpoints" / "last.pt").write_bytes(b"cut")
    before = {path.name for path in (folder / "checkpoints").iterdir()}
    assert main(["--resume", str(folder), "--train_iter", "12", "--dry_run"]) == 0
    assert {path.name for path in (folder / "checkpoints").iterdir()} == before


def test_draws_of_another_number_of_members_are_refused(tmp_path, capsys):
    folder = run(tmp_path)
    config = read(folder, "config.json")
    config["options"]["num_gen"] = 1
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="a draw has 2 generators and config.json says 1"):
        load_posterior(folder).sample(3)
    assert house(["check", str(folder)]) == 2


def test_a_run_from_before_kinetic_temperatures_and_units_is_read_and_gone_on_with(tmp_path, capsys):
    folder = run(tmp_path / "out")
    index = read(folder, "posterior/index.json")
    for draw in index["draws"]:
        del draw["kinetic_temperature"]
    (folder / "posterior" / "index.json").write_text(json.dumps(index))
    config = {name: value for name, value in read(folder, "config.json").items() if name not in ("units", "format")}
    (folder / "config.json").write_text(json.dumps(config))
    for command in (["check", folder], ["report", folder], ["export", folder, tmp_path / "new"],
                    ["check", tmp_path / "new"]):
        assert house(list(map(str, command))) == 0
    assert main(["--resume", str(folder), "--train_iter", "12"]) == 0


def test_data_that_an_older_version_cut_otherwise_are_said_to_be(tmp_path, capsys):
    folder = run(tmp_path, "--dataset", "gaussians25")
    config = read(folder, "config.json")
    config["data"]["checksum"] = "0" * 16
    (folder / "config.json").write_text(json.dumps(config))
    assert main(["--resume", str(folder), "--train_iter", "12"]) == 2
    assert "older versions cut parts and standardised vectors by other rows" in capsys.readouterr().err


def test_runs_that_ended_before_it_was_noted_are_complete(tmp_path, capsys):
    folder = run(tmp_path)
    config = read(folder, "config.json")
    del config["ended"]
    (folder / "config.json").write_text(json.dumps(config))
    assert house(["check", str(folder)]) == 0 and "the run is complete" in capsys.readouterr().out


def test_a_column_that_never_changed_says_nothing_of_new_data(tmp_path):
    source = np.random.default_rng(0)
    x = np.column_stack([source.standard_normal((60, 2)), np.full(60, 3.0)])
    np.savez(tmp_path / "mine.npz", x=x)
    posterior = load_posterior(run(tmp_path / "out", "--dataset", "npz", "--data_path", tmp_path / "mine.npz"))
    other = x.copy()
    other[::4, 2] = 200
    with pytest.warns(UserWarning, match="columns 2 never changed in the training data and do here"):
        assert torch.equal(posterior.standardised(other), posterior.standardised(x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        posterior.standardised(x.astype(np.float32))


def test_the_commit_is_that_of_the_package_and_not_of_what_is_around_it(tmp_path, monkeypatch):
    def git(*words):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=b", *words], cwd=tmp_path, check=True,
                       capture_output=True)

    git("init")
    place = tmp_path / "environment" / "config.py"
    place.parent.mkdir()
    place.write_text("")
    git("commit", "--allow-empty", "-m", "somebody's own")
    monkeypatch.setattr(config, "__file__", str(place))
    assert config.git_commit() is None
    git("add", "."), git("commit", "-m", "the package")
    assert len(config.git_commit()) == 40
