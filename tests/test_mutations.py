"""Every parser on files that somebody or something has changed: it reads them, or says in one line what is wrong.

300 changes in a usual run, 5,000 with `-m slow`.
"""

import json
import random
import shutil
import zipfile

import numpy as np
import pytest
import torch

from bayesgan import load_posterior
from bayesgan.basics.errors import InputError
from bayesgan.store import RunFolder
from tests.commands.helpers import run
from tests.data.files import load, picture, write_cifar, write_idx, write_pickles

KINDS = ("npz", "zip", "png", "idx", "cifar", "pickle", "config", "index", "labelled", "results", "draw",
         "supervised", "weights")
VALUES = (None, True, -1, 0, 1.5, 1e308, "", "x", "../x", [], {}, [1], {"a": 1}, "nan", 10**30)


def changed_bytes(content, chance):
    """The same bytes with some flipped, cut out, put in, or the rest missing."""
    content = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 8))):
        place = chance.randrange(len(content)) if content else 0
        if chance.random() < 0.6:
            place = place % min(len(content), 300) if content else 0  # where headers are
        what = chance.randrange(5)
        if what == 0 and content:
            content[place] ^= 1 << chance.randrange(8)
        elif what == 1 and content:
            content[place] = chance.choice((0, 255, 128, chance.randrange(256)))
        elif what == 2:
            del content[place : place + chance.choice((1, 4, 100))]
        elif what == 3:
            content[place:place] = chance.randbytes(chance.choice((1, 4, 50)))
        else:
            del content[place:]
    return bytes(content)


def changed_json(content, chance):
    """The same text with a value replaced, a field gone, or bytes changed."""
    if chance.random() < 0.3:
        return changed_bytes(content, chance)
    value = json.loads(content)
    place = value
    for _ in range(chance.randrange(5)):
        inner = [key for key in (place if isinstance(place, dict) else range(len(place)))
                 if isinstance(place[key], (dict, list)) and place[key]]
        if not inner:
            break
        place = place[chance.choice(inner)]
    key = chance.choice(list(place) if isinstance(place, dict) else range(len(place)))
    if chance.random() < 0.2:
        del place[key]
    else:
        place[key] = chance.choice(VALUES)
    return json.dumps(value).encode()


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Kind -> the file that is changed, and what reads it."""
    root = tmp_path_factory.mktemp("sources")
    for name in ("npz", "zip", "png", "idx", "cifar", "pickle"):
        (root / name).mkdir()
    np.savez(root / "npz" / "a.npz", x=np.random.default_rng(0).random((20, 8, 8)), y=np.arange(20) % 2)
    with zipfile.ZipFile(root / "zip" / "a.zip", "w") as archive:
        for number in range(4):
            archive.writestr(f"{number % 2}/{number}.png", picture())
        archive.writestr("dataset.json", json.dumps({"labels": [[f"{n % 2}/{n}.png", n % 2] for n in range(4)]}))
    for number in range(3):
        (root / "png" / f"{number}.png").write_bytes(picture())
    write_idx(root / "idx", pack=False)
    write_cifar(root / "cifar")
    write_pickles(root / "pickle", "cifar-100-python")
    folder = run(root / "run", "--N", "10", "--save_weights", semi=True)

    def opened(path):
        RunFolder.open(path).load_data()
        return RunFolder.open(path).engines("cpu")

    def posterior(path):
        found = load_posterior(path)
        return found.predict_proba(torch.zeros(1, 1, 8, 8, dtype=torch.uint8)), found.sample(2)

    return {
        "npz": (root / "npz", "a.npz", lambda path: load("npz", path)),
        "zip": (root / "zip", "a.zip", lambda path: load("image_folder", path / "a.zip")),
        "png": (root / "png", "0.png", lambda path: load("image_folder", path)),
        "idx": (root / "idx", "train-labels-idx1-ubyte", lambda path: load("mnist", path)),
        "cifar": (root / "cifar", "test_batch.bin", lambda path: load("cifar", path)),
        "pickle": (root / "pickle", "cifar-100-python/test", lambda path: load("cifar100", path)),
        "config": (folder, "config.json", opened),
        "index": (folder, "posterior/index.json", posterior),
        "labelled": (folder, "labelled.json", opened),
        "results": (folder, "results_10.json", lambda path: RunFolder.open(path).results()),
        "draw": (folder, "posterior/draw_00000010.safetensors", posterior),
        "supervised": (folder, "supervised.safetensors", lambda path: RunFolder.open(path).supervised()),
        "weights": (folder, "weights_10.npz", lambda path: RunFolder.open(path).load_weights(10)),
    }


def survives(sources, tmp_path, kind, changes, seed):
    root, name, read = sources[kind]
    shutil.copytree(root, tmp_path / "copy", ignore=shutil.ignore_patterns("tensorboard", "samples"))
    content, path = (root / name).read_bytes(), tmp_path / "copy" / name
    read(tmp_path / "copy")
    for change in range(changes):
        chance = random.Random(f"{kind} {seed} {change}")
        changed = (changed_json if name.endswith(".json") else changed_bytes)(content, chance)
        path.write_bytes(changed)
        try:
            read(tmp_path / "copy")
        except InputError as error:
            assert "\n" not in str(error), f"{kind} {seed} {change}: {error}"
        except Exception as error:
            raise AssertionError(f"change {change} of {kind}, seed {seed}: {type(error).__name__}: {error}") from error


@pytest.mark.parametrize("kind", KINDS)
def test_changed_files_are_read_or_refused_in_one_line(sources, tmp_path, kind):
    survives(sources, tmp_path, kind, 24, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_thousands_of_changed_files(sources, tmp_path, kind):
    survives(sources, tmp_path, kind, 400, seed=1)
