"""What README and docs promise: every command and Python block of the README runs, and no link is dead.

Long ones are shortened, in the tables below, with the reason. A command or block that stands in neither table fails.
"""

import configparser
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.data.files import write_idx, write_pictures

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md")), ROOT / "datasets" / "README.md", ROOT / "runs" / "README.md"]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)

TINY = "--df_dim 4 --num_layers 2 --batch_size 8 --train_iter 8 --n_save 8 --engine loop --device cpu"
# command -> flags that a test adds, and why the whole is too long for one
COMMANDS = {
    "python run_bgan.py": (TINY, "a minute"),
    "python run_bgan_semi.py": (TINY, "half a minute"),
    "python run_bgan_semi.py --recipe mnist-fast --data_path FOLDER": (TINY, "half an hour"),
    "python run_bgan_semi.py --recipe mnist-fast --data_path FOLDER --num_gen 0": (TINY, "nine minutes"),
    "python -m bayesgan evaluate RUN": ("", ""),
    "python -m bayesgan classify RUN NEW_PICTURES": ("", ""),
    "python run_bgan.py --resample obrs": (TINY, "a minute"),
    "python -m bayesgan resample RUN --n 64 --method mh": ("--n 4 --budget 5", "some seconds"),
    "python run_bgan.py --dataset mnist --data_path FOLDER --num_gen 5 --num_mcmc 2": (TINY, "hours"),
    "python run_bgan.py --dataset image_folder --data_path MY_PICTURES --image_size 32": (TINY, "hours"),
    "python run_bgan.py --dataset npz --data_path mine.npz": (TINY, "hours"),
    "python -m bayesgan data npz --data_path mine.npz": ("", ""),
    "python run_bgan.py --dry_run": (TINY, "some seconds"),
    "python run_bgan.py --resume RUN": ("--train_iter 12", "the run it stands for has not ended yet"),
    "python run_bgan.py --help": ("", ""),
    "python -m bayesgan runs": ("", ""),
    "python -m bayesgan score RUN": ("--judges judges", "the classifier is trained for tests alone"),
    "python -m bayesgan report RUN": ("", ""),
    "python -m bayesgan export RUN NEW": ("", ""),
}
# what a test cannot run, and why; each is checked as far as it goes without
INSTALLING = {
    "pip install -e .": "needs the network and would change the environment",
    'pip install -e ".[test]"': "needs the network and would change the environment",
    "python -m pytest -n 2": "this test is in it",
}
BLOCKS = ("load_posterior", "Resampler", "PosteriorSampler")  # each has its test below, by the name it imports


def blocks(language):
    return [text for found, text in FENCED.findall(README.read_text()) if found == language]


def prose(page):
    """A page without its code blocks."""
    text = FENCED.sub("", page.read_text())
    return "\n".join(line for line in text.split("\n") if not line.startswith("    "))


def commands(page):
    """Everything on a page that one types, in code blocks and in sentences; comments removed, && taken apart."""
    lines = page.read_text().replace("\\\n", " ").split("\n")
    spans = re.findall(r"`([^`\n]+)`", prose(page))
    typed = [line.split(" #")[0].strip() for line in [*lines, *spans]]
    return [" ".join(part.split()) for line in typed if re.match(r"(python|pip) ", line) for part in line.split(" && ")]


def python_block(name):
    (text,) = (text for text in blocks("python") if f"from bayesgan import {name}\n" in text)
    return text


def execute(line):
    """Runs `python ...` as a process would, but in this one, which has imported torch already."""
    words = shlex.split(line)[1:]
    with pytest.MonkeyPatch.context() as patch:
        try:
            if words[0] == "-m":
                patch.setattr(sys, "argv", words[1:])
                runpy.run_module(words[1], run_name="__main__")
            else:
                patch.setattr(sys, "argv", words)
                runpy.run_path(str(ROOT / words[0]), run_name="__main__")
        except SystemExit as end:
            assert not end.code


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with all that a reader is said to have: data, pictures, an array, a finished run of each script."""
    home = tmp_path_factory.mktemp("home")
    write_idx(home / "FOLDER", sizes=(400, 60))
    write_pictures(home / "MY_PICTURES", count=20, size=(40, 30))
    write_pictures(home / "NEW_PICTURES", count=2)
    np.savez(home / "mine.npz", x=np.random.default_rng(0).random((40, 8, 8)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        for script, name in (("run_bgan_semi", "bgan_digits_1700000000"), ("run_bgan", "plain")):
            execute(f"python {script}.py {TINY} --out_dir made")
            next((home / "made").iterdir()).rename(home / name)
        (home / "runs").mkdir()
        (home / "bgan_digits_1700000000").rename(home / "runs" / "bgan_digits_1700000000")
    return home


def test_every_command_and_block_is_known():
    assert set(commands(README)) == {*COMMANDS, *INSTALLING}
    imported = [re.findall(r"from bayesgan import (\w+)", text) for text in blocks("python")]
    assert sorted(imported) == [[name] for name in sorted(BLOCKS)]
    assert {language for language, _ in FENCED.findall(README.read_text())} == {"bash", "python"}
    assert not re.search(r"^(    |~~~|\t)", FENCED.sub("", README.read_text()), re.M), "code without its language"
    in_blocks = [line for text in blocks("bash") for line in text.splitlines()]
    assert all(line.startswith(("python ", "pip ")) for line in in_blocks)


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command, home, monkeypatch):
    monkeypatch.chdir(home)
    run = "plain" if command.startswith("python run_bgan.py") else "runs/bgan_digits_1700000000"
    execute(f"{command.replace('RUN', run)} {COMMANDS[command][0]}")


def test_installing():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    extras = {extra for command in INSTALLING for extra in re.findall(r"\[(\w+)\]", command)}
    assert extras <= set(config["options.extras_require"])
    result = subprocess.run([sys.executable, "-m", "pytest", "--markers"], cwd=ROOT, text=True, capture_output=True)
    assert result.returncode == 0 and "@pytest.mark.slow" in result.stdout, result.stderr


def test_load_posterior_block(home, monkeypatch):
    monkeypatch.chdir(home)
    names = {}
    exec(python_block("load_posterior"), names)
    assert names["images"].shape == (64, 1, 8, 8) and names["images"].abs().max() <= 1
    assert names["probabilities"].shape == (64, 10) and names["doubt"].shape == (64,)


def test_resampler_block():
    names = {
        "generator": nn.Sequential(nn.Linear(64, 64), nn.Unflatten(1, (1, 8, 8)), nn.Tanh()).eval(),
        "discriminator": nn.Sequential(nn.Flatten(), nn.Linear(64, 1)).eval(),
        "held_out": torch.rand(100, 1, 8, 8) * 2 - 1,
        "training": torch.rand(200, 1, 8, 8) * 2 - 1,
    }
    assert all(f"`{name}`" in prose(README) for name in names), "the README must say that these are the reader's"
    exec(python_block("Resampler"), names)
    assert names["better"].shape == (64, 1, 8, 8)


def test_posterior_sampler_block(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text, names = python_block("PosteriorSampler"), {}
    for whole, short in (("burn_in=2000", "burn_in=20"), ("thin=100", "thin=2"), ("draws=100", "draws=5")):
        assert whole in text  # half a minute as it stands
        text = text.replace(whole, short)
    exec(text, names)
    assert names["probabilities"].shape == (10, 3) and (tmp_path / "sampler.pt").exists()


def test_the_readme_is_read_in_five_minutes():
    lines = README.read_text().splitlines()
    assert len(lines) <= 150 and max(map(len, lines)) <= 120 and len(README.read_text().split()) <= 1300


def anchors(page):
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_resolves(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(file), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_has_the_flags_it_is_given(page, capsys):
    for command in commands(page):
        if not re.match(r"python (run_bgan|-m bayesgan)", command):
            continue
        program = re.split(r" --| RUN\b", command)[0]
        execute(f"{program} --help")
        known = set(re.findall(r"--[\w-]+", capsys.readouterr().out))
        assert set(re.findall(r"(?<= )--[\w-]+", command)) <= known, command
