"""TensorBoard's events of a run, which are never worth losing the run for."""

import threading
from collections.abc import Callable
from pathlib import Path

from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

__all__ = ["Events"]


class Events:
    """A SummaryWriter that, where its folder is lost or full, says so once and writes nothing more.

    Args:
        folder: None writes nothing.
        start: Iterations done before; what a killed process wrote beyond them is replaced.
        say: Where the words go.
    """

    def __init__(self, folder: Path | None, start: int, say: Callable[[str], None] = print):
        self.folder, self.say = folder, say
        self.writer: SummaryWriter | None = None
        self._lost = False
        self._hook = threading.excepthook
        threading.excepthook = self._quiet  # its writing thread would print a traceback
        if folder is not None:
            self._try(lambda: setattr(self, "writer", SummaryWriter(folder, purge_step=start + 1)))

    def add_scalar(self, name: str, value: float, iteration: int) -> None:
        if (writer := self.writer) is not None:
            self._try(lambda: writer.add_scalar(name, value, iteration))

    def add_image(self, name: str, image: Tensor, iteration: int) -> None:
        if (writer := self.writer) is not None:
            self._try(lambda: writer.add_image(name, image, iteration))

    def add_histogram(self, name: str, values: Tensor, iteration: int) -> None:
        if (writer := self.writer) is not None:
            self._try(lambda: writer.add_histogram(name, values, iteration))

    def add_hparams(self, settings: dict, figures: dict[str, float]) -> None:
        """A row of TensorBoard's table of settings: what a run was given, and the last of some of its scalars."""
        plain = {name: value if isinstance(value, (bool, int, float, str)) else str(value)
                 for name, value in settings.items()}
        if (writer := self.writer) is not None:
            for part in hparams(plain, figures):
                self._try(lambda part=part: writer.file_writer.add_summary(part))

    def __enter__(self) -> "Events":
        return self

    def __exit__(self, *error) -> None:
        if (writer := self.writer) is not None:
            self._try(writer.close)
        threading.excepthook = self._hook

    def _try(self, write: Callable[[], None]) -> None:
        try:
            write()
        except Exception as error:  # of any kind: the writing thread hands on its own later
            self._lose(error)

    def _lose(self, error: BaseException) -> None:
        self.writer = None
        if not self._lost:
            self._lost = True
            self.say(f"warning: events for TensorBoard are no longer written to {self.folder} ({error}); the run goes "
                     "on")

    def _quiet(self, failure) -> None:
        if failure.thread is not None and "tensorboard" in type(failure.thread).__module__:
            self._lose(failure.exc_value)
        else:
            self._hook(failure)
