"""What every command makes of an exported folder: it is read, or one line says what to do."""

import json
import re
import shutil
import subprocess

import pytest

from bayesgan import load_posterior
from bayesgan.commands.train import main as train
from bayesgan.house import main
from tests.commands.helpers import TINY, run


@pytest.fixture(scope="module", params=["labels", "plain"])
def exported(request, tmp_path_factory):
    """Of a semi-supervised run and of another; the folder, and whether it is the former."""
    place = tmp_path_factory.mktemp("exported")
    semi = request.param == "labels"
    folder = run(place / "out", *(["--N", "20", "--no_supervised"] if semi else ["--keep", "8", "--thin", "1"]),
                 semi=semi)
    assert main(["export", str(folder), str(place / "mine")]) == 0
    return place / "mine", semi


def one_line(command, capsys):
    capsys.readouterr()
    assert command() == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_check_finds_every_byte_that_was_changed_and_every_file_that_is_gone(exported, tmp_path, capsys):
    whole, _ = exported
    assert main(["check", str(whole)]) == 0
    told = capsys.readouterr().out
    assert "an exported folder" in told and "generator.pt2" in told and "DAMAGED" not in told
    files = [path.relative_to(whole) for path in whole.rglob("*") if path.is_file()]
    assert len(files) >= 7
    for name in files:
        for damage in ("flipped", "gone"):
            copy = tmp_path / damage / name.name
            shutil.copytree(whole, copy)
            content = bytearray((copy / name).read_bytes())
            content[len(content) // 2] ^= 1
            (copy / name).write_bytes(content) if damage == "flipped" else (copy / name).unlink()
            code = main(["check", str(copy)])
            found = capsys.readouterr()
            if name.name == "README.md":  # which is there to be edited
                assert code == 0
            else:
                assert code == 2 and (name.name in found.out + found.err), (name, damage)
    assert subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=whole).returncode == 0


def test_a_draw_too_many_and_one_that_is_lost(exported, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(exported[0], copy)
    (copy / ".gitattributes").write_text("* text=auto")
    assert main(["check", str(copy)]) == 0 and "added" not in capsys.readouterr().out
    draw = next((copy / "posterior").glob("draw_*"))
    shutil.copy(draw, copy / "posterior" / "draw_99999999.safetensors")
    assert main(["check", str(copy)]) == 2
    (damaged,) = re.findall("DAMAGED.*", capsys.readouterr().out)
    assert "posterior/draw_99999999.safetensors: it is no draw of this folder" in damaged and "remove it" in damaged
    draw.write_bytes(b"cut")
    assert main(["check", str(copy)]) == 2
    assert "has no draws" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["/etc/hostname", "../mine/config.json"])
def test_sums_of_files_elsewhere_are_damage(exported, name, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(exported[0], copy)
    with open(copy / "SHA256SUMS", "a") as file:
        file.write(f"{'0' * 64}  {name}\n")
    assert main(["check", str(copy)]) == 2
    assert "SHA256SUMS is missing or damaged" in capsys.readouterr().out


def test_no_command_goes_on_with_what_is_not_there(exported, capsys):
    folder, semi = exported
    resume = one_line(lambda: train([*TINY, "--resume", str(folder), "--train_iter", "20"], semi), capsys)
    assert "is an exported folder" in resume and "resume the run it was made from" in resume
    assert "is exported already; copy" in one_line(lambda: main(["export", str(folder), str(folder) + "2"]), capsys)
    capsys.readouterr()
    assert main(["runs", str(folder)]) == 0
    assert re.search(r"exported +[25] ", capsys.readouterr().out)


def test_what_needs_the_data_works_or_says_that_labels_stay_with_the_run(exported, capsys):
    folder, semi = exported
    resample = ["resample", str(folder), "--judge_steps", "0", "--n", "4"]
    if semi:
        for command in (resample, ["score", str(folder)], ["evaluate", str(folder)]):
            assert "which holds no labels; name the run it was made from" in one_line(lambda c=command: main(c), capsys)
    else:
        assert main(resample) == 0
        assert "is an unsupervised run" in one_line(lambda: main(["evaluate", str(folder)]), capsys)
    capsys.readouterr()
    assert main(["check", str(folder)]) == 0  # what was added is no damage
    told = capsys.readouterr().out
    assert semi == ("added to what was exported, remove it before you pass the folder on: resampled/" not in told)


def test_the_report_shows_what_there_is(exported, tmp_path):
    folder, semi = exported
    assert main(["report", str(folder), "--out", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    draws = load_posterior(folder).draws
    assert "an exported folder: the draws, without the course of training" in page
    assert f"{draws[-1]['step']} of 10 iterations" in page and "There are no pictures" not in page
    assert "python -m bayesgan" not in page and "--resume" not in page and "The posterior at work" in page
    assert semi or "nearest of" in page


def test_a_folder_whose_config_lost_its_mark_is_not_whole(exported, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(exported[0], copy)
    config = json.loads((copy / "config.json").read_text())
    del config["exported"]
    (copy / "config.json").write_text(json.dumps(config))
    assert main(["check", str(copy)]) == 2
