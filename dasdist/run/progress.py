"""A progress bar: blocks, seconds of data per second, time left."""

import time
from types import TracebackType

from tqdm.auto import tqdm

__all__ = ["Progress"]


class Progress:
    """Shows how far a run is, in a terminal and in a notebook.

    Parameters
    ----------
    blocks : int
        Blocks of the run.
    data_seconds : float
        Seconds of data in it.
    shown : bool
        Whether to show anything.
    """

    def __init__(self, blocks: int, data_seconds: float, *, shown: bool) -> None:
        self._per_block = data_seconds / blocks
        self._started = time.monotonic()
        self._bar = tqdm(total=blocks, unit="block", disable=not shown)

    def step(self, failures: int) -> None:
        """Count a finished block."""
        self._bar.update(1)
        elapsed = max(time.monotonic() - self._started, 1e-9)
        note = f"{self._bar.n * self._per_block / elapsed:,.0f} s of data/s"
        self._bar.set_postfix_str(note + (f", {failures} failed" if failures else ""))

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()
