"""What a run folder says of itself, in the words and numbers of a report; what is missing is said, never raised."""

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bayesgan.basics.errors import InputError
from bayesgan.basics.locks import writer_of
from bayesgan.options import script_name
from bayesgan.options.flags import as_flag
from bayesgan.options.resolve import changed
from bayesgan.store import RunFolder
from bayesgan.store.results import Curve

__all__ = ["Story", "command_of", "read_any", "told"]


@dataclass
class Story:
    """Of one run.

    Attributes:
        folder: The run.
        name: Of the folder.
        done: Iterations.
        seconds: From the last command to the last results; None before the first.
        minutes: Of all commands, where every one of them has ended, as a text; else empty.
        results: Every results_<iter>.json.
        settings: Flags of what is not the default, as a shell takes them.
        resampled: Folder of each resampling of the draws there are.
        scores: As `score` left them, by row; empty before, and once there are newer draws.
        missing: Sentences about what there is not, with the command that makes it.
    """

    folder: RunFolder
    name: str
    done: int
    seconds: float | None
    minutes: str
    results: list[dict]
    settings: list[str]
    resampled: list[Path]
    scores: dict
    missing: list[str] = field(default_factory=list)

    @cached_property
    def curves(self) -> dict[str, Curve]:
        """TensorBoard's scalars by name, without what a resumed run replaced."""
        return scalars(self.folder.path / "tensorboard")

    @property
    def last(self) -> dict:
        """The newest results, empty before the first."""
        return self.results[-1] if self.results else {}

    def attempt(self, what: str, make: Callable[[], object]):
        """What `make` gives; where that is bad input, None, and a sentence in `missing`."""
        try:
            return make()
        except InputError as error:
            self.missing.append(f"{what}: {error}")
            return None


def told(path: Path) -> Story:
    """Everything that is cheap to know of a run, complete or not.

    Raises:
        ValueError: If it is no run folder, or its config.json is damaged.
    """
    folder = RunFolder.open(path)
    results, options = folder.results(), folder.options()
    started = datetime.fromisoformat(folder.config["commands"][-1]["started"]).timestamp()
    after = [one["timestamp"] for one in results if one["timestamp"] >= started]
    try:
        newest = folder.newest_step
    except InputError:  # which is said where draws are read
        newest = 0
    done = max(newest, results[-1]["iteration"] if results else 0)
    spent = [sum(one["seconds"].values()) for one in folder.config["commands"] if isinstance(one.get("seconds"), dict)]
    whole = len(spent) == len(folder.config["commands"])
    story = Story(
        folder, path.resolve().name, done, after[-1] - started if after else None,
        f"{sum(spent) / 60:.1f}" if whole else "", results,
        [as_flag(name, value) for name, value in changed(options).items()], [],
        read_any(folder.path / "scores" / "scores.json"),
    )
    run = shlex.quote(str(folder.path))
    if story.scores.get("newest_draw", newest) != newest:
        story.scores = {}
        story.missing.append(f"scores are of older draws and left out; python -m bayesgan score {run} measures again")
    for file in sorted(folder.path.glob("resampled/*/diagnostics.json")):
        if read_any(file).get("newest_draw", newest) == newest:
            story.resampled.append(file.parent)
        else:
            story.missing.append(f"{file.parent} is of older draws and left out; python -m bayesgan resample {run} "
                                 "makes new ones")
    if folder.exported:
        story.missing.append("this is an exported folder: the draws, without the course of training")
    elif not folder.ended and (writer := writer_of(folder.path)):
        story.missing.append(f"the run is being trained by {writer}: {done} of {options.train_iter} iterations are "
                             "saved")
    elif not folder.ended:
        story.missing.append(f"the run is not complete: {done} of {options.train_iter} iterations are saved; "
                             f"{command_of(options.semi)} --resume {run} goes on")
    return story


def command_of(semi: bool) -> str:
    """The script that a run is of, as it is typed."""
    return f"python {script_name(semi)}"


def read_any(path: Path) -> dict:
    """A JSON file that the report can do without: empty where it is absent or damaged."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def scalars(folder: Path) -> dict[str, Curve]:
    """What TensorBoard would show of a folder; nothing of one that cannot be read."""
    try:
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
        events.Reload()
        return {name: [(event.step, event.value) for event in events.Scalars(name)]
                for name in events.Tags()["scalars"]}
    except Exception:  # of many kinds, for events are never worth a report
        return {}
