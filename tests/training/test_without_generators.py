"""--num_gen 0: a classifier from labels and teacher alone, by its losses by hand and by all that a run leaves."""

import json

import numpy as np
import pytest
import torch

from bayesgan import load_posterior
from bayesgan.commands.train import main
from bayesgan.house import main as house
from bayesgan.objectives import consistency_loss, labelled_loss
from bayesgan.options import load_data, resolve
from bayesgan.training.algorithm import Trainer
from bayesgan.training.memory import nearest_fit, peak_bytes
from bayesgan.training.minibatches import distorted_batches, labelled_batches, unlabelled_batch
from tests.commands.helpers import run

GIVEN = {"num_gen": 0, "num_mcmc": 1, "num_disc": 2, "df_dim": 8, "num_layers": 2, "N": 20, "batch_size": 16,
         "train_iter": 12, "consistency": 1.0, "spread_labels": 2, "label_count": 100}


def trainer(**changes):
    options, _ = resolve({**GIVEN, **changes}, semi=True)
    return Trainer(options, load_data(options))


def weights(one):
    return torch.cat([weight.detach().flatten() for weight in one.discriminators.ensemble.parameters.values()])


@pytest.mark.parametrize("consistency", [0.0, 0.7])
def test_the_losses_are_those_of_labels_and_teacher_alone(consistency):
    one, twin = (trainer(consistency=consistency) for _ in range(2))
    losses, options, players = one.step(), twin.options, twin.discriminators
    twin.teacher and twin.teacher.spread(twin.data, 0)
    labelled, labels = labelled_batches(options, twin.data, twin.labelled, twin.sources("labelled", players))
    noise = twin.sources("noise layers", players)
    seen = [labelled]
    if consistency:
        rows, weak = unlabelled_batch(options, twin.data, twin.random("unlabelled"))
        classes, sure = twin.teacher.teach(weak, rows)
        seen.append(distorted_batches(options, twin.data, rows, twin.sources("distorted", players)))
    logits, _ = players.ensemble.forward(torch.cat(seen, 1), train=True, noise=noise)
    expected = 100 / len(one.data.train) * labelled_loss(logits[:, : labelled.shape[1]], labels)
    if consistency:
        expected = expected + consistency * consistency_loss(logits[:, labelled.shape[1] :], classes, sure)
    assert torch.equal(losses.discriminators, expected.detach()) and losses.generators.shape == (0,)


def test_what_only_generators_have_changes_no_bit():
    one, other = trainer(), trainer(z_dim=7, gen_batch_size=5, g_lr=0.1, objective="wasserstein", coupling="full")
    for _ in range(3):
        one.step(), other.step()
    assert torch.equal(weights(one), weights(other)) and one.iteration == 3


def test_memory_is_that_of_discriminators_alone():
    options, with_game = (resolve({**GIVEN, "df_dim": 64, "num_gen": count}, semi=True)[0] for count in (0, 1))
    data = load_data(options)
    needed = peak_bytes(options, data)
    assert needed < peak_bytes(with_game, data)
    assert "gen_batch_size" not in nearest_fit(options, data, needed - 1)  # it changes nothing


@pytest.mark.parametrize("script, flags, words", [
    (False, [], "--num_gen must be at least 1 without labels, got 0"),
    (True, ["--resample", "mh"], "--resample mh corrects what generators make, got --num_gen 0"),
])
def test_what_needs_generators_is_refused(tmp_path, capsys, script, flags, words):
    assert main(["--num_gen", "0", "--out_dir", str(tmp_path), *flags], script) == 2
    assert words in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run, and what it told."""
    place = tmp_path_factory.mktemp("whole")
    return run(place, "--num_gen", 0, "--N", 20, "--train_iter", 30, "--burn_in", 8, "--ramp", 2, "--keep", 10,
               semi=True)


def test_a_run_leaves_a_classifier_and_no_picture_of_samples(whole, capsys, recwarn):
    results = json.loads((whole / "results_30.json").read_text())
    assert results["gen_losses"] == [] and len(results["disc_losses"]) == 2 and "disc_losses_test" not in results
    assert not list(whole.glob("samples/*")) and (whole / "evaluation" / "uncertainty.png").exists()
    posterior = load_posterior(whole)
    x = np.full((3, 1, 8, 8), -1.0)
    assert posterior.predict_proba(x).shape == (3, 10)
    for refused in (lambda: posterior.sample(3), lambda: posterior.generators):
        with pytest.raises(ValueError, match="makes no samples; train a run with generators"):
            refused()
    for command in ("score", "resample"):
        assert house([command, str(whole)]) == 2
        assert "makes no samples" in capsys.readouterr().err
    assert house(["check", str(whole)]) == house(["evaluate", str(whole)]) == house(["runs", str(whole.parent)]) == 0
    assert house(["report", str(whole)]) == 0
    page = (whole / "report.html").read_text()
    assert ">Samples<" not in page and ">Scores<" not in page and "0 generators and 2 discriminators" in page
    assert "generators" not in json.loads((whole / "posterior" / "mixing.json").read_text())


def test_its_export_is_a_classifier(whole, tmp_path):
    assert house(["export", str(whole), str(tmp_path / "given")]) == 0
    card = (tmp_path / "given" / "README.md").read_text()
    assert "as a\nclassifier alone" in card and "posterior.sample" not in card and "generator.pt2" not in card
    x = np.full((3, 1, 8, 8), -1.0)
    same = [load_posterior(place).predict_proba(x) for place in (whole, tmp_path / "given")]
    assert torch.equal(*same) and house(["check", str(tmp_path / "given")]) == 0


def test_it_goes_on_bit_for_bit(tmp_path):
    flags = ["--num_gen", 0, "--N", 20, "--burn_in", 4, "--ramp", 1, "--thin", 2]
    straight = run(tmp_path / "straight", *flags, "--train_iter", 20, semi=True)
    halted = run(tmp_path / "halted", *flags, "--train_iter", 10, semi=True)
    assert main(["--resume", str(halted), "--train_iter", "20"], True) == 0
    newest = [torch.cat([weight.detach().flatten() for weight in load_posterior(place).newest(1).discriminators
                         .parameters.values()]) for place in (straight, halted)]
    assert torch.equal(*newest)


def test_maximum_likelihood_without_a_generator_is_a_plain_classifier():
    options, notes = resolve({"num_gen": 0, "ml": True, "N": 20}, semi=True)
    assert options.generators == 0 and options.discriminators == 1 and options.consistency == 0
    assert notes[0] == "--ml trains one discriminator at temperature 0 without a prior"


def test_pictures_of_samples_are_said_to_be_none():
    notes = resolve({"num_gen": 0, "save_samples": True, "N": 20}, semi=True)[1]
    assert "--save_samples changes nothing here: it is for runs with generators" in notes
