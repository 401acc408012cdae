"""What a posterior knows about what it does not know: a small network on digits, sampled against optimised.

Accuracy, likelihood, calibration, and entropy on the digits against the same digits turned and against foreign images.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from bayesgan.data import DATA_SETS, DataOptions, to_float
from bayesgan.ensemble import fan_in_scales
from bayesgan.evaluation.classification import classification_figures, predictive_entropy
from bayesgan.evaluation.uncertainty import shuffled, uncertainty_figure
from bayesgan.experiments.cells import Cells
from bayesgan.experiments.registry import EXPERIMENTS, Experiment, Report
from bayesgan.options import option
from bayesgan.sampler import Normal, PosteriorSampler

__all__ = ["Settings", "run"]

SEED = 0
TEMPERATURES = {"one optimum (T=0)": 0.0, "posterior (T=0.1)": 0.1, "posterior (T=1)": 1.0}
PRIOR_STD = 3.0  # of He's scale: a network of this size must be able to be sure
TRAINING = 1438  # the bundled digits that are not for testing


@dataclass(frozen=True)
class Settings:
    labels: int = option(200, "training images", least=10, most=TRAINING)
    draws: int = option(50, "draws of each of 4 chains", least=4)


def run(settings: Settings, cells: Cells) -> Report:
    """Samples at every temperature, and asks each sampler about every kind of image."""
    data = DATA_SETS["digits"].load(DataOptions())
    x, y = to_float(data.train[: settings.labels]), data.train_labels[: settings.labels]
    test = to_float(data.test)
    cases = {"digits": test, "digits turned by 90°": test.rot90(1, (2, 3)), "foreign: shuffled pixels": shuffled(test)}
    probabilities, results, table = {}, {}, []
    for name, temperature in TEMPERATURES.items():
        sampler = sampled(x, y, temperature, settings.draws)
        if temperature:
            print(f"{name}\n{sampler.diagnostics(test[:20])}\n")
        probabilities[name] = {case: sampler.predict(images) for case, images in cases.items()}
        figures = classification_figures(probabilities[name]["digits"], data.test_labels)
        entropies = {case: predictive_entropy(p).mean().item() for case, p in probabilities[name].items()}
        results[name] = {**figures.as_dict(), "entropy": entropies}
        table.append({
            f"{settings.labels} labels": name, "accuracy": f"{figures.accuracy:.3f}", "NLL": f"{figures.nll:.3f}",
            "Brier": f"{figures.brier:.3f}", "ECE (floor)": f"{figures.ece:.3f} ({figures.ece_floor:.3f})",
            **{f"entropy: {case}": f"{entropy:.2f}" for case, entropy in entropies.items()},
        })
    return Report(results, table, {"uncertainty": uncertainty_figure(probabilities, data.test_labels)})


def sampled(x: Tensor, y: Tensor, temperature: float, draws: int) -> PosteriorSampler:
    """A sampler that has run on the training images; at temperature 0 one chain and one draw, its optimum."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 50), nn.Tanh(), nn.Linear(50, 10))
    sampler = PosteriorSampler(
        network, mean_loss=nn.functional.cross_entropy, num_data=len(x), engine="vmap", seed=SEED,
        predictive=lambda outputs: outputs.softmax(-1), prior=Normal(PRIOR_STD, fan_in_scales(network)), lr=0.1,
        friction=0.1, temperature=temperature, chains=4 if temperature else 1, burn_in=2000, thin=50,
    )
    sampler.run((x, y), draws if temperature else 1, min(100, len(x)))
    return sampler


EXPERIMENTS.register("digits_uncertainty")(Experiment(Settings, run, __doc__))
