"""Coverage figures on samples whose coverage is known."""

import math

import numpy as np
import pytest
import torch

from bayesgan.data import DATA_SETS, DataOptions
from bayesgan.data.bundled import GRID_SCALE, gaussian_grid
from bayesgan.evaluation.clusters import cluster_shares, grid_coverage, plane_divergence


def test_real_points_cover_the_grid():
    data = DATA_SETS["gaussians25"].load(DataOptions())
    figures = grid_coverage(data.test)
    assert figures.modes == 25 and figures.high_quality > 0.999 and figures.divergence < 0.0006
    # clipping at 4 sd keeps the sd; 400 points a mode and 50 spreads averaged
    assert abs(figures.mode_std - 0.05) < 5 * 0.05 / math.sqrt(2 * 10_000)


def test_one_mode_and_noise():
    one = torch.from_numpy(np.repeat(gaussian_grid()[:1], 100, 0) / GRID_SCALE)
    figures = grid_coverage(one)
    middle = 0.5 * (1 + 1 / 25)
    expected = 0.5 * math.log(1 / middle) + 0.5 * (1 / 25 * math.log(1 / 25 / middle) + 24 / 25 * math.log(2))
    assert figures.modes == 1 and figures.high_quality == 1 and figures.mode_std == 0
    assert figures.divergence == pytest.approx(expected, abs=1e-12)
    nowhere = grid_coverage(torch.full((10, 2), 0.5 / GRID_SCALE))
    assert nowhere.modes == 0 and nowhere.high_quality == 0 and nowhere.divergence == pytest.approx(math.log(2))


def test_cluster_shares_of_known_parts():
    data = DATA_SETS["synthetic"].load(DataOptions())
    wanted = data.test[(data.test_labels == 3) | (data.test_labels == 8)]
    shares = cluster_shares(wanted, data.train, data.train_labels, 10)
    true = (data.test_labels == 3).sum().item() / len(wanted)
    assert shares[3] == pytest.approx(true, abs=0.02) and shares[8] == pytest.approx(1 - true, abs=0.02)


def test_plane_divergence_is_zero_for_the_data_and_large_for_a_part():
    data = DATA_SETS["synthetic"].load(DataOptions())
    half = len(data.train) // 2
    same = plane_divergence(data.train[:half], data.train[half:])
    part = plane_divergence(data.train[data.train_labels == 0], data.train)
    assert plane_divergence(data.train, data.train) == pytest.approx(0, abs=1e-12)
    assert same < 0.01 < 0.1 < part < math.log(2)


def test_plane_divergence_is_bounded_and_samples_cannot_stretch_its_box():
    data = DATA_SETS["synthetic"].load(DataOptions())
    half = len(data.train) // 2
    samples = data.train[half:].clone()
    near = plane_divergence(samples, data.train[:half])
    samples[:4] = 1e4 * torch.randn(4, samples.shape[1], generator=torch.Generator().manual_seed(0))
    assert near < plane_divergence(samples, data.train[:half]) <= math.log(2) + 1e-9
    far = plane_divergence(data.train[half:] + 1e3, data.train[:half])
    assert far == pytest.approx(math.log(2), abs=0.02)
