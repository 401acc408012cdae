"""How far a run is: a bar on a terminal, plain lines elsewhere."""

import sys
import time

from tqdm import tqdm

from bayesgan.training.algorithm import Losses

__all__ = ["Progress"]


class Progress:
    """Iterations per second, time left, mean losses, temperature."""

    def __init__(self, start: int, total: int):
        self.start, self.total, self.begun = start, total, time.perf_counter()
        self.bar = tqdm(total=total, initial=start, unit="it", dynamic_ncols=True) if sys.stderr.isatty() else None

    def show(self, done: int, losses: Losses, temperature: float, taught: float | None = None) -> None:
        """A new state of the bar, or a line.

        Args:
            taught: Share of the unlabelled images that the teacher is sure of, if there is one.
        """
        text = (f"discriminators {losses.discriminators.mean():.3f}  generators {losses.generators.mean():.3f}  "
                f"temperature {temperature:.3g}" + (f"  teacher sure of {taught:.0%}" if taught is not None else ""))
        if self.bar is not None:
            self.bar.set_postfix_str(text, refresh=False)
            self.bar.update(done - self.bar.n)
            return
        rate = (done - self.start) / (time.perf_counter() - self.begun)
        minutes, seconds = divmod(int((self.total - done) / rate), 60)
        print(f"{done}/{self.total}  {rate:.2f} it/s  {minutes}:{seconds:02d} left  {text}", flush=True)

    def say(self, text: str) -> None:
        """A line of its own, above the bar."""
        if self.bar is not None:
            tqdm.write(text)
        else:
            print(text, flush=True)

    def close(self) -> None:
        """Leaves the bar as it is."""
        if self.bar is not None:
            self.bar.close()
