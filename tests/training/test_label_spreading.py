"""Label spreading against a dense solution, on clusters with a known answer, and where no label reaches."""

import numpy as np
import pytest
import torch

from bayesgan.data import Dataset
from bayesgan.training import teacher
from bayesgan.training.label_spreading import USUAL_POWER, View, on_hidden, sharpened, spread_labels, together

SOURCE = torch.Generator().manual_seed(0)


def clusters(centres, each, spread=0.1):
    """Gaussian clouds around unit vectors, and which each point is of."""
    points = torch.eye(8)[:centres].repeat_interleave(each, 0)
    return points + spread * torch.randn(points.shape, generator=SOURCE), torch.arange(centres).repeat_interleave(each)


def test_one_label_a_cluster_labels_the_cluster():
    points, classes = clusters(4, 50)
    rows = torch.arange(4) * 50
    spread = spread_labels([View(points)], rows, classes[rows], 4)
    assert torch.equal(spread.classes, classes) and spread.sureness.min() > 0.99


@pytest.mark.parametrize("count", [1, 2])
def test_scores_are_those_of_the_dense_system(count):
    """(I - .99 S) F = Y, S = D^-1/2 W D^-1/2, W of the views' mean cosines, written out with loops; all
    classes of one mass."""
    points, _ = clusters(2, 15, spread=0.5)
    seen = [points, points[:, :3] ** 2][:count]
    rows, labels = torch.tensor([0, 3, 20]), torch.tensor([0, 0, 1])
    units = [(one - one.mean(0)) / (one - one.mean(0)).norm(dim=1, keepdim=True) for one in seen]
    cosine = sum(unit.double() @ unit.double().T for unit in units) / count
    weights = torch.zeros(30, 30, dtype=torch.float64)
    for row in range(30):
        for column in [c for c in cosine[row].argsort(descending=True).tolist() if c != row][:12]:
            weights[row, column] += max(cosine[row, column], 0) ** 4
            weights[column, row] += max(cosine[row, column], 0) ** 4
    degree = weights.sum(1)
    system = torch.eye(30) - 0.99 * weights / (degree[:, None] * degree).sqrt()
    given = torch.zeros(30, 2, dtype=torch.float64)
    given[rows, labels] = 1
    scores = torch.linalg.solve(system, given)
    scores = scores / scores.sum(0)
    expected = scores / scores.sum(1, keepdim=True)
    spread = spread_labels([View(one) for one in seen], rows, labels, 2)
    assert torch.equal(spread.classes, expected.argmax(1))
    assert (spread.sureness - expected.max(1).values).abs().max() < 1e-3


@pytest.mark.parametrize("labels", [(1, 1, 1), (30, 1, 2), (1, 20, 5)])
def test_classes_may_differ_in_size_and_have_any_number_of_labels(labels):
    """Clouds of 400, 20 and 80 points that touch."""
    classes = torch.arange(3).repeat_interleave(torch.tensor([400, 20, 80]))
    points = torch.eye(8)[classes] + 0.25 * torch.randn(500, 8, generator=torch.Generator().manual_seed(1))
    rows = torch.cat([(classes == c).nonzero().flatten()[:count] for c, count in enumerate(labels)])
    spread = spread_labels([View(points)], rows, classes[rows], 3)
    wrong = [(spread.classes != classes)[classes == c].sum() for c in range(3)]
    assert wrong[0] <= 30 and wrong[1] == 0 and wrong[2] <= 1, wrong


def test_points_that_no_label_reaches_are_never_sure_and_a_class_without_labels_is_never_said():
    points, _ = clusters(3, 50, spread=0.01)
    rows = torch.tensor([0, 50])  # the third cluster has no edge to the others
    spread = spread_labels([View(points)], rows, torch.tensor([0, 2]), 4)
    assert (spread.sureness[100:] == 0).all() and not spread.surest(1.0)[100:].any() and spread.surest(1.0)[:100].all()
    assert set(spread.classes[:100].tolist()) == {0, 2}


def test_the_surest_share_is_what_it_says():
    points, classes = clusters(2, 100, spread=0.6)
    rows = torch.tensor([0, 100])
    spread = spread_labels([View(points)], rows, classes[rows], 2)
    chosen = spread.surest(0.7)
    assert chosen.sum() == 140 and spread.sureness[chosen].min() >= spread.sureness[~chosen].max()


def test_others_get_the_class_of_their_nearest_points_and_change_nothing():
    points, classes = clusters(3, 50)
    others, truth = clusters(3, 20)
    rows = torch.arange(3) * 50
    alone, with_others = (spread_labels([View(points)], rows, classes[rows], 3, more) for more in (None, [others]))
    assert len(alone.others) == 0 and torch.equal(alone.sureness, with_others.sureness)
    assert torch.equal(with_others.others.argmax(1), truth)
    assert with_others.others.sum(1).numpy() == pytest.approx(1)


def test_too_many_points_are_thinned_out_and_the_labelled_stay(monkeypatch):
    points, classes = clusters(4, 50)
    labels = torch.full((200,), -1)
    rows = torch.tensor([3, 60, 120, 199])
    labels[rows] = classes[rows]
    data = Dataset("clusters", points, points[:0], labels, labels[:0], tuple("abcd"))
    monkeypatch.setattr(teacher, "MOST_POINTS", 100)
    among = teacher.points_of_graph(data)
    spread = teacher.spread_among(data, among, [View(teacher.last_features(None, data.train[among]))])
    assert len(among) <= 100 and set(rows.tolist()) <= set(among.tolist())
    assert torch.equal(spread.classes, classes[among])


@pytest.mark.parametrize("right, share, power", [(18, 0.8, 1.5), (18, 0.9, 1.0), (15, 0.6, 2.75), (20, 0.8, 4.0)])
def test_labels_are_found_again_and_shares_get_the_power_that_fits_them(right, share, power, monkeypatch):
    """Of 20 hidden labels so many are right where a share is `share`: log odds log(right / wrong) = power · log odds
    of the share, but for the labels' own mistakes; within limits and on a grid of quarters.
    """
    labels, rows = np.arange(20) % 2, np.arange(20) + 100
    said = np.where(np.arange(20) < right, labels, 1 - labels)
    seen = []

    def told(system, kept, given, classes):
        seen.append(set(kept))
        assert (given == labels[kept - 100]).all()
        shares = np.full((200, 2), 1 - share)
        shares[rows, said] = share
        return shares

    monkeypatch.setattr("bayesgan.training.label_spreading.shares_from", told)
    assert on_hidden(None, rows, labels, 2) == (right / 20, power)
    assert seen[0] | seen[1] == set(rows) and not seen[0] & seen[1]  # each is hidden once
    found, usual = on_hidden(None, rows[:2], labels[:2], 2)
    assert found != found and usual == USUAL_POWER


def test_a_class_with_one_label_is_not_asked_for():
    """The half without it cannot find it again; and a class of number 0 is not found where no label reaches."""
    points, classes = clusters(4, 50)
    rows = torch.tensor([0, 1, 2, 3, 50, 100])
    assert spread_labels([View(points)], rows, classes[rows], 4).found == 1
    lonely = torch.cat([torch.eye(8)[:1].repeat(40, 1), torch.eye(8)[4:5].repeat(40, 1), points[50:100]])
    given = torch.tensor([0, 40, 80, 81])  # two islands have one label of class 0 each
    assert spread_labels([View(lonely)], given, torch.tensor([0, 0, 1, 1]), 2).found == 0.5


def test_equally_sure_points_of_all_classes_are_left_out():
    points, classes = clusters(8, 100, spread=1e-6)
    rows = torch.arange(8) * 100
    chosen = spread_labels([View(points)], rows, classes[rows], 8).surest(0.9)
    assert chosen.sum() == 720 and min(classes[chosen].bincount(minlength=8)) > 75


@pytest.mark.parametrize("centres", [[[0, 0], [4, 0], [-4, 0], [0, 4], [0, -4]], [[-9], [0], [9]]])
def test_lengths_tell_vectors_apart(centres):
    """A cross and its middle, three clouds on a line: the middle has no direction of its own."""
    centres = torch.tensor(centres, dtype=torch.float32)
    classes = torch.arange(len(centres)).repeat_interleave(100)
    points = centres[classes] + 0.3 * torch.randn(len(classes), centres.shape[1], generator=SOURCE)
    data = Dataset("vectors", points, points[:0], torch.full_like(classes, -1), classes[:0], tuple(map(str, range(5))))
    rows = torch.arange(len(centres)) * 100
    data.train_labels[rows] = classes[rows]
    view, graph = teacher.spread_plainly(data, torch.arange(len(points)))
    assert torch.equal(graph.classes, classes)
    said = spread_labels([view], rows, classes[rows], len(centres), [points]).others
    assert torch.equal(said.argmax(1), classes)
    assert not torch.equal(spread_labels([View(points)], rows, classes[rows], len(centres)).classes, classes)


def test_probabilities_are_powers_of_shares_and_nothing_where_no_label_reaches():
    found = sharpened(np.array([[0.8, 0.2, 0.0], [0.0, 0.0, 0.0]]), 2.0)
    assert found == pytest.approx(np.array([[0.64 / 0.68, 0.04 / 0.68, 0.0], [0.0, 0.0, 0.0]]))


def test_two_witnesses_together_are_a_geometric_mean():
    networks = torch.tensor([[0.81, 0.09, 0.1], [0.2, 0.3, 0.5], [1.0, 0.0, 0.0]]).double()
    shares = torch.tensor([[0.3, 0.6, 0.1], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]).double()
    found = together(networks, shares)
    by_hand = torch.tensor([0.9 * 0.3, 0.3 * 0.6, 0.1**0.5 * 0.1]).double()
    assert torch.allclose(found[0], by_hand / by_hand.sum(), atol=1e-6)
    assert torch.equal(found[1], networks[1])  # no label reaches it
    assert found.isfinite().all() and torch.allclose(found.sum(1), torch.ones(3).double())
