"""The teacher: its averages, its classes and its rules against what they should be by hand."""

import pytest
import torch
from torch.nn.functional import one_hot

from bayesgan.basics.errors import Diverged
from bayesgan.basics.randomness import keyed_generator
from bayesgan.data import to_float
from bayesgan.data.dataset import UNKNOWN
from bayesgan.objectives import consistency_loss
from bayesgan.options import load_data, resolve
from bayesgan.training.algorithm import Trainer
from bayesgan.training.label_spreading import USUAL_POWER, sharpened, spread_labels
from bayesgan.training.oriented_gradients import gradient_histograms
from bayesgan.training.teacher import Teacher, last_features, spread_on_features

GIVEN = {"num_gen": 2, "num_mcmc": 1, "num_disc": 2, "df_dim": 8, "z_dim": 4, "num_layers": 2, "N": 20,
         "batch_size": 16, "train_iter": 12, "consistency": 1.0, "spread_labels": 0}


def trainer(**changes):
    options, _ = resolve({**GIVEN, **changes}, semi=True)
    return Trainer(options, load_data(options))


def test_consistency_is_the_cross_entropy_of_the_sure_among_all():
    logits = torch.randn(2, 5, 3, generator=keyed_generator(0))
    classes, sure = torch.zeros(5, 3), torch.tensor([True, False, True, False, False])
    classes[0, 0], classes[2, 2], classes[2, 1] = 1, 0.75, 0.25
    expected = [-(row[0, 0] + 0.75 * row[2, 2] + 0.25 * row[2, 1]) / 5 for row in logits.log_softmax(-1)]
    assert consistency_loss(logits, classes, sure) == pytest.approx(torch.stack(expected))


def test_averages_follow_the_weights_of_every_member():
    one = trainer()
    teacher, name = one.teacher, "features.weight"
    before = teacher.average[name].clone()
    one.step()
    now = one.discriminators.ensemble.parameters[name]
    assert torch.allclose(teacher.average[name], before.lerp(now.detach(), 0.9), atol=1e-6)
    assert not torch.equal(teacher.average[name][0], teacher.average[name][1])
    far = teacher.average[name].clone()
    teacher.update(10**6)
    assert torch.allclose(teacher.average[name], far.lerp(now.detach(), 0.002), atol=1e-6)


def test_a_class_is_that_of_the_members_average_and_sure_above_the_confidence():
    one = trainer()
    for _ in range(12):
        one.step()
    images = one.real_batches()[0]
    rows = torch.arange(len(images))
    ensemble = one.discriminators.ensemble
    each = [ensemble.forward(images.expand(2, *images.shape), train=False, state=one.teacher.average)[0][k].softmax(-1)
            for k in range(2)]
    mean = (each[0] + each[1]) / 2
    one.teacher.confidence = mean.max(1).values.median().item() + 1e-6
    classes, sure = one.teacher.teach(images, rows)
    assert torch.equal(classes, one_hot(mean.argmax(1), 10).float())
    assert torch.equal(sure, mean.max(1).values > one.teacher.confidence)
    assert 0 < sure.sum() < len(sure)
    assert one.teacher.share() > 0 and one.teacher.asked == 0


def test_the_graph_overrules_the_networks_where_it_is_sure_and_elsewhere_must_agree():
    one = trainer(confidence=0.101)
    one.step()
    images, rows = one.real_batches()[0][:4], torch.arange(4)
    networks, sure = one.teacher.teach(images, rows)
    assert sure.all()
    other = networks.roll(1, 1)
    by_graph = 0.75 * torch.stack([other[0], other[1], networks[2], torch.zeros(10)])
    one.teacher.probabilities[:4] = by_graph
    one.teacher.surest[0] = True
    classes, sure = one.teacher.teach(images, rows)
    assert torch.equal(classes, torch.stack([other[0], *networks[1:]])) and sure.tolist() == [True, False, True, True]
    classes, same = one.teacher.teach(images, rows, settled=True)
    assert torch.equal(classes, torch.stack([by_graph[0], *networks[1:]])) and torch.equal(sure, same)


def test_where_the_graph_decides_all_no_network_is_asked_and_labels_stay(monkeypatch):
    one = trainer(spread_labels=1)
    one.step()
    one.teacher.spread(one.data, 250)
    assert torch.equal(one.teacher.classes[one.labelled], one.data.train_labels[one.labelled])
    one.teacher.share()
    rows = torch.tensor([5, 2, 9])
    asked = one.teacher.teach(one.real_batches()[0][:3], rows)
    monkeypatch.setattr(one.teacher, "decided", False)
    again = one.teacher.teach(one.real_batches()[0][:3], rows)
    assert all(torch.equal(a, b) for a, b in zip(asked, again))
    assert torch.equal(asked[0].argmax(1), one.teacher.classes[rows]) and (asked[0].max(1).values == 1).all()
    probabilities, _ = one.teacher.teach(one.real_batches()[0][:3], rows, settled=True)
    assert torch.equal(probabilities, one.teacher.probabilities[rows])
    monkeypatch.setattr(one.teacher, "decided", True)
    monkeypatch.setattr(one.teacher.discriminators, "forward", lambda *a, **k: pytest.fail("asked"))
    assert one.teacher.teach(one.real_batches()[0][:3], rows)[1].all() and one.teacher.share() == 1


def test_the_graphs_probabilities_are_powers_fitted_without_networks_and_are_kept(monkeypatch):
    one, graphs = trainer(spread_labels=1), []

    def noted(*given):
        graphs.append(spread_labels(*given))
        return graphs[-1]

    monkeypatch.setattr("bayesgan.training.teacher.spread_labels", noted)
    one.step()
    one.teacher.spread(one.data, 250)
    (plain, newest), own = graphs, one.teacher.probabilities
    others = torch.ones(len(own), dtype=torch.bool)
    others[one.labelled] = False
    assert torch.equal(own[others], torch.from_numpy(sharpened(newest.shares.numpy(), plain.power)).float()[others])
    assert torch.equal(own[one.labelled], one_hot(one.data.train_labels[one.labelled], 10).float())
    monkeypatch.setattr("bayesgan.training.teacher.WORTH", 1.01)  # of a graph of no worth the power means nothing
    one.teacher.plain = None
    one.teacher.spread(one.data, 250)
    assert torch.equal(own[others], torch.from_numpy(sharpened(graphs[-1].shares.numpy(), USUAL_POWER)).float()[others])
    again, older = trainer(spread_labels=1), one.teacher.state_dict()
    again.teacher.load_state_dict(older)
    assert torch.equal(again.teacher.probabilities, own) and again.teacher.decided
    older["classes"] = torch.cat([one.teacher.classes[:-1], torch.tensor([UNKNOWN])])  # all that older versions kept
    del older["probabilities"]
    again.teacher.load_state_dict(older)
    assert torch.equal(again.teacher.classes, older["classes"])
    assert set(again.teacher.probabilities.unique().tolist()) == {0, 1}
    for wrong in (older["classes"][:-1], older["classes"] + 5):
        with pytest.raises(ValueError, match="other classes; it is damaged"):
            again.teacher.load_state_dict({**older, "classes": wrong})


def test_labels_are_spread_at_the_start_and_again_before_sampling():
    options = trainer(spread_labels=3, train_iter=100, burn_in=60, settle=0.0).options
    assert options.spread_moments == (0, 11, 32)
    assert trainer(spread_labels=2, temperature=0.0, train_iter=100, settle=0.0).options.spread_moments == (0, 35)
    assert trainer(spread_labels=0).options.spread_moments == ()
    one = trainer(spread_labels=1)
    assert (one.teacher.classes == UNKNOWN).all()
    one.step()
    assert (one.teacher.classes != UNKNOWN).all() and one.teacher.surest.any()
    rows = one.labelled
    assert (one.teacher.classes[rows] == one.data.train_labels[rows]).float().mean() > 0.9


def test_a_run_settles_with_its_last_spreading_on_gentle_distortions(monkeypatch):
    given = {"spread_labels": 3, "train_iter": 100, "burn_in": 60, "settle": 0.25}
    assert trainer(**given).options.spread_moments == (0, 15, 45) and trainer(**given).options.settling == 45
    assert trainer(**{**given, "temperature": 0.0}).options.spread_moments == (0, 26, 75)
    for never in ({"settle": 0.0}, {"spread_labels": 1}, {"spread_labels": 0}, {"consistency": 0.0},
                  {"burn_in": 5, "settle": 0.9}):  # from the first iteration on, before any network has learnt
        assert trainer(**{**given, **never}).options.settling is None, never
    assert trainer(**{**given, "spread_labels": 1}).options.spread_moments == (0,)
    strengths, settled, teach = [], [], Teacher.teach
    monkeypatch.setattr(Teacher, "teach", lambda self, images, rows, late: settled.append(late) or teach(
        self, images, rows, late))

    def noted(images, strength, source):
        strengths.append(strength)
        return images

    monkeypatch.setattr("bayesgan.training.minibatches.distorted", noted)
    monkeypatch.setattr("bayesgan.training.teacher.LEARNT", 4)
    one = trainer(spread_labels=2, temperature=0.0, train_iter=8, settle=0.5, confidence=0.9999, num_disc=1)
    while one.iteration < 4:
        one.step()
    assert one.teacher.surest.sum() == round(0.9 * len(one.data.train))  # of a graph from before networks have learnt
    one.step()
    assert one.teacher.surest.all() and (one.teacher.classes != UNKNOWN).all()
    assert strengths == [1.0] * 4 + [pytest.approx(0.3)] and settled == [False] * 4 + [True]
    resumed = trainer(spread_labels=2, temperature=0.0, train_iter=8, settle=0.5, confidence=0.9999, num_disc=1)
    resumed.load_state_dict(one.state_dict())
    assert resumed.settled and resumed.teacher.surest.all()
    monkeypatch.setattr("bayesgan.training.teacher.LEAST_FOUND", 1.01)
    deaf = trainer(spread_labels=2, temperature=0.0, train_iter=8, settle=0.5, confidence=0.9999, num_disc=1)
    while deaf.iteration < 5:
        deaf.step()
    assert not deaf.settled and strengths[5:] == [1.0] * 5


def test_the_term_is_lambda_times_the_loss_on_what_the_teacher_is_sure_of():
    """With nothing sure the run is, bit for bit, the same at every weight; with something sure it is not."""
    def weights(consistency, confidence):
        one = trainer(consistency=consistency, confidence=confidence)
        one.step()
        return one.discriminators.ensemble.parameters["features.weight"].detach()

    assert torch.equal(weights(1.0, 0.9999), weights(5.0, 0.9999))
    assert not torch.equal(weights(1.0, 0.101), weights(5.0, 0.101))


def test_a_run_with_a_teacher_resumes_bit_for_bit():
    whole, half = (trainer(spread_labels=2, confidence=0.2) for _ in range(2))
    for _ in range(12):
        whole.step()
    for _ in range(7):
        half.step()
    resumed = trainer(spread_labels=2, confidence=0.2)
    resumed.load_state_dict(half.state_dict())
    while resumed.iteration < 12:
        resumed.step()
    for group, state in whole.draw().items():
        assert all(torch.equal(tensor, resumed.draw()[group][name]) for name, tensor in state.items()), group


@pytest.mark.parametrize("given", [{"dataset": "synthetic", "classes": [0, 1], "N": 10}, {"network": "noisy_mlp"},
                                   {"normalise": "group", "num_disc": 3}])
def test_vectors_and_every_network_can_be_taught(given):
    one = trainer(spread_labels=1, confidence=0.51, num_gen=1, **given)
    for _ in range(3):
        losses = one.step()
    assert losses.discriminators.isfinite().all()


def test_a_confidence_that_chance_reaches_is_refused():
    with pytest.raises(ValueError, match="--confidence must be more than 1/10 for 10 classes.*got 0.1; raise it"):
        trainer(confidence=0.1)


def test_a_graph_that_does_not_find_hidden_labels_again_is_not_listened_to_and_says_so(monkeypatch):
    good, bad = trainer(spread_labels=1), trainer(spread_labels=1)
    good.step()
    assert good.teacher.found > 0.5 and good.teacher.doubts() == "" and good.teacher.surest.any()
    bad.data.train.random_(256, generator=keyed_generator(0, "nothing in common"))
    bad.step()
    assert bad.teacher.found < 0.5 and "not listened to" in bad.teacher.doubts()
    assert not bad.teacher.surest.any() and (bad.teacher.classes == UNKNOWN).all()


def test_the_data_themselves_stand_beside_the_features_where_they_tell_enough(monkeypatch):
    views = []

    def noted(given, *other):
        views.append([view.points.shape[1] for view in given])
        return spread_labels(given, *other)

    monkeypatch.setattr("bayesgan.training.teacher.spread_labels", noted)
    one = trainer(spread_labels=1)
    one.teacher.spread(one.data, 0)
    one.teacher.spread(one.data, 1)
    assert views == [[40], [40, 40]]  # the first graph is kept, and what the second looked at
    again = trainer(spread_labels=1)  # as a resumed run has none
    again.teacher.spread(again.data, 1)
    assert views[2:] == [[40], [40, 40]] and torch.equal(again.teacher.classes, one.teacher.classes)
    monkeypatch.setattr("bayesgan.training.teacher.WORTH", 1.01)
    again.teacher.plain = None
    again.teacher.spread(again.data, 1)
    assert views[4:] == [[40], [40]]
    others = to_float(again.data.test[:5])
    asked = spread_on_features(again.discriminators.ensemble, again.data, others)
    assert asked.shape == (5, 10) and views[6:] == [[40], [40]]
    monkeypatch.undo()
    assert not torch.equal(asked, spread_on_features(again.discriminators.ensemble, again.data, others))


def test_weights_that_are_not_finite_are_named_before_labels_are_spread():
    one = trainer(spread_labels=2, temperature=0.0, settle=0.0)
    while one.iteration < 4:
        one.step()
    next(iter(one.discriminators.ensemble.parameters.values())).data[1] = float("nan")
    with pytest.raises(Diverged, match="a weight of discriminator 1 became non-finite"):
        one.step()


def test_the_first_features_of_large_images_are_their_gradients_at_32_pixels():
    images = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)
    small = to_float(images).unflatten(2, (32, 2)).unflatten(4, (32, 2)).mean((3, 5))
    assert torch.allclose(last_features(None, images), gradient_histograms(small), atol=1e-4)
    vectors = torch.randn(5, 7)
    assert torch.equal(last_features(None, vectors), vectors)
