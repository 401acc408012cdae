"""run_bgan_semi.py as a user types it: labels, figures, resuming, and one line for every mistake."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from bayesgan import load_posterior
from bayesgan.commands.evaluate import evaluate
from bayesgan.commands.train import main
from bayesgan.data import labelled_rows
from bayesgan.evaluation.questions import Questions
from bayesgan.options import load_data, resolve
from bayesgan.options.flags import as_flag
from bayesgan.options.recipes import RECIPES, WITHOUT_LABELS
from bayesgan.store.run_folder import RunFolder
from bayesgan.training.algorithm import Trainer
from bayesgan.training.minibatches import labelled_batches
from tests.commands.helpers import ROOT, TINY, outcome, read

TINY = [*TINY, "--N", "20", "--num_disc", "1"]


def run(out, *extra, code=0):
    assert main([*TINY, "--out_dir", str(out), *map(str, extra)], semi=True) == code
    return next(iter(out.glob("bgan_*")), None) if out.is_dir() else None


def trainer(**changes):
    options, _ = resolve({"num_gen": 2, "num_mcmc": 1, "num_disc": 2, "df_dim": 8, "z_dim": 4, "num_layers": 2, "N": 20,
                          "batch_size": 16, "train_iter": 12, "network": "mlp", "optimizer": "sgd", "lr_decay": 0.0,
                          "prior_std": 0.7, **changes}, semi=True)
    return Trainer(options, load_data(options))


def of_labels(one):
    return labelled_batches(one.options, one.data, one.labelled, one.sources("labelled", one.discriminators))


def test_the_discriminators_potential_is_the_sum_of_its_three_terms():
    """One plain step moves θ by -lr/N times the gradient of U on the sum scale, label count and prior included."""
    one, copy = trainer(label_count=300), trainer(label_count=300)
    before = {n: p.detach().clone() for n, p in one.discriminators.ensemble.parameters.items()}
    real, fakes = one.real_batches(), torch.zeros(2, 16, 1, 8, 8)
    labelled, labels = of_labels(one)
    one._move_discriminators(real, one.shown(torch.zeros(2, one.options.gen_batch, 1, 8, 8)))
    logits, _ = copy.discriminators.ensemble.forward(torch.cat([real, fakes, labelled], 1), train=False)
    classes = torch.cat([torch.zeros(*logits.shape[:2], 1), logits], -1).log_softmax(-1)  # class 0 is fake
    size, potential = len(one.data.train), 0
    for k in range(2):
        is_real = classes[k, :16, 1:].logsumexp(-1).mean()
        is_fake = classes[k, 16:32, 0].mean()
        is_right = torch.stack([row[1 + label] for row, label in zip(classes[k, 32:], labels[k])]).mean()
        potential = potential - size * (is_real + is_fake) - 300 * is_right
    potential = potential - copy.discriminators.prior.log_prob(copy.discriminators.ensemble.parameters)
    potential.backward()
    for name, p in one.discriminators.ensemble.parameters.items():
        expected = -one.options.lr / size * copy.discriminators.ensemble.parameters[name].grad
        assert (p.detach() - before[name] - expected).abs().max() < 1e-6, name


def test_labelled_minibatches_hold_exactly_the_labelled_images():
    one = trainer(batch_size=64)
    _, labels = of_labels(one)
    assert [row.bincount().tolist() for row in labels] == [[2] * 10] * 2  # all 20 where they fit
    small = trainer(label_batch_size=5)
    images, labels = of_labels(small)
    assert images.shape == (2, 5, 1, 8, 8) and (labels >= 0).all()


def test_labels_outside_the_subset_are_never_read(tmp_path, capsys):
    """Once the labelled rows are chosen, shuffling every other training label changes no bit of a run."""
    x, right = np.random.default_rng(0).random((300, 8, 8)), np.arange(300) % 3
    order = np.random.default_rng(0).permutation(300)[:270]  # how npz cuts its training part off

    def save(y):
        np.savez(tmp_path / "data.npz", x=x, y=y)

    save(right)
    flags = ["--dataset", "npz", "--data_path", tmp_path / "data.npz", "--N", "30", "--calibration_fraction", "0"]
    plain, shuffled = (run(tmp_path / name, *flags) for name in "ab")
    labelled = order[read(plain, "labelled.json")["rows"]]
    others = np.setdiff1d(order, labelled)
    y = right.copy()
    y[others] = np.random.default_rng(1).permutation(y[others])
    assert (y != right).sum() > 100
    assert main(["--resume", str(plain), "--train_iter", "20"], semi=True) == 0
    save(y)
    assert main(["--resume", str(shuffled), "--train_iter", "20"], semi=True) == 0
    assert outcome(plain) == outcome(shuffled)
    assert read(plain, "results_20.json")["classification"] == read(shuffled, "results_20.json")["classification"]
    y[labelled] = (y[labelled] + 1) % 3
    save(y)
    assert main(["--resume", str(plain), "--train_iter", "30"], semi=True) == 2  # the labels that are read are checked
    assert "trained on other data: checksum" in capsys.readouterr().err


def test_a_run_leaves_what_the_readme_says(tmp_path, capsys):
    folder = run(tmp_path)
    text = capsys.readouterr().out
    assert "20 of them labelled, 10 classes; 144 more held out, 359 for testing" in text
    assert "errors of 359: ensemble" in text and "mutual information" in text
    results = read(folder, "results_10.json")
    figures = results["classification"]
    assert results["semi_supervised_acc"] == pytest.approx(100 * figures["posterior"]["accuracy"])
    assert results["supervised_acc"] == pytest.approx(100 * figures["supervised"]["accuracy"])
    assert figures["posterior"]["classifiers"] == 2 and figures["current"]["classifiers"] == 1
    assert set(figures["posterior"]["entropy"]) == {"test", "shuffled pixels"}
    early = read(folder, "results_5.json")
    assert early["classification"]["posterior"] is None
    assert early["semi_supervised_acc"] == pytest.approx(100 * early["classification"]["current"]["accuracy"])
    labelled = read(folder, "labelled.json")
    data = RunFolder.open(folder).load_data()
    assert labelled["rows"] == labelled_rows(data).tolist() and np.bincount(labelled["labels"]).tolist() == [2] * 10
    assert (folder / "evaluation" / "uncertainty.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "evaluation" / "errors.png").read_bytes().startswith(b"\x89PNG")
    stored = read(folder, "evaluation/figures.json")
    assert stored["posterior, 2 discriminators"] == figures["posterior"]
    evaluate(folder)  # a run ends with answers that it has; asked again they are the same
    assert read(folder, "evaluation/figures.json") == stored


def test_draws_whose_answers_are_known_are_not_asked_again(tmp_path, monkeypatch):
    folder = run(tmp_path)
    asked, ask = [], Questions.ask
    monkeypatch.setattr(Questions, "ask", lambda *a: asked.append(ask(*a)) or asked[-1])
    evaluate(folder)
    stored, every = read(folder, "evaluation/figures.json"), len(asked)
    steps = [entry["step"] for entry in load_posterior(folder).draws]
    known = dict(zip(steps, asked[1:], strict=False))  # the supervised network was asked first
    del asked[:]
    evaluate(folder, asked=known)
    assert len(asked) == every - 2 and read(folder, "evaluation/figures.json") == stored


def test_predict_proba_is_the_mean_over_the_stored_draws(tmp_path):
    folder = run(tmp_path)
    posterior = load_posterior(folder)
    x = RunFolder.open(folder).load_data().test
    probabilities = posterior.predict_proba(x)
    assert probabilities.shape == (359, 10) and torch.allclose(probabilities.sum(1), torch.ones(359).double())
    by_hand = torch.stack([
        posterior.discriminators.forward_member(i, x.float() / 127.5 - 1)[0].double().softmax(-1) for i in range(2)
    ]).mean(0)
    assert (probabilities - by_hand).abs().max() < 1e-6
    assert torch.equal(posterior.predict_proba(x.float() / 127.5 - 1), probabilities)
    for wrong, words in ((x[:, :, :7], "x must be"), (x.float(), "images must be uint8, or floats in"),
                         (x[:0], "x must be"), (x.float() * float("nan"), "images must be uint8")):
        with pytest.raises(ValueError, match=words):
            posterior.predict_proba(wrong)


def test_a_double_precision_run_is_evaluated_too(tmp_path):
    assert "supervised_acc" in read(run(tmp_path, "--precision", "fp64"), "results_10.json")


def test_resumed_equals_uninterrupted(tmp_path, monkeypatch):
    """With noise and dropout, whose randomness is keyed by the step; the supervised network is not retrained."""
    flags = ["--noise", "0.3", "--dropout", "0.5"]
    whole = run(tmp_path / "whole", *flags)
    step = Trainer.step

    def dying(one):
        if one.iteration == 7:
            raise KeyboardInterrupt
        return step(one)

    monkeypatch.setattr(Trainer, "step", dying)
    part = run(tmp_path / "part", *flags, code=130)
    monkeypatch.setattr(Trainer, "step", step)
    monkeypatch.setattr("bayesgan.commands.evaluate.train_supervised", lambda *a: pytest.fail("trained again"))
    assert main(["--resume", str(part)], semi=True) == 0
    assert outcome(whole) == outcome(part)
    a, b = (read(folder, "results_10.json")["classification"] for folder in (whole, part))
    assert a == b


def test_evaluate_reads_a_finished_run(tmp_path):
    folder = run(tmp_path / "semi", "--no_supervised")
    call = lambda *a: subprocess.run([sys.executable, "-m", "bayesgan", "evaluate", *map(str, a)], cwd=ROOT,  # noqa: E731
                                     capture_output=True, text=True)
    result = call(folder)
    assert (
        result.returncode == 0 and "posterior, 2 discriminators" in result.stdout and "supervised" not in result.stdout
    )
    assert main([*TINY[:-4], "--out_dir", str(tmp_path / "unsup")]) == 0
    wrong = call(next((tmp_path / "unsup").iterdir()))
    assert wrong.returncode == 2 and "unsupervised run and classifies nothing" in wrong.stderr
    assert wrong.stderr.count("\n") == 1


def test_runs_of_the_two_scripts_are_not_mixed_up(tmp_path, capsys):
    folder = run(tmp_path)
    assert main(["--resume", str(folder), "--train_iter", "12"]) == 2
    assert "is a run of run_bgan_semi.py, got run_bgan.py" in capsys.readouterr().err
    (folder / "labelled.json").write_text("{}")
    assert main(["--resume", str(folder), "--train_iter", "12"], semi=True) == 2
    assert "labelled.json is damaged: it has no 'rows'; restore it" in capsys.readouterr().err


def test_a_diverged_supervised_network_is_named(tmp_path, capsys, monkeypatch):
    # whether a large step overflows depends on the random start: this one always does
    monkeypatch.setattr("bayesgan.training.supervised.cross_entropy", lambda logits, _: logits.sum() * float("inf"))
    folder = run(tmp_path, code=3)
    assert "the supervised network's weights became non-finite" in capsys.readouterr().err
    assert not (folder / "supervised.safetensors").exists()


def test_a_default_that_is_on_can_be_switched_off(tmp_path):
    assert RunFolder.open(run(tmp_path / "on")).options().feature_matching
    assert not RunFolder.open(run(tmp_path / "off", "--no-feature_matching")).options().feature_matching


def test_ml_is_one_generator_and_one_discriminator(tmp_path, capsys):
    folder = run(tmp_path, "--ml")
    assert "--num_gen 2 overridden" in capsys.readouterr().out
    assert load_posterior(folder).discriminators.members == 1


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_resolves_and_says_its_flags(name):
    options, notes = resolve({"recipe": name, "batch_size": 7}, semi=name not in WITHOUT_LABELS)
    assert options.batch_size == 7  # a flag given wins
    for flag, value in RECIPES[name].items():
        if flag != "batch_size":
            assert getattr(options, flag) == value and as_flag(flag, value) in notes[0]


@pytest.mark.parametrize("arguments, words", [
    (["--N", "15"], "--N must be a multiple of the 10 classes to be balanced, got 15; the nearest is 20"),
    (["--N", "100000"], "--N must be at most the 1294 training data"), (["--N", "0"], "--N must be in 1.."),
    (["--dataset", "image_folder", "--data_path", "{plain}"], "has none; use run_bgan.py"),
    (["--label_batch_size", "30"], "--label_batch_size must be at most the 20 labels, got 30"),
    (["--recipe", "best"], "--recipe must be one of"), (["--dropout", "1"], "--dropout must be in"),
    (["--noise", "-1"], "--noise must be in"), (["--calibration_fraction", "0.9"], "--calibration_fraction must be in"),
    (["--label_seed", "-1"], "--label_seed must be in"), (["--classes", "3"], "at least 2 classes"),
])
def test_bad_input_is_one_line_and_exit_2(arguments, words, tmp_path, capsys):
    from PIL import Image
    (tmp_path / "plain").mkdir()
    for n in range(40):
        Image.new("L", (8, 8), n).save(tmp_path / "plain" / f"{n}.png")
    arguments = [a.format(plain=tmp_path / "plain") for a in arguments]
    assert main([*TINY, "--out_dir", str(tmp_path / "out"), *arguments], semi=True) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and words in error
    assert not (tmp_path / "out").exists()
