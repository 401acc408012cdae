"""The page about runs, and the list of them: what is there is told, what is missing is said."""

import base64
import json
import re
import shutil
from html.parser import HTMLParser

import pytest

from bayesgan.house import main
from bayesgan.report.story import told
from bayesgan.store.results import best_errors
from tests.commands.helpers import run


class Page(HTMLParser):
    """What a browser would see: words, pictures, and addresses that it would have to fetch."""

    def __init__(self, text):
        super().__init__()
        self.words, self.pictures, self.fetched, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "img":
            self.pictures.append(given["src"])
        self.fetched += [value for name, value in attributes if name in ("src", "href") and not value.startswith(
            ("data:", "#"))]
        if tag not in ("img", "meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def page_of(path):
    page = Page(path.read_text())
    assert page.fetched == [] and page.open == []
    for picture in page.pictures:
        kind, _, content = picture.partition(";base64,")
        assert kind in ("data:image/png", "data:image/svg+xml") and base64.b64decode(content, validate=True)
    return page, " ".join(" ".join(page.words).split())


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A semi-supervised and an unsupervised run, resampled."""
    out = tmp_path_factory.mktemp("runs")
    semi = run(out / "semi", "--N", "20", semi=True)
    return semi, run(out / "plain", "--resample", "obrs", "--thin", "1", "--keep", 10, "--train_iter", 30)


def test_the_page_of_a_classifier_tells_everything_and_fetches_nothing(runs, capsys):
    assert main(["report", str(runs[0])]) == 0
    page, words = page_of(runs[0] / "report.html")
    assert f"look at {runs[0] / 'report.html'}" in capsys.readouterr().out
    for part in ("digits with 20 labels", "2 generators and 2 discriminators", "python run_bgan_semi.py --num_gen 2",
                 "errors of 359", "ECE (its floor)", "least sure of", "wrong about", "nearest of 1294 training images",
                 "10 of 10 iterations"):
        assert part in words, part
    assert len(page.pictures) >= 8


def test_the_page_of_several_says_what_differs(runs, tmp_path):
    assert main(["report", *map(str, runs), "--out", str(tmp_path / "new" / "both.html")]) == 0
    _, words = page_of(tmp_path / "new" / "both.html")
    assert "Options that differ: N, " in words and "obrs_20_0, after" in words and "independent (ESS)" in words


def test_what_is_missing_is_said_and_what_there_is_is_shown(runs, tmp_path):
    broken = tmp_path / "bgan_digits_1"
    shutil.copytree(runs[0], broken)
    for name in ("tensorboard", "samples", "posterior", "evaluation"):
        shutil.rmtree(broken / name)
    config = json.loads((broken / "config.json").read_text()) | {"ended": 0}
    config["data"]["checksum"] = "0" * 16
    config["commands"][0]["command"] += ["<script>alert(1)</script>"]
    (broken / "config.json").write_text(json.dumps(config))
    assert main(["report", str(broken)]) == 0
    page, words = page_of(broken / "report.html")
    assert "the run is not complete: 10 of 10 iterations are saved" in words and "no collected draws" in words
    assert "the run was trained on other data" in words and "There are no pictures yet" in words
    assert "<script>" not in (broken / "report.html").read_text() and len(page.pictures) == 5


@pytest.mark.parametrize("change, line", [
    (lambda folder: folder.joinpath("config.json").unlink(), "is not a run folder"),
    (lambda folder: folder.joinpath("config.json").write_text("{}"), "is damaged"),
])
def test_bad_runs_are_one_line_and_leave_the_page_that_was(change, line, runs, tmp_path, capsys):
    folder = tmp_path / "bgan_digits_1"
    shutil.copytree(runs[0], folder)
    (folder / "report.html").write_text("before")
    change(folder)
    assert main(["report", str(folder)]) == 2
    errors = capsys.readouterr().err
    assert line in errors and errors.count("\n") == 1 and (folder / "report.html").read_text() == "before"


def test_runs_of_other_data_are_not_compared(runs, tmp_path, capsys):
    other = run(tmp_path, "--dataset", "gaussians25")
    assert main(["report", str(runs[0]), str(other)]) == 2
    assert "runs of one kind of data can be compared" in capsys.readouterr().err
    assert main(["report", str(other)]) == 0
    assert "nearest of" not in page_of(other / "report.html")[1]  # of vectors there is no picture


def test_the_curves_come_from_the_events_or_the_results(runs):
    story = told(runs[0])
    assert [step for step, _ in story.curves["loss/generators"]] == [5, 10]
    assert best_errors(story.results) == min(
        one["classification"]["posterior"]["errors"] for one in story.results if one["classification"]["posterior"])
    assert best_errors([{"iteration": 3}]) is None


def test_runs_are_listed_with_how_far_and_how_good(runs, tmp_path, capsys):
    folder = runs[0].parents[1]
    (folder / "bgan_bad").mkdir()
    (folder / "bgan_bad" / "config.json").write_text("{")
    (folder / "of_another_program").mkdir()
    (folder / "of_another_program" / "config.json").write_text('{"model_type": "bert"}')
    assert main(["runs", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and len({len(line) for line in lines}) == 1
    assert re.search(r"semi/bgan_digits_\d+ +digits +20 +2 x 2 +10 of 10 +\d+ +\d+ of 359", "\n".join(lines))
    assert "bgan_bad" in lines[3] and "damaged" in lines[3]
    for place, line in ((tmp_path, "there is no run in"), (tmp_path / "none", "FOLDER must be a folder")):
        assert main(["runs", str(place)]) == 2
        assert line in capsys.readouterr().err
