"""What a semi-supervised run knows about all test data: figures at every n_save, tables and plots at the end."""

import dataclasses
import json
from pathlib import Path

import torch
from torch import Tensor

from bayesgan.data import DATA_SETS, Dataset, to_float
from bayesgan.ensemble import Ensemble
from bayesgan.basics.errors import InputError
from bayesgan.evaluation.classification import Predictive, classification_figures
from bayesgan.evaluation.uncertainty import error_curve, shuffled, uncertainty_figure
from bayesgan.basics.files import write_atomically
from bayesgan.store.posterior import Posterior, load_posterior
from bayesgan.training.algorithm import Trainer
from bayesgan.options.options import Options, data_options
from bayesgan.store.run_folder import RunFolder

__all__ = ["Evaluator", "Questions", "errors_line", "evaluate", "headline", "table"]

FOREIGN = 2000  # at most so many foreign data of a kind


class Questions:
    """All test data, and data of no class at all: pixels shuffled, and the data set's foreign companion if its files are there.

    Attributes:
        cases: Name -> float data (n, ...); the first is the test data.
        labels: (n,) of the test data.
    """

    def __init__(self, options: Options, data: Dataset):
        test = to_float(data.test)
        self.labels = data.test_labels
        self.cases = {"test": test, "shuffled pixels": shuffled(test[:FOREIGN])}
        companion = DATA_SETS[options.dataset].foreign(data_options(options))
        if companion is not None:
            self.cases[companion.name] = to_float(companion.test[:FOREIGN])

    def ask(self, ensemble: Ensemble, member: int | None = None) -> dict[str, Predictive]:
        """What the members of an ensemble, or one of them, answer on every case."""
        return {name: Predictive.of(ensemble, data, member) for name, data in self.cases.items()}

    def figures(self, answers: dict[str, Predictive]) -> dict:
        """accuracy, nll, brier, ece, number of errors on the test data; mean entropies and mutual information of all cases."""
        figures = classification_figures(answers["test"].probabilities, self.labels)
        return {
            "errors": round((1 - figures.accuracy) * len(self.labels)), **figures.as_dict(),
            "entropy": {name: answer.entropy.mean().item() for name, answer in answers.items()},
            "mutual_information": {name: answer.mutual_information.mean().item() for name, answer in answers.items()},
            "classifiers": answers["test"].classifiers,
        }


class Evaluator:
    """Evaluates a run while it trains; every collected draw is asked once.

    Args:
        supervised: The yardstick, or None.
    """

    def __init__(self, trainer: Trainer, folder: RunFolder, supervised: Ensemble | None):
        self.trainer, self.folder = trainer, folder
        self.questions = Questions(trainer.options, trainer.data.to("cpu"))
        self.supervised = self.questions.figures(self.questions.ask(supervised)) if supervised else None
        self._draws: dict[int, dict[str, Predictive]] = {}  # step -> answers

    def figures(self) -> dict:
        """Of the current ensemble, its single members, the average over collected draws, and the supervised network."""
        questions, discriminators = self.questions, self.trainer.discriminators
        members = [questions.ask(discriminators, member) for member in range(discriminators.members)]
        current = {name: Predictive.mean([answers[name] for answers in members]) for name in questions.cases}
        single = [questions.figures(answers) for answers in members]
        return {
            "test_size": len(questions.labels), "supervised": self.supervised, "current": questions.figures(current),
            "member_errors": [one["errors"] for one in single], "posterior": self._posterior(),
        }

    def _posterior(self) -> dict | None:
        """Averaged over the draws in the store; None before the first."""
        draws = self.folder.store.draws
        steps = {draw["step"] for draw in draws}
        self._draws = {step: answers for step, answers in self._draws.items() if step in steps}
        for draw in draws:
            if draw["step"] not in self._draws:  # new, or collected before this process began
                stored = Posterior(self.folder, "cpu", [draw])
                self._draws[draw["step"]] = self.questions.ask(stored.discriminators)
        if not self._draws:
            return None
        return self.questions.figures({
            name: Predictive.mean([answers[name] for answers in self._draws.values()]) for name in self.questions.cases
        })


def headline(figures: dict) -> dict:
    """The reference's two keys, in percent: semi_supervised_acc of the posterior average, before it of the current ensemble."""
    percent = {"semi_supervised_acc": 100 * (figures["posterior"] or figures["current"])["accuracy"]}
    if figures["supervised"]:
        percent["supervised_acc"] = 100 * figures["supervised"]["accuracy"]
    return percent


def errors_line(figures: dict) -> str:
    """Errors on all test data, one line."""
    named = {"ensemble": figures["current"], "posterior": figures["posterior"], "supervised": figures["supervised"]}
    return f"  errors of {figures['test_size']}: " + ", ".join(
        f"{name} {row['errors']}" for name, row in named.items() if row
    ) + f", single members {min(figures['member_errors'])}..{max(figures['member_errors'])}"


def table(rows: dict[str, dict]) -> str:
    """Lines for people: one classifier a row."""
    cases = next(iter(rows.values()))["entropy"]
    lines = [f"{'':34}errors  accuracy    NLL   Brier    ECE   entropy (of it mutual information): " + ", ".join(cases)]
    for name, row in rows.items():
        entropies = "   ".join(f"{row['entropy'][case]:.3f} ({row['mutual_information'][case]:.3f})" for case in cases)
        lines.append(f"{name:34}{row['errors']:6}    {row['accuracy']:.4f}  {row['nll']:.3f}   {row['brier']:.3f}  {row['ece']:.3f}"
                     f"   {entropies}")
    return "\n".join(lines)


def evaluate(run_folder: Path, device: torch.device | str = "cpu", data_path: Path | None = None) -> str:
    """Asks the posterior of a finished run about all test data; writes RUN/evaluation/: figures.json,
    uncertainty.png, and errors.png over its iterations.

    Args:
        data_path: Where the data is now, if it has moved.

    Returns:
        A table for people.

    Raises:
        ValueError: If the run is not semi-supervised, has no draws, or its data is absent.
    """
    folder = RunFolder.open(run_folder)
    posterior = load_posterior(run_folder, device)
    options = posterior.options
    if not options.semi:
        raise InputError(f"{run_folder} is an unsupervised run and classifies nothing; name a run of run_bgan_semi.py")
    data = folder.load_data(data_path)
    questions = Questions(dataclasses.replace(options, data_path=Path(data_path or options.data_path)), data)
    answers = {}
    supervised = folder.supervised(data, device)
    if supervised is not None:
        answers["supervised"] = questions.ask(supervised)
    answers["one discriminator"] = questions.ask(posterior.discriminators, posterior.discriminators.members - 1)
    if posterior.discriminators.members > 1:
        answers[f"posterior, {posterior.discriminators.members} discriminators"] = questions.ask(posterior.discriminators)
    rows = {name: questions.figures(answer) for name, answer in answers.items()}
    place = folder.path / "evaluation"
    place.mkdir(exist_ok=True)
    write_atomically(place / "figures.json", lambda path: path.write_text(json.dumps(rows, indent=1)))
    probabilities: dict[str, dict[str, Tensor]] = {
        name: {case: one.probabilities for case, one in answer.items()} for name, answer in answers.items()
    }
    curve = error_curve([json.loads(path.read_text()) for path in folder.path.glob("results_*.json")])
    for name, figure in (("uncertainty", uncertainty_figure(probabilities, questions.labels)), ("errors", curve)):
        write_atomically(place / f"{name}.png", lambda path: figure.savefig(path, format="png"))
    return f"{options.dataset}, {options.N} labels, {len(questions.labels)} test data\n{table(rows)}"
