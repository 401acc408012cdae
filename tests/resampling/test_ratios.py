"""Every registered density ratio: what it needs, what it gives, and the traps of each."""

import pytest
import torch
from sklearn.metrics import roc_auc_score

from bayesgan import Resampler
from bayesgan.resampling import RATIOS
from bayesgan.resampling.ratios.boosting import Boosting
from bayesgan.resampling.ratios.coarse import Coarse
from bayesgan.resampling.ratios.task import Task
from tests.resampling.test_guard import clusters, halves, source


def points(n, seed):
    return torch.randn(n, 2, generator=source(seed))


def task(images=False, m=1000, **given):
    def generate(n, generator):
        return halves(n, generator, 0.2, 0.0) if images else torch.randn(n, 2, generator=generator) * 1.5

    real, check = (halves(m, source(1), 0.5, 0.0), halves(200, source(2), 0.5, 0.0)) if images else (
        points(m, 1), points(200, 2))
    usual = {"score": lambda x: x.flatten(1).mean(1), "features": lambda x: x.flatten(1)}
    return Task(generate, real, check, kind="logit", seed=0, **{**usual, **given})


@pytest.mark.parametrize("name", RATIOS)
@pytest.mark.parametrize("images", [False, True])
def test_contract(name, images):
    """A ratio says what it lacks, or gives one finite number a datum, the same again; smooth ones have a gradient."""
    problem, ratio = task(images), RATIOS[name]()
    reason = ratio.lacks(problem)
    if reason:
        assert name in reason and ("for " in reason)
        return
    score, kind = ratio.fit(problem)
    again, _ = RATIOS[name]().fit(problem)
    data = problem.check[:20].clone().requires_grad_()
    found = score(data)
    assert found.reshape(20, -1).shape[1] == 1 and found.isfinite().all() and kind == "logit"
    assert torch.equal(found, again(data)), "the same seed fits the same ratio"
    assert ratio.smooth == found.requires_grad
    if ratio.smooth:
        (gradient,) = torch.autograd.grad(found.sum(), data)
        assert gradient.isfinite().all() and gradient.abs().sum() > 0


@pytest.mark.parametrize("name", ["features", "components", "boosting"])
def test_a_ratio_of_known_laws(name):
    """N(0, 1) against N(0, 1.5²) in the plane: log p/q = log 2.25 - |x|² (1 - 1/2.25) / 2."""
    problem = task(m=4000)
    score, _ = RATIOS[name]().fit(problem)
    x = points(2000, 5)
    truth = torch.tensor(2.25).log() - (x**2).sum(1) * (1 - 1 / 2.25) / 2
    assert (score(x).double() - truth).abs().median() < {"boosting": 0.3}.get(name, 0.12)


def test_neighbours_leave_a_datum_itself_out():
    """p = q: held-out AUC is .5, and what the fit has seen is scored like what it has not.

    With itself among its neighbours a training datum is nearer to real data than any other can be.
    """
    def generate(n, generator):
        return torch.randn(n, 2, generator=generator)

    training = points(4000, 1)
    problem = Task(generate, training, points(200, 2), None, "logit", None, 0)
    score, _ = Boosting(trees=60).fit(problem)
    real, fake = score(points(4000, 3)), score(points(4000, 4))
    labels = torch.cat([torch.ones(4000), torch.zeros(4000)])
    assert roc_auc_score(labels.numpy(), torch.cat([real, fake]).numpy()) == pytest.approx(0.5, abs=0.02)
    assert score(training).mean() - real.mean() < 0.15
    assert real.mean() == pytest.approx(0, abs=0.1)


def test_images_are_rounded_as_real_ones_are():
    """Grey levels between 8 bits would give every generated image away; the gradient passes."""
    problem = task(True)
    assert problem.scale == (-1, 1) and task(False).scale is None
    images = torch.rand(4, 1, 8, 8, generator=source()).requires_grad_()
    rounded = problem.as_stored(images)
    levels = (rounded.detach() + 1) * 127.5
    assert (levels - levels.round()).abs().max() < 1e-3 and (rounded - images).abs().max() < 1 / 255 + 1e-6
    (gradient,) = torch.autograd.grad(rounded.sum(), images)
    assert torch.equal(gradient, torch.ones_like(gradient))


def calibrated(images=True, real=None, **given):
    def generate(n, generator):
        return halves(n, generator, 0.5, 0.0) if images else clusters(n, generator, 0.5, 0.0)

    if real is None:
        real = generate(400, source(3))
    return Resampler.calibrated(given.pop("generate", generate), given.pop("score", None), real, **given)


def broken(row, value):
    return halves(400, source(3), 0.5, 0.0).index_fill(0, torch.tensor([row, row + 9]), value)


@pytest.mark.parametrize("call, words", [
    (lambda: calibrated(ratio="best"), "unknown ratio 'best'; choose one of: boosting, coarse"),
    (lambda: calibrated(ratio="score"), "ratio score needs a discriminator's score"),
    (lambda: calibrated(ratio="features"), "ratio features needs features="),
    (lambda: calibrated(ratio="boosting"), "ratio boosting is for vectors; for images use coarse"),
    (lambda: calibrated(False, ratio="coarse"), "for vectors use boosting"),
    (lambda: calibrated(ratio=Coarse(side=9)), "side must be in 1..8"),
    (lambda: Boosting(trees=0), "boosting needs trees >= 1"),
    (lambda: calibrated(real=halves(79, source(), 0.5, 0.0)), "must hold at least 80"),
    (lambda: calibrated(real=halves(100, source(), 0.5, 0.0)), "needs at least 40 other held-out data"),
    (lambda: calibrated(generate=lambda n, g: halves(n, g, 0.5, 0.0)[..., :7]), r"gave data \(64, 1, 8, 7\)"),
    (lambda: calibrated(generate=lambda n, g: (halves(n, g, 0.5, 0.0) + 1) * 127.5), "scale both alike"),
    (lambda: calibrated(generate=lambda n, g: halves(n, g, 0.5, 0.0) * torch.nan), "generated data must be finite"),
    (lambda: calibrated(generate=lambda n, g: halves(n, source(torch.randint(99, ()).item()), 0.5, 0.0)),
     "other data for the same torch.Generator"),
    (lambda: calibrated(generate=lambda n, g: halves(5, g, 0.5, 0.0)), r"generate\(64, .*must return 64 data"),
    (lambda: calibrated(score=lambda x: x.mean((1, 2, 3)) + torch.rand(len(x))), "score is random"),
    (lambda: calibrated(score=lambda x: x.mean((1, 2, 3)) - x.mean()), "scores depend on the other data of the batch"),
    (lambda: calibrated(score=lambda x: torch.stack([-x.sum((1, 2, 3)), x.sum((1, 2, 3))], 1)), "the other's opposite"),
    (lambda: calibrated(ratio="features", features=lambda x: x.flatten(1)[1:]), "one row a datum"),
    (lambda: calibrated(ratio="features", features=lambda x: torch.ones(len(x), 3)), "the same for all real data"),
    (lambda: calibrated(ratio="features", features=lambda x: x.flatten(1) / 0), "NaN or infinite"),
    (lambda: calibrated(ratio="features", features=lambda x: torch.rand(len(x), 3)), "features are random"),
    (lambda: calibrated(ratio="features", features=lambda x: x.flatten(1) - x.flatten(1).mean()), "features depend"),
    (lambda: calibrated(real=broken(3, torch.nan)), "^real must be finite, got NaN or infinity, first in row 3;"),
    (lambda: calibrated(training=broken(5, torch.inf)), "^training must be finite, .* first in row 5"),
    (lambda: calibrated(features=lambda x: torch.ones(len(x), 3)), "features are the same for all real data"),
    (lambda: calibrated(features=3), "features must be a function, .* got 3"),
    (lambda: calibrated(score=lambda x: torch.zeros(len(x))), "discriminator is constant: .* other than score"),
    (lambda: calibrated(score=lambda x: 9 + x.mean((1, 2, 3)), kind="probability"), "probabilities must lie in"),
    (lambda: calibrated(score=lambda x: 9 + x.mean((1, 2, 3)), kind="least_squares"), "is constant.* look at kind"),
    (lambda: calibrated(score=lambda x: x.mean((1, 2, 3)), kind="lsgan"), "kind must be one of"),
    (lambda: calibrated(score=lambda x: x.mean((1, 2, 3)) + 0j), "scores must be real numbers, got torch.complex64"),
    (lambda: calibrated(score=lambda x: x[:, 0, 0, 0].to("meta")), "scores must hold numbers, .* on device meta"),
    (lambda: calibrated(real=[1, 2]), "real must be arrays of numbers, got a list; give tensors"),
    (lambda: calibrated(real=torch.rand(100)), r"real must hold data like the generator's, \(m, ...\), got \(100,\)"),
    (lambda: calibrated(training=halves(9, source(), 0.5, 0.0)), "training must hold at least 80 data"),
    (lambda: calibrated(real=(halves(400, source(), 0.5, 0.0) + 1) * 127.5), "scale both alike"),
    (lambda: calibrated(False, ratio="score", score=lambda x: x[:, 0], real=clusters(30, source(), 0.5, 0.0)),
     "needs at least 40 held-out data to calibrate and to check, got 30; hold out more$"),
    (lambda: calibrated(ratio="features", method="mala", features=lambda x: x.flatten(1)), "only a callable"),
])
def test_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()
