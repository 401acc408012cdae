"""What a semi-supervised run knows about all test data: at every n_save, and `python -m bayesgan evaluate RUN`."""

import argparse
import dataclasses
from pathlib import Path

import torch
from torch import Tensor

from bayesgan.basics.devices import pick_device
from bayesgan.basics.errors import InputError
from bayesgan.basics.files import save_figure, write_json
from bayesgan.basics.locks import only_writer
from bayesgan.basics.ranks import Ranks
from bayesgan.data import DATA_SETS, Dataset
from bayesgan.ensemble import Ensemble
from bayesgan.evaluation.classification import Predictive, predictive_entropy
from bayesgan.evaluation.questions import Answers, Questions
from bayesgan.evaluation.uncertainty import error_figure, uncertainty_figure
from bayesgan.options import Options, data_options
from bayesgan.store import Posterior, RunFolder, State
from bayesgan.store.results import CLASSIFIERS, error_curves
from bayesgan.training.label_spreading import together
from bayesgan.training.loop import Figures
from bayesgan.training.supervised import train_supervised
from bayesgan.training.teacher import spread_on_features

__all__ = ["Evaluator", "add_arguments", "errors_line", "evaluate", "headline", "run", "supervised_network", "table"]


def ask_about(options: Options, data: Dataset) -> Questions:
    """All test data, and the data set's foreign companion if its files are there."""
    companion = DATA_SETS[options.dataset].foreign(data_options(options))
    foreign = {} if companion is None else {companion.name: companion.test}
    return Questions(data.test, data.test_labels, foreign)


def supervised_network(
    folder: RunFolder, options: Options, data: Dataset, device: torch.device | str = "cpu"
) -> Ensemble | None:
    """The run's supervised network, trained and stored at the first call; None with --no_supervised."""
    if options.no_supervised:
        return None
    classifier = folder.supervised(device)
    if classifier is None:
        classifier = train_supervised(options, data, device)
        folder.save_supervised(classifier.state())
    return classifier


class Evaluator:
    """Measures a run while it trains; every collected draw is asked once.

    Args:
        discriminators: Those in training.
        supervised: The yardstick, or None.
        averages: Their averaged weights, where a teacher keeps them up to date.
        ranks: The processes that have some discriminators each, and ask those.

    Attributes:
        asked: Step of each draw in the store, as of the last call -> its answers.
    """

    def __init__(
        self, discriminators: Ensemble, data: Dataset, folder: RunFolder, supervised: Ensemble | None,
        averages: State | None = None, ranks: Ranks | None = None,
    ):
        self.discriminators, self.folder, self.averages = discriminators, folder, averages
        self.ranks = ranks or Ranks()
        self.questions = ask_about(folder.options(), data.to("cpu"))
        self.supervised = self.questions.figures(self.questions.ask(supervised)) if supervised else None
        self.asked: dict[int, Answers] = {}

    def __call__(self) -> Figures:
        """For results_<iter>.json, TensorBoard and people."""
        figures = self.figures()
        percent = headline(figures)
        scalars = {f"accuracy/{name}": value for name, value in percent.items()}
        return Figures({**percent, "classification": figures}, scalars, errors_line(figures))

    def figures(self) -> dict:
        """Of the current ensemble, its single members, the average over collected draws, and the supervised network."""
        questions, discriminators = self.questions, self.discriminators
        members = self._asked(discriminators, range(discriminators.members))
        single = [questions.figures(answers) for answers in members]
        return {
            "test_size": len(questions.labels), "supervised": self.supervised,
            "current": questions.figures(questions.mean(members)), "averaged": self._averaged(),
            "member_errors": [one["errors"] for one in single], "posterior": self._posterior(),
        }

    def _averaged(self) -> dict | None:
        """Of the averaged weights, None where none are kept."""
        if self.averages is None:
            return None
        averaged = self.folder.ensemble("discriminators", self.averages, self.discriminators.device)
        return self.questions.figures(self.questions.mean(self._asked(averaged, range(averaged.members))))

    def _asked(self, ensemble: Ensemble, members: range) -> list[Answers]:
        """The answers of each of some members here, and of those of all other processes."""
        own = [self.questions.ask(ensemble, member) for member in members]
        return [answers for part in self.ranks.gathered(own) for answers in part]

    def _posterior(self) -> dict | None:
        """Averaged over the draws in the store; None before the first."""
        draws = {draw.entry["step"]: draw for draw in self.folder.store.opened()}
        self.asked = {step: answers for step, answers in self.asked.items() if step in draws}
        for step, draw in draws.items():
            if step not in self.asked:  # new, or collected before this process began
                (stored,) = Posterior(self.folder, self.discriminators.device, [draw]).each("discriminators")
                self.asked[step] = self.questions.mean(self._asked(stored, self.ranks.share(stored.members)))
        if not self.asked:
            return None
        return self.questions.figures(self.questions.mean(list(self.asked.values())))


def headline(figures: dict) -> dict:
    """The reference's two keys, in percent.

    semi_supervised_acc is that of the posterior average, before there is one that of the current ensemble.
    """
    percent = {"semi_supervised_acc": 100 * (figures["posterior"] or figures["current"])["accuracy"]}
    if figures["supervised"]:
        percent["supervised_acc"] = 100 * figures["supervised"]["accuracy"]
    return percent


def errors_line(figures: dict) -> str:
    """Errors on all test data, one line."""
    named = {"ensemble": figures["current"], "averaged weights": figures["averaged"],
             "posterior": figures["posterior"], "supervised": figures["supervised"]}
    errors = ", ".join(f"{name} {row['errors']}" for name, row in named.items() if row)
    single = figures["member_errors"]
    return f"  errors of {figures['test_size']}: {errors}, single members {min(single)}..{max(single)}"


def table(rows: dict[str, dict]) -> str:
    """Lines for people: one classifier a row."""
    cases = list(next(iter(rows.values()))["entropy"])
    title = "errors  accuracy    NLL   Brier    ECE (floor)     entropy (of it mutual information): " + ", ".join(cases)
    lines = [f"{'':34}{title}"]
    for name, row in rows.items():
        entropies = "   ".join(f"{row['entropy'][case]:.3f} ({row['mutual_information'][case]:.3f})" for case in cases)
        lines.append(f"{name:34}{row['errors']:6}    {row['accuracy']:.4f}  {row['nll']:.3f}   {row['brier']:.3f}  "
                     f"{row['ece']:.4f} ({row['ece_floor']:.4f})   {entropies}")
    return "\n".join(lines)


def evaluate(
    run_folder: Path, device: torch.device | str = "cpu", data_path: Path | None = None, wait: bool = False,
    asked: dict[int, Answers] | None = None,
) -> str:
    """Asks the posterior of a run about all test data.

    Writes RUN/evaluation/: figures.json, uncertainty.png, and errors.png over the run's iterations.

    Args:
        data_path: Where the data is now, if it has moved.
        wait: Until another evaluation of the run has ended, rather than raise.
        asked: By step, draws' answers that are known already (of an `Evaluator`).

    Returns:
        A table for people.

    Raises:
        ValueError: If the run is not semi-supervised, has no draws, or its data is absent.
    """
    folder = RunFolder.open(run_folder)
    posterior = Posterior(folder, device)
    options = posterior.options
    if not options.semi:
        raise InputError(f"{run_folder} is an unsupervised run and classifies nothing; name a run of run_bgan_semi.py")
    place = folder.path / "evaluation"
    place.mkdir(exist_ok=True)
    with only_writer(place, "evaluated", wait):
        rows, count = measured(folder, posterior, data_path, device, asked or {})
    return f"{options.dataset}, {options.N} labels, {count} test data\n{table(rows)}"


def measured(
    folder: RunFolder, posterior: Posterior, data_path: Path | None, device: torch.device | str,
    asked: dict[int, Answers],
) -> tuple[dict, int]:
    """Asks every classifier of the run and writes the answers: their figures by name, and the number of test data."""
    options, data = posterior.options, folder.load_data(data_path)
    questions = ask_about(dataclasses.replace(options, data_path=Path(data_path or options.data_path)), data)
    answers = {}
    supervised = supervised_network(folder, options, data, device)
    if supervised is not None:
        answers["supervised"] = questions.ask(supervised)
    each = [asked[entry["step"]] if entry["step"] in asked else questions.ask(discriminators)
            for entry, discriminators in zip(posterior.draws, posterior.each("discriminators"), strict=True)]
    newest = next(posterior.newest(1).each("discriminators"))
    answers["one discriminator"] = each[-1] if newest.members == 1 else questions.ask(newest, newest.members - 1)
    whole = questions.mean(each)
    count = whole["test"].classifiers
    if count > 1:
        answers[f"posterior, {count} discriminators"] = whole
    if options.unlabelled_batch:
        averaged = next(posterior.newest(1).each("averages"))
        answers["averaged weights"] = questions.ask(averaged)
    if options.spread_moments:
        shares = by_spreading(averaged, data, questions)
        answers["label spreading"] = {name: alone(or_no_idea(own)) for name, own in shares.items()}
        answers["posterior and spreading"] = {
            name: alone(together(one.probabilities, shares[name])) for name, one in whole.items()}
    rows = {name: questions.figures(answer) for name, answer in answers.items()}
    write(folder, questions, answers, rows)
    return rows, len(questions.labels)


def by_spreading(discriminators: Ensemble, data: Dataset, questions: Questions) -> dict[str, Tensor]:
    """The shares (n, Y) of the graph of the training data, with these networks' features, in each case; none of the
    cases is part of it, and where no label reaches shares are 0.
    """
    cases = list(questions.cases.values())
    others = spread_on_features(discriminators, data.to(discriminators.device), torch.cat(cases))
    return dict(zip(questions.cases, others.split([len(case) for case in cases]), strict=True))


def or_no_idea(shares: Tensor) -> Tensor:
    """Shares (n, Y), all classes alike where they are 0."""
    return shares.where(shares.sum(1, keepdim=True) > 0, 1 / shares.shape[1])


def alone(probabilities: Tensor) -> Predictive:
    """Of a single classifier, by its probabilities (n, Y)."""
    return Predictive(probabilities, predictive_entropy(probabilities), 1)


def write(folder: RunFolder, questions: Questions, answers: dict, rows: dict) -> None:
    """figures.json, uncertainty.png and errors.png."""
    place = folder.path / "evaluation"
    write_json(place / "figures.json", rows)
    write_json(place / "about.json", {"newest_draw": folder.newest_step})
    probabilities = {name: {case: one.probabilities for case, one in answer.items()}
                     for name, answer in answers.items()}
    save_figure(place / "uncertainty.png", uncertainty_figure(probabilities, questions.labels))
    if curves := error_curves(folder.results()):  # not before the first save
        named = {CLASSIFIERS[name]: curve for name, curve in curves.items()}
        save_figure(place / "errors.png", error_figure(named, len(questions.labels)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="for example runs/bgan_digits_1700000000")
    parser.add_argument("--data_path", type=Path, help="where its data is now, if it has moved")
    parser.add_argument("--device", default="cpu", help="where to compute (default: cpu)")


def run(arguments: argparse.Namespace) -> None:
    """The command line's arguments to a table."""
    print(evaluate(arguments.run, pick_device(arguments.device), arguments.data_path))
