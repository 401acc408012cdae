"""The exported folder: read back by the package, and by a script that does not have it."""

import re
import stat
import subprocess
import sys

import numpy as np
import pytest
import torch

from bayesgan import load_posterior
from bayesgan.house import main
from bayesgan.store import RunFolder
from tests.commands.helpers import run

CASES = {"labels": (["--N", "20"], True), "vectors": (["--dataset", "gaussians25"], False),
         "clusters": (["--dataset", "synthetic"], False), "mlp": (["--network", "mlp"], False),
         "fp64": (["--precision", "fp64"], False), "ml": (["--ml"], False),
         "several": (["--num_gen", "3", "--num_mcmc", "2", "--keep", "4"], False)}


@pytest.mark.parametrize("case", CASES)
def test_what_was_exported_gives_the_same_samples_with_and_without_the_package(case, tmp_path, capsys):
    flags, semi = CASES[case]
    folder = run(tmp_path / "out", *flags, "--thin", "2", semi=semi)
    generators = RunFolder.open(folder).options().generators
    target = tmp_path / "shared" / "mine"
    assert main(["export", str(folder), str(target)]) == 0
    told = capsys.readouterr().out
    assert "generator.pt2" in told and ("classifier.pt2" in told) == semi
    before, after = load_posterior(folder), load_posterior(target)
    assert torch.equal(before.sample(30, seed=3), after.sample(30, seed=3))
    card = (target / "README.md").read_text()
    for words in (f"{generators} generator", "## Settings", "## Limits", f'load_posterior("{target.name}")'):
        assert words in card
    assert str(tmp_path) not in card + (target / "config.json").read_text()  # no place of this machine
    assert not list(tmp_path.rglob("*.partial"))
    assert all(path.stat().st_mode & stat.S_IROTH for path in target.rglob("*.*"))
    if semi:
        x = before.sample(5)
        assert torch.equal(before.predict_proba(x), after.predict_proba(x)) and "errors of 359" in card
        classify_without_the_package(target, card, x)
        assert torch.allclose(torch.load(target / "probabilities.pt"), before.predict_proba(x), atol=1e-5)
    example = re.findall(r"```python\n(.*?)```", card, re.S)[1]
    assert len(example.splitlines()) <= 20
    alone = "import sys\nsys.modules['bayesgan'] = None\nimport torch\ntorch.manual_seed(0)\n" + example
    subprocess.run([sys.executable, "-c", alone], cwd=target, check=True, capture_output=True)
    found, members = torch.load(target / "samples.pt"), generators * len(before.draws)
    assert found.shape == (8 * members, *before.shape) and found.isfinite().all()
    torch.manual_seed(0)
    latent = torch.randn(8, before.options.z_dim)
    expected = before.in_units(before.generators.forward_member(0, latent))
    assert torch.allclose(expected, found[:8], rtol=1e-4, atol=1e-5)


def classify_without_the_package(target, card, x):
    torch.save(x, target / "data.pt")
    example = re.findall(r"```python\n(.*?)```", card, re.S)[-1]
    subprocess.run([sys.executable, "-c", "import sys\nsys.modules['bayesgan'] = None\n" + example], cwd=target,
                   check=True, capture_output=True)


def test_vectors_in_units_of_their_own_are_classified_without_the_package(tmp_path):
    x, y = np.random.default_rng(0).standard_normal((300, 3)) * [50.0, 0.05, 0.0] + [1.7e9, -3, 7], np.arange(300) % 2
    np.savez(tmp_path / "mine.npz", x=x, y=y)
    folder = run(tmp_path / "out", "--dataset", "npz", "--data_path", tmp_path / "mine.npz", "--N", "20", "--num_gen",
                 "0", semi=True)
    assert main(["export", str(folder), str(tmp_path / "given")]) == 0
    card = (tmp_path / "given" / "README.md").read_text()
    classify_without_the_package(tmp_path / "given", card, torch.from_numpy(x[:9]))
    expected = load_posterior(folder).predict_proba(x[:9])
    assert torch.allclose(torch.load(tmp_path / "given" / "probabilities.pt"), expected, atol=1e-5)


def test_vectors_come_back_in_the_units_they_were_given_in(tmp_path):
    """A time in seconds, which no float32 tells from its neighbours, a small number and a constant.

    From the package, from the card, and resampled.
    """
    source = np.random.default_rng(0)
    mean, spread = np.array([1.7e9, -3.0, 7.0]), np.array([50.0, 0.05, 0.0])
    np.savez(tmp_path / "mine.npz", x=source.standard_normal((3000, 3)) * spread + mean)
    folder = run(tmp_path / "out", "--dataset", "npz", "--data_path", tmp_path / "mine.npz", "--network", "mlp",
                 "--df_dim", "32", "--batch_size", "64", "--train_iter", "300", "--n_save", "300", "--temperature", "0")
    target = tmp_path / "mine"
    assert main(["export", str(folder), str(target)]) == 0
    example = re.findall(r"```python\n(.*?)```", (target / "README.md").read_text(), re.S)[1]
    subprocess.run([sys.executable, "-c", example], cwd=target, check=True, capture_output=True)
    assert main(["resample", str(folder), "--n", "64"]) == 0
    (resampled,) = folder.glob("resampled/*/samples.npz")
    ways = {"run": load_posterior(folder).sample(300), "exported": load_posterior(target).sample(300),
            "card": torch.load(target / "samples.pt"), "resampled": torch.from_numpy(np.load(resampled)["x"])}
    for name, found in ways.items():  # standardised ones would be 20 and 60 spreads away
        assert ((found.mean(0) - torch.tensor(mean)).abs() <= 3 * torch.tensor(spread)).all(), name
        assert found.dtype == torch.float64 and len(found[:, 0].unique()) == len(found), name
        assert (found[:, 2] == 7).all(), name
    posterior = load_posterior(target)
    again = posterior.standardised(posterior.sample(9))
    assert torch.allclose(again[:, :2], posterior.sample(9, units=False)[:, :2], atol=1e-4)
    assert (again[:, 2] == 0).all()


def test_bad_input_is_one_line_and_leaves_everything(tmp_path, capsys):
    folder = run(tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    for run_folder, target, line in ((folder, tmp_path / "full", "DIR must be new or empty"),
                                     (tmp_path, tmp_path / "new", "is not a run folder")):
        assert main(["export", str(run_folder), str(target)]) == 2
        errors = capsys.readouterr().err
        assert line in errors and errors.count("\n") == 1
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine" and not (tmp_path / "new").exists()
