"""Grids of images, and the digits that most of them show, against the libraries they come from."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torchvision.utils import make_grid

from bayesgan.data import to_bytes
from bayesgan.data.bundled import digits_table
from bayesgan.evaluation.pictures import image_grid


@pytest.mark.parametrize("shape, columns", [((100, 1, 8, 8), 10), ((7, 3, 32, 32), 3), ((5, 1, 40, 40), 10)])
def test_a_grid_is_torchvisions(shape, columns):
    images = torch.rand(shape) * 2 - 1
    factor = max(1, 32 // shape[-1])
    large = images.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
    assert torch.equal(image_grid(images, columns), make_grid(to_bytes(large), nrow=columns, padding=2, pad_value=96))


def test_the_digits_are_scikit_learns(monkeypatch):
    source = load_digits()
    expected = np.column_stack([source.data, source.target])
    assert np.array_equal(digits_table(), expected)
    monkeypatch.setattr("bayesgan.data.bundled.Path.exists", lambda path: False)  # as of a version with another layout
    assert np.array_equal(digits_table(), expected)
