"""Strong distortions against what each of them is said to do."""

import pytest
import torch

from bayesgan.data import distorted, distortions

KINDS = ("ROTATION", "SCALING", "SHEAR", "SHIFT", "ERASED")


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def only(monkeypatch, kind=None):
    """Switches all other kinds off."""
    for name in KINDS:
        if name != kind:
            monkeypatch.setattr(distortions, name, 0.0)


def blob(count, side=41, width=1.5, length=4.0):
    """A bright horizontal bar in the middle."""
    grid = torch.arange(side) - (side - 1) / 2
    bar = torch.exp(-(grid[:, None] / width) ** 2 / 2 - (grid[None] / length) ** 2 / 2)
    return (2 * bar - 1).expand(count, 1, side, side)


def moments(images):
    """Centre (n, 2) and covariance (n, 3: xx, xy, yy) of the brightness."""
    mass = (images[:, 0] + 1) / 2
    side = images.shape[-1]
    grid = torch.arange(side) - (side - 1) / 2
    total = mass.sum((1, 2))
    x, y = (mass * grid).sum((1, 2)) / total, (mass * grid[:, None]).sum((1, 2)) / total
    dx, dy = grid - x[:, None, None], grid[:, None] - y[:, None, None]
    return x, y, *((mass * product).sum((1, 2)) / total for product in (dx * dx, dx * dy, dy * dy))


def test_strength_0_changes_nothing():
    images = torch.rand(2, 5, 3, 9, 9, generator=source()) * 2 - 1
    assert (distorted(images, 0.0, source()) - images).abs().max() < 1e-5
    vectors = torch.randn(4, 7, generator=source())
    assert torch.equal(distorted(vectors, 0.0, source()), vectors)


@pytest.mark.parametrize("shape", [(6, 1, 8, 8), (2, 3, 3, 32, 32), (5, 7), (2, 5, 7)])
def test_shape_range_and_seed(shape):
    data = torch.rand(shape, generator=source()) * 2 - 1
    one, again, other = (distorted(data, 1.0, source(seed)) for seed in (0, 0, 1))
    assert one.shape == data.shape and torch.equal(one, again) and not torch.equal(one, other)
    assert not torch.equal(one[0], data[0])
    if len(shape) > 3:
        assert one.abs().max() <= 1 + 1e-6


def test_rotations_are_uniform_up_to_20_degrees(monkeypatch):
    only(monkeypatch, "ROTATION")
    _, _, xx, xy, yy = moments(distorted(blob(2000), 1.0, source()))
    degrees = torch.rad2deg(torch.atan2(2 * xy, xx - yy) / 2)
    assert degrees.abs().max() < 20.5 and degrees.std() == pytest.approx(20 / 3**0.5, rel=0.05)


def test_shifts_are_uniform_up_to_7_5_percent_of_a_side(monkeypatch):
    only(monkeypatch, "SHIFT")
    for centre in moments(distorted(blob(2000), 1.0, source()))[:2]:
        assert centre.abs().max() < 0.075 * 41 + 0.2 and centre.std() == pytest.approx(0.075 * 41 / 3**0.5, rel=0.05)


def test_scalings_are_up_to_15_percent_and_independent(monkeypatch):
    only(monkeypatch, "SCALING")
    square = {"width": 4.0, "length": 4.0}
    plain = moments(blob(1, **square))
    _, _, xx, _, yy = moments(distorted(blob(2000, **square), 1.0, source()))
    across, along = (xx / plain[2]).sqrt().log(), (yy / plain[4]).sqrt().log()
    for factor in (across, along):
        assert factor.abs().max() < 0.16 and factor.std() == pytest.approx(0.15 / 3**0.5, rel=0.1)
    assert abs(torch.corrcoef(torch.stack([across, along]))[0, 1]) < 0.1


def test_shears_move_rows_by_up_to_a_fifth_of_their_height(monkeypatch):
    only(monkeypatch, "SHEAR")
    _, _, _, xy, yy = moments(distorted(blob(2000, width=4.0, length=2.0), 1.0, source()))
    assert (xy / yy).abs().max() < 0.21 and (xy / yy).std() == pytest.approx(0.2 / 3**0.5, rel=0.1)


def test_a_square_takes_the_median_colour_anywhere(monkeypatch):
    only(monkeypatch, "ERASED")
    image = torch.arange(3 * 10 * 10.0).view(1, 3, 10, 10) / 150 - 1
    changed = ((distorted(image.expand(2000, -1, -1, -1), 1.0, source()) - image).abs() > 1e-3).any(1)  # (n, 10, 10)
    assert set(changed.flatten(1).sum(1).tolist()) <= {8, 9}  # 3x3; a pixel may have had the median
    assert (changed.double().mean(0)[0, 0] - 1 / 64).abs() < 0.02  # 8 x 8 places
    assert changed.any(0).float().mean() > 0.95


def test_noise_on_vectors_has_the_strength_asked_for():
    noise = distorted(torch.zeros(100, 1000), 2.0, source())
    assert noise.std() == pytest.approx(0.6, rel=0.02)
