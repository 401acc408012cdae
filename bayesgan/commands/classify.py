"""The classes of new data, and how sure a semi-supervised run is of each: `python -m bayesgan classify RUN PATH`."""

import argparse
import csv
from pathlib import Path

import torch
from torch import Tensor

from bayesgan.basics.devices import pick_device
from bayesgan.basics.errors import InputError
from bayesgan.basics.files import write_atomically
from bayesgan.data import Unseen
from bayesgan.evaluation.classification import Predictive, predictive_entropy
from bayesgan.store import Posterior, RunFolder
from bayesgan.store.results import last_of_posterior
from bayesgan.training.label_spreading import together
from bayesgan.training.teacher import spread_on_features

__all__ = ["add_arguments", "classify", "run"]

HEADING = ("name", "class", "probability", "entropy", "mutual_information")
LISTED = 5  # that people look at first


def classify(
    run_folder: Path | str, x: Tensor, data_path: Path | None = None, device: torch.device | str = "cpu"
) -> Tensor:
    """Class probabilities of new data by the posterior and the graph of the training data together: (n, Y) float64.

    The graph is made anew at each call, which takes as long as a label spreading in training.

    Args:
        x: As `Posterior.predictive` takes it.
        data_path: Where the run's data is now, if it has moved.

    Raises:
        ValueError: If the run spread no labels, its data is absent, or x is other data.
    """
    folder = RunFolder.open(run_folder)
    posterior = Posterior(folder, device)
    require_graph(folder, posterior)
    return with_graph(folder, posterior, x, posterior.predict_proba(x), data_path)


def require_graph(folder: RunFolder, posterior: Posterior) -> None:
    """Raises InputError of a run without one."""
    if not posterior.options.spread_moments:
        raise InputError(f"{folder.path} spread no labels (--consistency, --spread_labels), so that there is no graph; "
                         "classify by the posterior alone")


def with_graph(
    folder: RunFolder, posterior: Posterior, x: Tensor, probabilities: Tensor, data_path: Path | None
) -> Tensor:
    """`classify` where the posterior's own probabilities (n, Y) are known."""
    data, averaged = folder.load_data(data_path), next(posterior.newest(1).each("averages"))
    return together(probabilities, spread_on_features(averaged, data.to(averaged.device), posterior.inputs(x)))


def as_table(
    unseen: Unseen, probabilities: Tensor, answer: Predictive | None, classes: tuple[str, ...]
) -> list[list]:
    """A heading, and a row a datum: its class, how probable it is, the doubt in nats, the probability of each class.

    Args:
        answer: Of the discriminators, which have mutual information; None where the graph was asked too.
    """
    best, chosen = probabilities.max(1)
    columns = [unseen.names, [classes[one] for one in chosen.tolist()], rounded(best),
               rounded(predictive_entropy(probabilities)),
               [""] * len(best) if answer is None else rounded(answer.mutual_information)]
    heading = [*HEADING, *(f"p({one})" for one in classes)]
    return [heading, *(list(row) for row in zip(*columns, *map(rounded, probabilities.T), strict=True))]


def is_table(path: Path) -> bool:
    """Whether `as_table` could have made it, or it is empty."""
    with open(path, encoding="utf-8", errors="replace") as file:
        first = file.readline()
    return not first or first.startswith(",".join(HEADING))


def rounded(values: Tensor) -> list[str]:
    return [f"{value:.6g}" for value in values.tolist()]


def in_words(unseen: Unseen, probabilities: Tensor, classes: tuple[str, ...], usual: float | None) -> str:
    """How they were read, how many are of each class, and those that somebody should look at.

    Args:
        usual: Mean entropy on the run's test data, unknown of exported folders and before the first draw.
    """
    entropy = predictive_entropy(probabilities)
    counts = probabilities.argmax(1).bincount(minlength=len(classes)).tolist()
    compared = "" if usual is None else f"; {usual:.3f} on the run's test data"
    lines = [*unseen.notes, "classes: " + ", ".join(f"{one} {count}" for one, count in zip(classes, counts) if count),
             f"entropy {entropy.mean():.3f} nats on average{compared}"]
    lines.append("least sure of:")
    for row in entropy.argsort(descending=True, stable=True)[:LISTED].tolist():
        likely = probabilities[row].topk(min(2, len(classes)))
        named = ", ".join(f"{classes[one]} {share:.2f}" for share, one in zip(*map(Tensor.tolist, likely)))
        lines.append(f"  {unseen.names[row]}  {named}  entropy {entropy[row]:.2f}")
    return "\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="for example runs/bgan_digits_1700000000")
    parser.add_argument("paths", type=Path, metavar="PATH", nargs="+", help="a folder or zip of pictures, an .npz with "
                        "an array x, or pictures; they are read as the run read its own data")
    parser.add_argument("--graph", action="store_true", help="ask the graph of the training data too, which takes as "
                        "long as a label spreading in training")
    parser.add_argument("--data_path", type=Path, help="with --graph: where the run's data is now, if it has moved")
    parser.add_argument("--out", type=Path, help="the table (default: RUN/classified/, by the name of PATH or its "
                        "folder)")
    parser.add_argument("--device", default="cpu", help="where to compute (default: cpu)")


def run(arguments: argparse.Namespace) -> None:
    """Writes the table and prints what it says."""
    folder = RunFolder.open(arguments.run)
    posterior = Posterior(folder, pick_device(arguments.device))
    posterior.require_classes()
    if arguments.graph:
        require_graph(folder, posterior)
    elif arguments.data_path is not None:
        raise InputError("--data_path is for --graph; give both, or neither")
    if arguments.out is not None and arguments.out.is_file() and not is_table(arguments.out):
        raise InputError(f"--out {arguments.out} is there and no table of classify; name another file")
    unseen, first = posterior.read(*arguments.paths), arguments.paths[0].resolve()
    answer = posterior.predictive(unseen.data)
    probabilities = answer.probabilities
    if arguments.graph:
        probabilities = with_graph(folder, posterior, unseen.data, probabilities, arguments.data_path)
    name = first.name if len(arguments.paths) == 1 else first.parent.name
    out = arguments.out or folder.path / "classified" / f"{name}.csv"
    out.parent.mkdir(parents=True, exist_ok=True)
    told = f"written to {out}" + (", in place of an older table" if out.exists() else "")

    def write(path: Path) -> None:
        with open(path, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            csv.writer(file).writerows(
                as_table(unseen, probabilities, None if arguments.graph else answer, posterior.classes))

    write_atomically(out, write)
    usual = None if arguments.graph else last_of_posterior(folder.results()).get("entropy", {}).get("test")
    print(in_words(unseen, probabilities, posterior.classes, usual), told, sep="\n")
