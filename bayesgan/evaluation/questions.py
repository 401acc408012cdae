"""What a classifier is asked: all test data, and data of no class at all."""

from torch import Tensor

from bayesgan.data import some, to_float
from bayesgan.ensemble import Ensemble
from bayesgan.evaluation.classification import Predictive, classification_figures
from bayesgan.evaluation.uncertainty import shuffled

__all__ = ["Answers", "Questions"]

FOREIGN = 2000  # at most so many foreign data of a kind

Answers = dict[str, Predictive]  # case -> class probabilities


class Questions:
    """Test data, the same with pixels shuffled, and foreign data.

    Args:
        test: (n, ...) as it is stored.
        labels: (n,) of the test data.
        foreign: Name -> data of no class of the training set.

    Attributes:
        cases: Name -> float data (n, ...); the first is "test".
    """

    def __init__(self, test: Tensor, labels: Tensor, foreign: dict[str, Tensor]):
        self.labels = labels
        test = to_float(test)
        self.cases = {"test": test, "shuffled pixels": shuffled(some(test, FOREIGN))}
        self.cases |= {name: to_float(some(data, FOREIGN)) for name, data in foreign.items()}

    def ask(self, ensemble: Ensemble, member: int | None = None) -> Answers:
        """What the members of an ensemble, or one of them, answer on every case."""
        return {name: Predictive.of(ensemble, data, member) for name, data in self.cases.items()}

    def mean(self, several: list[Answers]) -> Answers:
        """The average over the classifiers of all of them."""
        return {name: Predictive.mean([answers[name] for answers in several]) for name in self.cases}

    def figures(self, answers: Answers) -> dict:
        """Errors, accuracy, nll, brier, ece on the test data; mean entropy and mutual information of all cases."""
        figures = classification_figures(answers["test"].probabilities, self.labels)
        return {
            "errors": round((1 - figures.accuracy) * len(self.labels)), **figures.as_dict(),
            "entropy": {name: answer.entropy.mean().item() for name, answer in answers.items()},
            "mutual_information": {name: answer.mutual_information.mean().item() for name, answer in answers.items()},
            "classifiers": answers["test"].classifiers,
        }
