"""Stacked MNIST: what its labels mean, and that it is the same every time."""

import torch

from bayesgan.data import stacked
from tests.data.files import load, write_idx


def test_labels_are_the_digits_of_the_channels(tmp_path, monkeypatch):
    monkeypatch.setattr(stacked, "SIZE", 300)
    write_idx(tmp_path)
    mnist, data = load("mnist", tmp_path), load("stacked_mnist", tmp_path)
    assert data.shape == (3, 28, 28) and len(data.classes) == 1000 and data.classes[42] == "042"
    for part in ("train", "test"):
        digits, labels = getattr(mnist, part), getattr(mnist, f"{part}_labels")
        known = {digit.numpy().tobytes(): label for digit, label in zip(digits[:, 0], labels.tolist())}
        images, numbers = getattr(data, part), getattr(data, f"{part}_labels").tolist()
        assert len(images) == 300
        for image, number in zip(images, numbers):
            assert [known[channel.numpy().tobytes()] for channel in image] == [int(digit) for digit in f"{number:03}"]
    assert torch.equal(load("stacked_mnist", tmp_path).train, data.train)
    assert not torch.equal(data.train, data.test)
    assert load("stacked_mnist", tmp_path, image_size=16).shape == (3, 16, 16)


def test_real_size_and_shares(tmp_path):
    write_idx(tmp_path, sizes=(1000, 500))
    data = load("stacked_mnist", tmp_path)
    counts = data.test_labels.bincount(minlength=1000)
    assert data.train.dtype == torch.uint8 and len(data.train) == len(data.test) == stacked.SIZE
    assert len(data.test) // 2 >= 26_000 and abs(counts - 60).max() < 6 * 60**0.5
