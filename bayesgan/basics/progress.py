"""How far something is: a bar on a terminal or in a notebook, plain lines elsewhere."""

import sys
import time

from tqdm.auto import tqdm

from bayesgan.basics.ranks import rank_here

__all__ = ["Progress"]


class Progress:
    """Shows what is done of `total`, how fast, and how long it will take.

    Args:
        start: What was done before.
        unit: Of what is counted.
        every: Seconds between two lines, where lines are printed.
    """

    def __init__(self, total: int, start: int = 0, unit: str = "it", every: float = 0.0):
        self.start, self.total, self.unit, self.every = start, total, unit, every
        self.begun = self.last = time.perf_counter()
        drawn = rank_here() == 0 and ((sys.stderr is not None and sys.stderr.isatty()) or "ipykernel" in sys.modules)
        self.bar = tqdm(total=total, initial=start, unit=unit, dynamic_ncols=True) if drawn else None

    def show(self, done: int, text: str) -> None:
        """A new state of the bar, or a line."""
        if self.bar is not None:
            self.bar.set_postfix_str(text, refresh=False)
            self.bar.update(done - self.bar.n)
            return
        now = time.perf_counter()
        if now - self.last < self.every and done < self.total:
            return
        self.last = now
        rate = (done - self.start) / (now - self.begun)
        minutes, seconds = divmod(int((self.total - done) / rate), 60)
        print(f"{done}/{self.total}  {rate:.2f} {self.unit}/s  {minutes}:{seconds:02d} left  {text}", flush=True)

    def say(self, text: str) -> None:
        """A line of its own, above the bar."""
        if self.bar is not None:
            self.bar.write(text)
        else:
            print(text, flush=True)

    def close(self) -> None:
        """Leaves the bar as it is."""
        if self.bar is not None:
            self.bar.close()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error) -> None:
        self.close()
