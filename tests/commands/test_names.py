"""Folders with names that a shell, a browser, a template or Python would take for something else."""

import html
import json
import re
import shlex
import subprocess

import pytest

from bayesgan.commands.train import main as train
from bayesgan.house import main
from tests.commands.helpers import TINY, run
from tests.data.files import write_pictures

ODD = "it's \"$HOME\" `id` <b>&lt; {{ name }} {% x %} #1   (so)"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A labelled run in an odd folder, of odd classes, exported to an odd folder."""
    place = tmp_path_factory.mktemp("names")
    write_pictures(place / ODD / "data", classes=("<b>", "a|b {{ x }}"), count=30)
    folder = run(place / ODD / "out", "--dataset", "image_folder", "--data_path", place / ODD / "data", "--image_size",
                 "16", "--background", "#ffffff", "--N", "4", "--no_supervised", "--df_dim", "8", semi=True)
    assert main(["export", str(folder), str(place / "shared" / ODD)]) == 0
    return folder, place / "shared" / ODD


def test_the_card_shows_the_name_and_its_python_reads_the_folder(made):
    card = (made[1] / "README.md").read_text()
    text = re.sub(r"```.*?```", "", card, flags=re.S)
    assert "# it&#39;s" in text and "<b>" not in text and "{{ name }} {% x %}" in text
    package, *_ = re.findall(r"```python\n(.*?)```", card, re.S)
    names = {"__name__": "card"}
    package = package.replace('"PATH"', repr(str(made[0].parents[1] / "data")))
    exec(package.replace("load_posterior(", f"load_posterior({str(made[1].parent) + '/'!r} + "), names)
    assert names["probabilities"].shape == (len(names["new"].names), 2)
    (settings,) = [line for line in card.splitlines() if "run_bgan_semi.py" in line]
    words = shlex.split(settings, comments=True)
    assert words[words.index("--background") + 1] == "#ffffff" and "--data_path" not in words
    assert str(made[0].parents[2]) not in card + (made[1] / "config.json").read_text()


def test_every_command_of_the_report_names_the_folder(made, tmp_path):
    assert main(["report", str(made[0]), "--out", str(tmp_path / ODD / "page.html")]) == 0
    page = (tmp_path / ODD / "page.html").read_text()
    assert "<b>" not in page
    text = html.unescape(page)
    commands = re.findall(r"python (?:-m bayesgan|run_bgan)[^\n]*", text)
    assert len(commands) >= 3
    for command in commands:
        words = shlex.split(command.replace("</pre>", ""), comments=True)
        assert str(made[0]) in words or str(made[0].parents[1] / "data") in words, command
    assert shlex.split(text[text.rindex("--data_path "):].splitlines()[0])[1] == str(made[0].parents[1] / "data")


def test_what_a_run_prints_can_be_pasted(made, capsys):
    folder, exported = made
    assert train([*TINY, "--df_dim", "8", "--resume", str(folder), "--train_iter", "11"], semi=True) == 0
    lines = capsys.readouterr().out.splitlines()
    given = {name: shlex.split(line) for line in lines for name in ("follow", "sample", "go on") if line.startswith(
        f"  {name} ")}
    assert given["follow"][-1] == str(folder / "tensorboard") and str(folder) in given["go on"]
    sampled = subprocess.run(given["sample"][1:], capture_output=True, text=True, check=True)
    assert sampled.stdout.strip() == "torch.Size([64, 3, 16, 16])" or "1, 16, 16" in sampled.stdout
    for place in (folder, exported):
        assert main(["check", str(place)]) == 0
        assert main(["runs", str(place)]) == 0
    config = json.loads((exported / "config.json").read_text())
    assert "--background" in config["commands"][0]["command"] and "#ffffff" in config["commands"][0]["command"]
