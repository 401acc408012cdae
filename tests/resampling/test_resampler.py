"""The resampler on anybody's generator, and on a run of this project from the command line."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from bayesgan import Resampler, load_posterior
from bayesgan.commands.resample import method_settings, posterior_resampler, resample_run
from bayesgan.commands.train import main
from bayesgan.experiments.mixture1d import generate, log_ratio
from bayesgan.house import main as command_line
from bayesgan.resampling import RULES, DensityRatio, LatentProposal, ratio_figure, refit
from bayesgan.resampling.diagnostics import nearest_distance
from bayesgan.resampling.rules.latent import LatentRule
from bayesgan.store.run_folder import RunFolder
from tests.commands.helpers import ROOT, TINY


def real(n, seed=0):
    source = torch.Generator().manual_seed(seed)
    centres = torch.randint(4, (n,), generator=source).double()
    return (centres + 0.25 * torch.randn(n, dtype=torch.float64, generator=source))[:, None]


SCORES = {  # the exact discriminator, told in each of the ways a discriminator tells
    "logit": lambda x: 0.5 * log_ratio(x) + 1, "probability": lambda x: torch.sigmoid(log_ratio(x)),
    "least_squares": lambda x: torch.sigmoid(log_ratio(x)), "wasserstein": lambda x: 4 * log_ratio(x) - 30,
}


@pytest.mark.parametrize("kind", SCORES)
def test_every_kind_of_score_corrects_anybodys_generator(kind):
    """Mass at x > 2.5 rises from .018 towards .25 and the diagnostics agree with themselves."""
    resampler = Resampler.calibrated(generate, SCORES[kind], real(20_000), kind=kind, ratio="score")
    drawn = resampler.sample(4000)
    assert 0.07 < (drawn > 2.5).double().mean() < 0.25
    result = resampler.diagnostics
    assert result.after.log_loss <= result.before.log_loss + 1e-3 and abs(result.after.z) < 5
    assert result.acceptance_by_auc == pytest.approx(0.68, abs=0.02) and result.duplicates == 0
    if kind in ("logit", "wasserstein"):
        assert result.acceptance == pytest.approx(0.6798, abs=0.03)


def test_mh_can_start_from_held_out_scores():
    plain = Resampler.calibrated(generate, SCORES["logit"], real(2000), ratio="score", method="mh", budget=20,
                                 start="real", stuck="restart")
    drawn = plain.sample(500)
    assert plain.diagnostics.never_moved is not None
    assert not np.isin(drawn.numpy(), real(2000).numpy()).any()  # nothing real is ever output
    with pytest.raises(ValueError, match="start real needs the scores of held-out real data"):
        Resampler(generate, log_ratio, "mh", 20, start="real", stuck="restart").sample(5)


def test_outputs_that_repeat_another_are_counted_by_their_values():
    three = lambda n, source: torch.randint(3, (n, 1), generator=source).double()  # noqa: E731
    resampler = Resampler(three, lambda x: 0.1 * x[:, 0], budget=5)
    resampler.sample(100)
    assert resampler.diagnostics.duplicates == pytest.approx(0.97)
    assert any("97% of the outputs repeat another" in words for words in resampler.diagnostics.warnings)


def test_a_generator_that_heeds_no_torch_generator_is_refused():
    """A large pool is drawn again, and would be other data than what was scored."""
    with pytest.raises(ValueError, match="generate gives other data for the same torch.Generator"):
        Resampler(lambda n, source: torch.randn(n, 2), lambda x: x[:, 0], budget=5).sample(10)


def test_distances_survive_a_large_mean():
    data, training = torch.randn(2, 300, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    by_hand = (data[:, None] - training).norm(dim=-1).min(1).values.median().item()
    for moved in (0, 1e4):
        assert nearest_distance(data + moved, training + moved) == pytest.approx(by_hand, rel=1e-5)
    assert nearest_distance((data + 1e4).float(), (training + 1e4).float()) == pytest.approx(by_hand, rel=1e-2)


def test_training_data_alone_gives_a_distance():
    # (n, 1), as critics return
    resampler = Resampler(generate, lambda x: log_ratio(x)[:, None], budget=5, training=real(500))
    resampler.sample(20)
    assert resampler.diagnostics.nearest > 0 and "held-out data -" in str(resampler.diagnostics)


def test_another_method_shares_the_calibration():
    one = Resampler.calibrated(generate, SCORES["logit"], real(2000), ratio="score", budget=10)
    other = one.with_method("mh", 20, start="real", stuck="restart")
    other.sample(50)
    assert other.diagnostics.method == "mh" and other.diagnostics.budget == 20 and other.diagnostics.after is not None


def test_one_ratio_serves_many_resamplers():
    """A ratio fitted once gives the same under every rule, with its figures and plot."""
    held_out, training = real(2000), real(500, seed=1)
    ratio = DensityRatio.fit(SCORES["logit"], held_out, generate, seed=3)
    assert ratio(held_out.float()).dtype == torch.float64 and ratio(held_out).shape == (2000,)
    for settings in ({"method": "obrs"}, {"method": "mh", "start": "real", "stuck": "restart"}):
        one = Resampler(generate, ratio, budget=10, training=training, **settings)
        drawn = one.sample(50)
        assert torch.equal(drawn, one.sample(50, pool=one.pool(50))), "proposals drawn before are the same"
        assert one.diagnostics.nearest_real > 0 and one.diagnostics.after.log_loss > 0
    assert ratio.held_out.fitted_on == 2000 and len(ratio.held_out.real_log_w) == 1000
    assert len(ratio_figure(ratio.held_out_scores()).axes) == 3


def test_weights_choose_generators():
    proposal = LatentProposal(lambda member, z: z * 0 + member, 1, torch.tensor([1.0, 3.0]))
    codes = proposal.draw(40_000, torch.Generator().manual_seed(0))
    assert codes.members.double().mean() == pytest.approx(0.75, abs=5 * (0.75 * 0.25 / 40_000) ** 0.5)
    assert torch.equal(proposal.decode(codes)[:, 0], codes.members.float())
    with pytest.raises(ValueError, match="weight of every generator must be a positive number"):
        LatentProposal(lambda member, z: z, 1, torch.tensor([1.0, 0.0]))


@pytest.mark.parametrize("call, words", [
    (lambda: Resampler(generate, log_ratio, budget=0), "budget must be at least 1"),
    (lambda: Resampler(generate, log_ratio, "bets"), "unknown method 'bets'"),
    (lambda: Resampler(generate, log_ratio, "mh", candidates=3), "method mh has no setting 'candidates'"),
    (lambda: Resampler(generate, log_ratio, "mala"), "generate is only a callable"),
    (lambda: Resampler(generate, log_ratio).sample(0), "n must be at least 1"),
    (lambda: Resampler(generate, log_ratio).sample(2.5), "n must be a whole number, got 2.5"),
    (lambda: Resampler(generate, log_ratio, budget=2.5), "budget must be a whole number, got 2.5"),
    (lambda: Resampler(generate, log_ratio, "isir", candidates=2.5), "candidates must be a whole number, got 2.5"),
    (lambda: Resampler(generate, lambda x: log_ratio(x)[:-1]).sample(5), "500 data were scored with"),
    (lambda: Resampler(generate, lambda x: log_ratio(x) * torch.nan).sample(5), "500 of 500 scores are NaN"),
    (lambda: Resampler.calibrated(generate, log_ratio, real(39), ratio="score"), "needs at least 40"),
    (lambda: Resampler.calibrated(generate, log_ratio, real(79)), "must hold at least 80 data to fit, to choose"),
    (lambda: Resampler.calibrated(generate, log_ratio, real(50), training=real(50).flip(0)),
     "50 of 50 held-out data are in the training"),
    (lambda: Resampler.calibrated(generate, lambda x: torch.zeros(len(x)), real(50), ratio="score"),
     "discriminator is constant"),
    (lambda: Resampler(generate, log_ratio, chunk=0), "chunk must be at least 1 proposal"),
    (lambda: DensityRatio.fit(log_ratio, real(50), generate, chunk=0), "chunk must be at least 1 datum"),
    (lambda: Resampler.calibrated(generate, lambda x: 1 / 0, real(50), method="bets"), "unknown method 'bets'"),
    (lambda: Resampler(generate, lambda x: log_ratio(x)[:, None].expand(-1, 2)).sample(5), "one number a datum"),
    (lambda: Resampler(generate, log_ratio).with_method("mh", 0), "budget must be at least 1"),
    (lambda: Resampler.calibrated(generate, log_ratio, real(50), training=real(50).float()),
     "must be data of one kind"),
    (lambda: Resampler(generate, log_ratio).held_out_scores(), "not calibrated here"),
    (lambda: Resampler(None, log_ratio), r"generate must be a function, generate\(n, generator\) -> .* got None"),
    (lambda: Resampler(generate, None), "log_ratio must be a function, .* got None"),
    (lambda: Resampler(lambda n: real(n), log_ratio).sample(5), r"generate\(64, generator\) failed .*torch.Generator"),
    (lambda: Resampler(lambda n, source: real(n).to("meta"), log_ratio).sample(5), "generated data must hold numbers"),
    (lambda: Resampler(generate, log_ratio, "drs", percentile="a"), "drs is of the wrong type, got percentile='a'"),
    (lambda: Resampler(generate, log_ratio, "mala", step=None), "method mala is of the wrong type, got step=None"),
    (lambda: Resampler(generate, log_ratio).sample(True), "n must be a whole number, got True"),
    (lambda: DensityRatio.fit(log_ratio, real(50) / 0, generate), "real must be finite"),
])
def test_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_refitting_finds_the_ratio():
    """A logistic score trained against a frozen generator: N(1, 1) against N(0, 1) has slope 1 and intercept -1/2."""
    weights = torch.zeros(2, requires_grad=True)
    data = torch.randn(50_000, 1, generator=torch.Generator().manual_seed(0)) + 1
    losses = refit(lambda x: weights[0] * x[:, 0] + weights[1], [weights], lambda rows: data[rows], len(data),
                   lambda n, source: torch.randn(n, 1, generator=source), steps=1500, batch_size=512, lr=0.02)
    assert weights.tolist() == pytest.approx([1, -0.5], abs=0.1)
    assert losses[0] > losses[-1] and len(losses) == 10
    with pytest.raises(ValueError, match="refitting needs at least 1 step"):
        refit(lambda x: x, [weights], lambda rows: data[rows], 9, generate, steps=0)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = tmp_path_factory.mktemp("run")
    assert main([*TINY, "--out_dir", str(place), "--dataset", "gaussians25", "--num_disc", "2"]) == 0
    return next(place.iterdir())


@pytest.mark.parametrize("method", RULES)
def test_every_method_resamples_a_run(run, method):
    resampler = posterior_resampler(run, method, 10, ratio="score", **({"percentile": 95.0} if method == "drs" else {}))
    samples = resampler.sample(30, seed=3)
    assert samples.shape == (30, 2) and samples.isfinite().all()
    assert np.sum(resampler.diagnostics.member_shares, 1) == pytest.approx([1, 1])
    assert len(resampler.diagnostics.member_shares[0]) == 4  # 2 draws of 2 generators
    if issubclass(RULES[method], LatentRule):
        assert resampler.diagnostics.moves["local_acceptance"] > 0
    posterior = load_posterior(run)
    rows = {tuple(row) for row in RunFolder.open(run).load_data().train[:5000].tolist()}
    assert not any(tuple(row) in rows for row in samples.tolist()) and posterior.generators.members == 4


def test_the_ratio_is_the_calibrated_mean_of_all_discriminators(run):
    resampler = posterior_resampler(run, budget=10, ratio="score", calibration="none")
    x = torch.randn(50, 2)
    discriminators = load_posterior(run).discriminators
    mean = torch.stack([discriminators.forward_member(k, x)[0][:, 0] for k in range(discriminators.members)]).mean(0)
    assert (resampler.log_ratio(x) - mean).abs().max() < 1e-5


def test_refit_and_weights_of_a_run(run):
    plain = posterior_resampler(run, budget=10, seed=1, ratio="score")
    refitted = posterior_resampler(run, budget=10, seed=1, ratio="score", refit_steps=30)
    x = torch.randn(20, 2)
    assert not torch.equal(plain.log_ratio(x), refitted.log_ratio(x))
    with pytest.raises(ValueError, match="refit_steps must be at least 0"):
        posterior_resampler(run, refit_steps=-1)
    with pytest.raises(ValueError, match="weights must name all 4 generators"):
        posterior_resampler(run, weights=[1, 1])
    newest = posterior_resampler(run, budget=10, ratio="score", draws=1)
    newest.sample(10)
    assert len(newest.diagnostics.member_shares[0]) == 2
    with pytest.raises(ValueError, match="draws must be at least 1"):
        posterior_resampler(run, draws=0)
    only = posterior_resampler(run, budget=10, ratio="score", weights=[1, 1, 1, 997])
    only.sample(20)
    assert only.diagnostics.member_shares[0][3] > 0.95


def test_command_line(run, tmp_path, capsys):
    line = f"-m bayesgan resample {run} --n 20 --method mh --budget 8 --ratio score --start real --stuck restart"
    result = subprocess.run([sys.executable, *line.split()], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    place = run / "resampled" / "mh_8_0"
    files = {"samples.npz", "before.png", "after.png", "diagnostics.json", "ratio.png"}
    assert {p.name for p in place.iterdir()} == files
    assert np.load(place / "samples.npz")["x"].shape == (20, 2)
    content = json.loads((place / "diagnostics.json").read_text())
    assert content["expected"]["ratio"] == "score" and content["expected"]["floor"] is not None
    assert content["method"] == "mh" and content["nearest_real"] > 0 and "acceptance" in result.stdout
    for arguments, words in (
        ([run, "--method", "bets"], "unknown method 'bets'"), ([run, "--budget", 0], "budget must be at least 1"),
        ([tmp_path], "is not a run folder"), ([run, "--calibration", "x"], "unknown calibration"),
        ([run, "--n", 0], "n must be at least 1"),
        ([run, "--device", "gpu"], "--device must be one of"),
        ([run, "--start", "real"], "method obrs has no setting 'start'"),
        ([run, "--ratio", "best"], "unknown ratio"), ([run, "--ratio", "features"], "ratio features needs features="),
    ):
        capsys.readouterr()
        assert command_line(["resample", *map(str, arguments)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and words in error, error


def test_a_run_without_held_out_data_is_refused(tmp_path):
    assert main([*TINY, "--out_dir", str(tmp_path), "--calibration_fraction", "0"]) == 0
    with pytest.raises(ValueError, match="--ratio auto needs 80 held-out data and .* held out 0 of .*fraction"):
        posterior_resampler(next(tmp_path.iterdir()))


def test_a_run_with_few_training_data(tmp_path, capsys):
    np.savez(tmp_path / "mine.npz", x=np.random.default_rng(0).standard_normal((120, 2)))
    assert main([*TINY, "--out_dir", str(tmp_path), "--dataset", "npz", "--data_path", str(tmp_path / "mine.npz"),
                 "--network", "mlp", "--calibration_fraction", "0.5"]) == 0
    folder = next(tmp_path.glob("bgan_*"))
    capsys.readouterr()
    for ratio, code, words in (
        ("score", 0, "^the 54 training data of .* are left out: ratios are fitted on 80 or more"),
        ("auto", 2, "--ratio auto needs 80 held-out data and .* held out 54 of 108; train a run on more data, or with"),
        ("components", 2, "ratio components needs at least 40 other .* got 18; .* or give 80 or more training data"),
    ):
        assert command_line(["resample", str(folder), "--budget", "5", "--ratio", ratio]) == code
        said = capsys.readouterr()
        assert re.search(words, said.err if code else said.out) and said.err.count("\n") == code // 2


def test_images_of_a_semi_supervised_run(tmp_path):
    assert main([*TINY, "--N", "20", "--out_dir", str(tmp_path)], semi=True) == 0
    place = resample_run(next(tmp_path.iterdir()), 12, budget=5)
    tried = json.loads((place / "diagnostics.json").read_text())["expected"]["tried"]
    assert set(tried) == {"plain", "score", "coarse", "components", "features"}, "features: the discriminators' own"
    images = np.load(place / "samples.npz")["x"]
    assert images.shape == (12, 1, 8, 8) and images.dtype == np.uint8
    assert (place / "after.png").read_bytes().startswith(b"\x89PNG")


def test_every_setting_of_every_rule_is_a_flag():
    names = {"start", "stuck", "percentile", "candidates", "step", "local_steps", "leapfrogs", "noise"}
    assert names == set(method_settings())


@pytest.mark.parametrize("kind", ["least_squares", "least_squares_signed"])
def test_an_exact_least_squares_critic_corrects_like_its_logit(kind):
    """With the raw critic as log odds the missing mode got .132 of its .25, and nothing was said."""
    critics = {
        "least_squares": lambda x: torch.sigmoid(log_ratio(x)),
        "least_squares_signed": lambda x: torch.tanh(log_ratio(x) / 2),
    }
    masses = {}
    for name, score in ((kind, critics[kind]), ("logit", log_ratio)):
        resampler = Resampler.calibrated(generate, score, real(20_000), ratio="score", kind=name, budget=1000,
                                         method="mh")
        masses[name] = (resampler.sample(2000) > 2.5).double().mean().item()
    assert masses[kind] >= 0.20 and masses[kind] == pytest.approx(masses["logit"], abs=0.02)


@pytest.mark.parametrize("ratio, figures", [("components", 2), ("auto", 1)])
def test_images_with_labels_are_judged_before_and_after(ratio, figures, tmp_path, capsys):
    """A run that was hardly trained: auto samples plainly."""
    assert main([*TINY, "--out_dir", str(tmp_path)]) == 0
    folder = next(tmp_path.glob("bgan_*"))
    assert command_line(["resample", str(folder), "--ratio", ratio, "--judge_steps", "20", "--budget", "4"]) == 0
    assert "179 images by a classifier that is right on" in capsys.readouterr().out
    scores = json.loads(next(folder.glob("resampled/*/diagnostics.json")).read_text())["scores"]
    assert {len(scores[name]) for name in ("class_score", "frechet", "recall")} == {figures}
    assert command_line(["resample", str(folder), "--judge_steps", "-1"]) == 2
    assert "--judge_steps must be at least 0" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_numbers_that_are_none_are_refused(value, tmp_path, capsys):
    assert command_line(["resample", str(tmp_path), "--step", value]) == 2
    assert "must be a finite number" in capsys.readouterr().err
    assert main(["--lr", value]) == 2
    assert "must be a finite number" in capsys.readouterr().err
