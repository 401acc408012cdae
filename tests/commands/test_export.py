"""The exported folder: read back by the package, and by a script that does not have it."""

import re
import stat
import subprocess
import sys

import pytest
import torch

from bayesgan import load_posterior
from bayesgan.house import main
from tests.commands.helpers import run

CASES = {"labels": (["--N", "20"], True), "vectors": (["--dataset", "gaussians25"], False),
         "mlp": (["--network", "mlp"], False)}


@pytest.mark.parametrize("case", CASES)
def test_what_was_exported_gives_the_same_samples_with_and_without_the_package(case, tmp_path, capsys):
    flags, semi = CASES[case]
    folder = run(tmp_path / "out", *flags, "--thin", "2", semi=semi)
    target = tmp_path / "shared" / "mine"
    assert main(["export", str(folder), str(target)]) == 0
    assert "generator.pt2" in capsys.readouterr().out
    before, after = load_posterior(folder), load_posterior(target)
    assert torch.equal(before.sample(30, seed=3), after.sample(30, seed=3))
    card = (target / "README.md").read_text()
    for words in ("draws of 2 generators", "--num_gen 2", "## Limits", f'load_posterior("{target.name}")'):
        assert words in card
    assert str(tmp_path) not in card + (target / "config.json").read_text()  # no place of this machine
    assert not list(tmp_path.rglob("*.partial"))
    assert all(path.stat().st_mode & stat.S_IROTH for path in target.rglob("*.*"))
    if semi:
        x = before.sample(5)
        assert torch.equal(before.predict_proba(x), after.predict_proba(x)) and "errors of 359" in card
    example = re.findall(r"```python\n(.*?)```", card, re.S)[-1]
    assert len(example.splitlines()) <= 20
    alone = "import sys\nsys.modules['bayesgan'] = None\nimport torch\ntorch.manual_seed(0)\n" + example
    subprocess.run([sys.executable, "-c", alone], cwd=target, check=True, capture_output=True)
    found, members = torch.load(target / "samples.pt"), 2 * len(before.draws)
    assert found.shape == (8 * members, *before.shape) and found.isfinite().all()
    torch.manual_seed(0)
    latent = torch.randn(8, before.options.z_dim)
    assert torch.allclose(before.generators.forward_member(0, latent), found[:8], atol=1e-5)


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
