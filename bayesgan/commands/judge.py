"""The classifier that `score` looks through: trained once for a data set and kept, `python -m bayesgan judge`."""

import argparse
import dataclasses
import shlex
from pathlib import Path

import torch

from bayesgan.basics.devices import pick_device
from bayesgan.basics.errors import InputError
from bayesgan.basics.files import user_cache
from bayesgan.basics.locks import only_writer
from bayesgan.data import DATA_SETS, DataOptions, Dataset
from bayesgan.evaluation.extractors import Extractor, data_checksum, read_judge, train_judge
from bayesgan.options import Options, add_flags, check_given, data_options, flag_words, given_flags

__all__ = ["add_arguments", "judge_data", "kept_judge", "lacks", "run"]

STEPS = 3000  # minibatches of 128: a minute and a half of one core
SOURCE = [field.name for field in dataclasses.fields(DataOptions)]


def judge_data(options: Options) -> Dataset:
    """What the judge of a data set learns: all of it with all labels, or the set that its channels are images of."""
    if of_channels := DATA_SETS[options.dataset].channels:
        options = dataclasses.replace(options, dataset=of_channels, classes=None)
    data = DATA_SETS[options.dataset].load(data_options(options))
    return data if options.classes is None else data.only(options.classes)


def lacks(data: Dataset) -> str:
    """Why no judge is trained on a data set, with the remedy; "" where one is."""
    if not data.is_images:
        return f"{data.name} holds vectors, no images; name an image set, such as mnist"
    if data.shape[0] != 1:
        return (f"{data.name} is in colour, which a small classifier is no judge of; score it with --weights FILE, "
                "Inception's")
    if data.train_labels is None or data.test_labels is None or len(data.test) == 0:
        return f"{data.name} has no labels to learn, or no test part; give it both"
    return ""


def kept_judge(
    data: Dataset, folder: Path | None = None, steps: int = STEPS, seed: int = 0, *, anew: bool = False,
    command: str = "", device: torch.device | str = "cpu",
) -> Extractor:
    """The judge of a labelled grey image set, trained at the first call.

    Args:
        folder: Where judges are kept; None is the user's cache folder.
        anew: Train also where there is one.
        command: That asked for it, kept with it.

    Raises:
        ValueError: If there can be none, or what is kept is damaged.
    """
    if why := lacks(data):
        raise InputError(why)
    folder = folder or user_cache() / "judges"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{data.name}_{'x'.join(map(str, data.shape))}_{data_checksum(data)[:12]}.safetensors"
    with only_writer(folder, "filled", wait=True):
        if anew or not path.exists():
            train_judge(data, path, steps, seed, command, device)
    return read_judge(path, data, device)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_flags(parser, Options, only=["dataset", "classes", "device", *SOURCE])
    parser.add_argument("--steps", type=int, default=STEPS, help=f"minibatches of training (default: {STEPS})")
    parser.add_argument("--seed", type=int, default=0, help="of initial weights and minibatches (default: 0)")
    parser.add_argument("--judges", type=Path, help="folder to keep it in (default: judges, in the user's cache)")


def run(arguments: argparse.Namespace) -> None:
    """Trains a judge, also where there is one, and says what it is worth."""
    given = given_flags(arguments, Options)
    check_given(given)
    if arguments.steps < 1:
        raise InputError(f"--steps must be at least 1, got {arguments.steps}; the default is {STEPS}")
    options = Options(**given)
    typed = ["python", "-m", "bayesgan", "judge"]
    typed += flag_words({name: value for name, value in vars(arguments).items() if name != "command"})
    judge = kept_judge(judge_data(options), arguments.judges, arguments.steps, arguments.seed, anew=True,
                       command=shlex.join(typed), device=pick_device(options.device))
    about = judge.about
    print(f"{judge.name} is right on {about['accuracy']:.2%} of {about['test_images']} test images; kept in "
          f"{about['file']}, SHA-256 {about['sha256'][:16]}")
