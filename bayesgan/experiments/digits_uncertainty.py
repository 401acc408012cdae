"""What a posterior knows about what it does not know: a small network on digits, sampled against optimised; accuracy,
likelihood, calibration, and entropy on the digits against the same digits turned and against foreign images."""

import argparse

from torch import nn

from bayesgan.data import DATA_SETS, DataOptions, to_float
from bayesgan.ensemble import fan_in_scales
from bayesgan.basics.errors import InputError
from bayesgan.evaluation.classification import classification_figures, predictive_entropy
from bayesgan.evaluation.uncertainty import shuffled, uncertainty_figure
from bayesgan.experiments.registry import EXPERIMENTS, save_results
from bayesgan.basics.files import write_atomically
from bayesgan.sampler import Normal, PosteriorSampler

__all__ = ["run"]

SEED = 0
TEMPERATURES = (0.0, 0.1, 1.0)
PRIOR_STD = 3.0  # of He's scale: a network of this size must be able to be sure


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--labels", type=int, default=200, help="training images")
    parser.add_argument("--draws", type=int, default=50, help="draws of each of 4 chains")


def run(arguments: argparse.Namespace) -> None:
    """Prints the table, writes results.json and uncertainty.png."""
    data = DATA_SETS["digits"].load(DataOptions())
    if not 10 <= arguments.labels <= len(data.train) or arguments.draws < 4:
        raise InputError(f"--labels must be in 10..{len(data.train)} and --draws at least 4, got {arguments.labels} and "
                         f"{arguments.draws}")
    x, y = to_float(data.train[: arguments.labels]), data.train_labels[: arguments.labels]
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 50), nn.Tanh(), nn.Linear(50, 10))
    batch = min(100, len(x))
    samplers = {}
    for temperature in TEMPERATURES:
        name = "one optimum (T=0)" if temperature == 0 else f"posterior (T={temperature:g})"
        samplers[name] = PosteriorSampler(
            network, mean_loss=nn.functional.cross_entropy, num_data=len(x), engine="vmap", seed=SEED,
            predictive=lambda outputs: outputs.softmax(-1), prior=Normal(PRIOR_STD, fan_in_scales(network)),
            lr=0.1, friction=0.1, temperature=temperature, chains=4 if temperature else 1, burn_in=2000, thin=50,
        )
        samplers[name].run((x, y), arguments.draws if temperature else 1, batch)
        if temperature:
            print(f"{name}\n{samplers[name].diagnostics(to_float(data.test[:20]))}\n")

    test = to_float(data.test)
    cases = {"digits": test, "digits turned by 90°": test.rot90(1, (2, 3)), "foreign: shuffled pixels": shuffled(test)}
    results, probabilities = {}, {}
    print(f"{arguments.labels} labels{'':16}accuracy    NLL   Brier    ECE   entropy: " + ", ".join(cases))
    for name, sampler in samplers.items():
        probabilities[name] = {case: sampler.predict(images) for case, images in cases.items()}
        figures = classification_figures(probabilities[name]["digits"], data.test_labels)
        entropies = {case: predictive_entropy(p).mean().item() for case, p in probabilities[name].items()}
        results[name] = {**figures.as_dict(), "entropy": entropies}
        print(f"{name:25}    {figures.accuracy:.3f}  {figures.nll:.3f}   {figures.brier:.3f}  {figures.ece:.3f}   "
              + "   ".join(f"{e:.2f}" for e in entropies.values()))
    arguments.out_dir.mkdir(parents=True, exist_ok=True)
    save_results(arguments.out_dir / "results.json", f"python -m bayesgan.experiments digits_uncertainty --labels "
                 f"{arguments.labels} --draws {arguments.draws}", results)
    figure = uncertainty_figure(probabilities, data.test_labels)
    write_atomically(arguments.out_dir / "uncertainty.png", lambda path: figure.savefig(path, format="png"))
    print(f"plot {arguments.out_dir / 'uncertainty.png'}")


EXPERIMENTS.register("digits_uncertainty")((add_arguments, run))
