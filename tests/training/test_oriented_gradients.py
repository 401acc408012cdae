"""Histograms of oriented gradients see edges, their directions and places, and little else."""

import torch

from bayesgan.data import to_float
from bayesgan.options import load_data, resolve
from bayesgan.training.oriented_gradients import ORIENTATIONS, gradient_histograms, histogram_count


def picture(channels=1, seed=0):
    return torch.rand(2, channels, 28, 28, generator=torch.Generator().manual_seed(seed))


def test_an_edge_is_counted_in_its_direction_and_place():
    edge = torch.zeros(1, 1, 28, 28)
    edge[..., 14:, :] = 1  # brighter downwards: a quarter turn from brighter to the right
    counts = gradient_histograms(edge).view(ORIENTATIONS, 10, 10)
    assert counts.sum((1, 2)).argmax() == ORIENTATIONS // 4 and counts[6].max() < 1e-3 * counts[2].max()
    assert counts[2].mean(1).argmax() in (4, 5) and counts[2, 0].max() < 1e-3 * counts[2].max()
    assert abs((counts**2).norm().item() - 1) < 1e-5


def test_a_quarter_turn_turns_places_and_directions():
    images = picture()
    straight = gradient_histograms(images).view(2, ORIENTATIONS, 10, 10)
    turned = gradient_histograms(images.rot90(1, (2, 3))).view(2, ORIENTATIONS, 10, 10)
    assert (turned - straight.rot90(1, (2, 3)).roll(-ORIENTATIONS // 4, 1)).abs().max() < 1e-4


def test_brightness_and_contrast_are_not_seen_and_the_steepest_channel_is():
    images = picture()
    assert (gradient_histograms(0.3 * images + 0.5) - gradient_histograms(images)).abs().max() < 1e-4
    coloured = torch.cat([0.1 * picture(seed=1), images, torch.zeros(2, 1, 28, 28)], 1)
    assert (gradient_histograms(coloured) - gradient_histograms(images)).abs().mean() < 0.02
    nothing = torch.zeros(1, ORIENTATIONS * histogram_count(8, 8))
    assert gradient_histograms(torch.zeros(1, 3, 8, 8)).equal(nothing)


def test_neighbours_are_more_often_of_one_class_than_those_of_pixels():
    options, _ = resolve({"N": 100}, True)
    data = load_data(options)
    images, labels = to_float(data.test), data.test_labels

    def of_one_class(features):
        distances = torch.cdist(features, features).fill_diagonal_(torch.inf)
        return (labels[distances.topk(5, largest=False).indices] == labels[:, None]).double().mean()

    assert of_one_class(gradient_histograms(images)) > of_one_class(images.flatten(1))
