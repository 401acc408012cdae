"""`python -m bayesgan classify RUN PATH`: what new pictures show, and how sure a run is of each."""

import csv
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from bayesgan import load_posterior
from bayesgan.commands.classify import classify
from bayesgan.data.dataset import images_tensor
from bayesgan.evaluation.classification import predictive_entropy
from bayesgan.house import main
from bayesgan.store import RunFolder
from tests.commands.helpers import read, run


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A run on the digits with a graph."""
    out = tmp_path_factory.mktemp("taught")
    return run(out, "--N", 20, "--num_disc", 1, "--spread_labels", 2, semi=True)


def pictures(folder, images):
    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image[0].numpy()).save(folder / f"{number:03d}.png")
    return folder


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_holds_what_the_posterior_says(taught, tmp_path, capsys):
    data = RunFolder.open(taught).load_data()
    place = pictures(tmp_path / "new", data.test[:40])
    assert main(["classify", str(taught), str(place)]) == 0
    told, rows = capsys.readouterr().out, rows_of(taught / "classified" / "new.csv")
    answer = load_posterior(taught).predictive(data.test[:40])
    assert [row["name"] for row in rows] == [f"{number:03d}.png" for number in range(40)]
    chosen = answer.probabilities.argmax(1)
    assert [row["class"] for row in rows] == [data.classes[one] for one in chosen.tolist()]
    stored = torch.tensor([[float(row[f"p({one})"]) for one in data.classes] for row in rows])
    assert (stored - answer.probabilities).abs().max() < 1e-6
    for name, values in (("probability", answer.probabilities.amax(1)), ("entropy", answer.entropy),
                         ("mutual_information", answer.mutual_information)):
        assert np.allclose([float(row[name]) for row in rows], values, atol=1e-6), name
    worst = int(answer.entropy.argmax())
    first = told.splitlines()[told.splitlines().index("least sure of:") + 1]
    assert first.split()[0] == f"{worst:03d}.png"
    usual = read(taught, "results_10.json")["classification"]["posterior"]["entropy"]["test"]
    assert f"entropy {answer.entropy.mean():.3f} nats on average; {usual:.3f} on the run's test data" in told


def test_the_graph_is_asked_too_where_that_is_wanted(taught, tmp_path):
    data = RunFolder.open(taught).load_data()
    probabilities = classify(taught, data.test)
    wrong = int((probabilities.argmax(1) != data.test_labels).sum())
    rows = read(taught, "evaluation/figures.json")
    assert wrong == rows["posterior and spreading"]["errors"] <= rows["posterior, 2 discriminators"]["errors"]
    with pytest.raises(ValueError, match="x must be"):
        classify(taught, data.test[:, :, :7])
    out = tmp_path / "mine.csv"
    np.savez(tmp_path / "new.npz", x=data.test[:, 0].numpy())
    assert main(["classify", str(taught), str(tmp_path / "new.npz"), "--graph", "--out", str(out)]) == 0
    stored = rows_of(out)
    assert [row["class"] for row in stored] == [data.classes[one] for one in probabilities.argmax(1).tolist()]
    assert np.allclose([float(row["entropy"]) for row in stored], predictive_entropy(probabilities), atol=1e-5)
    assert {row["mutual_information"] for row in stored} == {""}  # of networks alone it would be of another prediction


def test_one_picture_of_another_size_is_scaled(taught, tmp_path, capsys):
    image = RunFolder.open(taught).load_data().test[7, 0]
    Image.fromarray(image.numpy()).resize((32, 32), Image.Resampling.NEAREST).save(tmp_path / "seven.png")
    assert main(["classify", str(taught), str(tmp_path / "seven.png")]) == 0
    told = capsys.readouterr().out
    assert "scaled to 8x8" in told and str(tmp_path / "seven.png") in told
    large = image.repeat_interleave(4, 0).repeat_interleave(4, 1)
    expected = load_posterior(taught).predict_proba(images_tensor(large[None].numpy(), 8))
    (row,) = rows_of(taught / "classified" / "seven.png.csv")
    assert float(row["probability"]) == pytest.approx(expected.max().item(), abs=0.02)


def test_an_exported_folder_classifies_with_the_same_scale(tmp_path, capsys):
    """Greys of 16 bits: what is dark must stay dark in other hands too."""
    source = np.random.default_rng(0)
    for name, low in (("dark", 0), ("light", 3000)):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for number in range(20):
            pixels = source.integers(low, low + 1000, (8, 8)).astype(np.uint16)
            Image.fromarray(pixels).save(tmp_path / "mine" / name / f"{number}.png")
    flags = ["--dataset", "image_folder", "--data_path", tmp_path / "mine", "--N", 4, "--spread_labels", 0]
    folder = run(tmp_path / "runs", *flags, "--consistency", 0, "--num_disc", 1, semi=True)
    assert main(["export", str(folder), str(tmp_path / "given")]) == 0
    shutil.rmtree(folder)
    posterior = load_posterior(tmp_path / "given")
    found = posterior.read(tmp_path / "mine" / "dark")
    assert found.data.max() < 70 and found.names[0] == "0.png"
    assert main(["classify", str(tmp_path / "given"), str(tmp_path / "mine" / "dark")]) == 0
    assert "taken for 0..4095 as in training" in capsys.readouterr().out


@pytest.mark.parametrize("more, words", [
    (["absent"], "absent does not exist; PATH names a folder or zip of pictures"),
    (["new.npz", "--data_path", "."], "--data_path is for --graph; give both, or neither"),
    (["new.npz", "--out", "."], "is a folder and a file is to be written"),
    ([], "the following arguments are required: PATH"),
])
def test_mistakes_end_in_one_line(taught, tmp_path, monkeypatch, capsys, more, words):
    monkeypatch.chdir(tmp_path)
    np.savez("new.npz", x=RunFolder.open(taught).load_data().test[:3, 0].numpy())
    assert main(["classify", str(taught), *more]) == 2
    assert words in capsys.readouterr().err


def test_runs_without_what_is_asked_are_refused(tmp_path, capsys):
    unsupervised = run(tmp_path / "plain")
    assert main(["classify", str(unsupervised), str(tmp_path)]) == 2
    assert "an unsupervised run knows no classes" in capsys.readouterr().err
    plain = run(tmp_path / "semi", "--N", 20, "--num_disc", 1, "--spread_labels", 0, semi=True)
    np.savez(tmp_path / "new.npz", x=np.zeros((1, 8, 8), np.uint8) + np.arange(8, dtype=np.uint8))
    assert main(["classify", str(plain), str(tmp_path / "new.npz"), "--graph"]) == 2
    assert "spread no labels (--consistency, --spread_labels), so that there is no graph" in capsys.readouterr().err
