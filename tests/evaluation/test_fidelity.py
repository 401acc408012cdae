"""Scores with known answers: class histograms, Gaussians, equal sets; extractors, and what they refuse."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from bayesgan.data import DATA_SETS, DataOptions
from bayesgan.evaluation.extractors import Extractor, by_channel, inception, read_judge, train_judge
from bayesgan.evaluation.fidelity import Seen, class_figures, fidelity, looked_at
from bayesgan.evaluation.image_scores import frechet


def seen(features, classes=4):
    """Images of classes 0, 1, ..., told apart with certainty."""
    labels = torch.arange(len(features)) % classes
    return Seen(features, 1000 * torch.nn.functional.one_hot(labels, classes).double(), labels)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_class_figures_of_a_known_histogram():
    shares = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    assert class_figures(torch.tensor([0, 0, 1, 1]), shares) == {
        "found": 2, "covered": 2, "class_kl": pytest.approx(0.5 * np.log(2))}
    few = class_figures(torch.tensor([0] * 29 + [1] + [2] * 2), shares)
    assert (few["found"], few["covered"]) == (3, 2), "1/32 is under a quarter of 1/4, 2/32 is that quarter"
    assert class_figures(torch.tensor([0, 1, 2, 0]), shares)["class_kl"] == pytest.approx(0)
    absent = torch.tensor([0.5, 0.5, 0], dtype=torch.float64)
    assert class_figures(torch.tensor([0, 1]), absent)["covered"] == 2, "what the data lack cannot be covered"


def test_equal_sets_are_at_distance_zero():
    pytest.importorskip("torch_fidelity")
    one = seen(normal(400, 6))
    figures = fidelity(one, one)
    assert figures["fid"] == pytest.approx(0, abs=1e-6) and figures["precision"] == figures["recall"] == 1
    assert abs(figures["kid"]) < 0.05 and figures["class_score"] == pytest.approx(4)


def test_gaussians_are_at_a_known_distance():
    """|m|² between N(0, I) and N(m, I) in 3 dimensions; and the same number from the code that experiments use."""
    pytest.importorskip("torch_fidelity")
    a, b = normal(1000, 3), normal(1000, 3, seed=1) + torch.tensor([2.0, 0, 0])
    figures = fidelity(seen(a[:500]), seen(b[:500]))
    assert figures["fid"] == pytest.approx(frechet(a[:500].numpy(), b[:500].numpy()), rel=1e-4)
    assert figures["fid"] == pytest.approx(4, abs=5 * 4 * (2 / 500) ** 0.5)  # sd of |m|²: 2 |m| sqrt(2 / n)
    same = fidelity(seen(a[:500]), seen(a[500:]))
    assert figures["kid"] > 10 * abs(same["kid"]) and same["fid"] < 0.2 and same["precision"] > figures["precision"]


def test_without_torch_fidelity_the_install_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(ValueError, match=r'pip install -e "\.\[metrics\]"'):
        fidelity(seen(normal(100, 3)), seen(normal(100, 3)))


def of_digit(images):
    """A judge that is never wrong of images whose every pixel is 20 times the digit."""
    digit = images[:, 0, 0, 0].long() // 20
    return digit[:, None].double(), 100 * torch.nn.functional.one_hot(digit, 10).double()


def test_a_class_is_the_number_that_the_channels_make():
    judge = by_channel(Extractor("digits", (1, 4, 4), {}, of_digit), tuple(f"{number:03}" for number in range(1000)))
    numbers = torch.tensor([0, 7, 42, 305, 999])
    digits = torch.stack([numbers // 100, numbers // 10 % 10, numbers % 10], 1)  # (5, 3)
    images = (20 * digits).to(torch.uint8)[:, :, None, None].expand(-1, -1, 4, 4)
    found = looked_at(judge, images)
    assert torch.equal(found.classes, numbers) and torch.equal(found.features, digits.double())
    assert class_figures(found.classes, judge.shares)["class_kl"] == pytest.approx(np.log(200))
    only = by_channel(Extractor("digits", (1, 4, 4), {}, of_digit), ("042", "305"))
    assert looked_at(only, images[2:4]).classes.tolist() == [0, 1] and only.shares.tolist() == [0.5, 0.5]


@pytest.mark.parametrize("images", [
    torch.zeros(2, 3, 4, 4, dtype=torch.uint8), torch.zeros(2, 1, 5, 5, dtype=torch.uint8), torch.zeros(2, 1, 4, 4)])
def test_images_of_another_kind_are_refused(images):
    with pytest.raises(ValueError, match=r"digits takes bytes \(n, 1, 4, 4\), got .*; give images"):
        looked_at(Extractor("digits", (1, 4, 4), {}, of_digit), images)


def test_a_judge_is_kept_with_its_hash_and_accuracy(tmp_path, capsys):
    data, path = DATA_SETS["digits"].load(DataOptions()), tmp_path / "judge.safetensors"
    train_judge(data, path, steps=100, seed=0, command="typed")
    assert "100/100" in capsys.readouterr().out
    judge = read_judge(path, data)
    right = looked_at(judge, data.test).classes == data.test_labels
    assert judge.about["accuracy"] == right.double().mean().item() > 0.9 and judge.about["command"] == "typed"
    swapped = replace(data, test_labels=9 - data.test_labels)  # another test part, of the same training data
    other = read_judge(path, swapped).about
    assert other["accuracy"] < 0.2 and other["test_images"] == len(data.test)
    assert judge.shares.sum().item() == pytest.approx(1) and len(judge.about["sha256"]) == 64
    about = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(about | {"sha256": "0"}))
    with pytest.raises(ValueError, match="is not what judge.json tells of; delete"):
        read_judge(path, data)
    path.with_suffix(".json").unlink()
    with pytest.raises(ValueError, match="missing or damaged .*; delete"):
        read_judge(path, data)


def test_inception_takes_only_its_own_weights(tmp_path, monkeypatch):
    network = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3").FeatureExtractorInceptionV3
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    (tmp_path / "damaged.pth").write_bytes(b"damaged")
    torch.save(Extractor("code", (1, 4, 4), {}, of_digit), tmp_path / "code.pth")
    for name, words in (("absent", "is not a file"), ("other", "holds no weights"), ("damaged", "holds no weights"),
                        ("code", "holds no weights")):
        with pytest.raises(ValueError, match=f"{name}.pth {words}.*--weights names torch-fidelity's"):
            inception(tmp_path / f"{name}.pth")
    monkeypatch.setattr(network, "load_state_dict", lambda self, state: None)  # of any weights: 96 MB stay unwritten
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    extractor = inception(tmp_path / "other.pth")
    assert [part.shape for part in extractor(images)] == [(2, 2048), (2, 1008)] and extractor.shares is None
    with pytest.raises(ValueError, match=r"Inception takes bytes \(n, 3, any, any\)"):
        extractor(images[:, :1])
