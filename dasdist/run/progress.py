"""How far a run is: blocks, data per second, time left, failures so far."""

import time
from types import TracebackType
from typing import Protocol, runtime_checkable

from tqdm.auto import tqdm

__all__ = ["NoView", "Pace", "Progress", "ProgressView", "TqdmView", "progress_view"]


@runtime_checkable
class ProgressView(Protocol):
    """Shows how far a run is; ``pbar`` takes one in place of True and False.

    The run calls ``start`` once, ``step`` whenever a block is done or has failed, and ``close`` in
    any case.
    """

    def start(self, blocks: int, done: int, data_seconds: float) -> None:
        """Begin to show a run.

        Parameters
        ----------
        blocks : int
            Blocks of the run.
        done : int
            Those that an earlier run has done.
        data_seconds : float
            Seconds of data in all blocks.
        """

    def step(self, done: int, failures: int) -> None:
        """Show how far it is.

        Parameters
        ----------
        done : int
            Blocks behind it: done, now or by an earlier run, or failed.
        failures : int
            Those of them that have failed.
        """

    def close(self) -> None:
        """Leave; also when the run was stopped."""


class Pace:
    """How fast a run is, counted from where it began this time.

    Parameters
    ----------
    blocks, done, data_seconds
        As for :meth:`ProgressView.start`.

    Examples
    --------
    >>> pace = Pace(blocks=10, done=4, data_seconds=3600.0)
    >>> pace.speed(4), pace.left(10)
    (0.0, 0.0)
    """

    def __init__(self, blocks: int, done: int, data_seconds: float) -> None:
        self.blocks = blocks
        self.begin = done
        self.per_block = data_seconds / max(1, blocks)
        self.started = time.monotonic()

    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self.started

    def speed(self, done: int) -> float:
        """Return the seconds of data per second."""
        return (done - self.begin) * self.per_block / max(self.seconds(), 1e-9)

    def left(self, done: int) -> float | None:
        """Return the seconds that the rest will take, None before there is anything to go by."""
        if done >= self.blocks:
            return 0.0
        here = done - self.begin
        return self.seconds() / here * (self.blocks - done) if here else None


class TqdmView:
    """A progress bar for Python and for notebooks."""

    def start(self, blocks: int, done: int, data_seconds: float) -> None:
        """Draw the bar."""
        self._pace = Pace(blocks, done, data_seconds)
        self._bar = tqdm(total=blocks, initial=done, unit="block")

    def step(self, done: int, failures: int) -> None:
        """Move it."""
        self._bar.update(done - self._bar.n)
        note = f"{self._pace.speed(done) / 3600:.2g} h of data/s"
        self._bar.set_postfix_str(note + (f", {failures} failed" if failures else ""))

    def close(self) -> None:
        """Leave it as it is."""
        if hasattr(self, "_bar"):
            self._bar.close()


class NoView:
    """Shows nothing."""

    def start(self, blocks: int, done: int, data_seconds: float) -> None:
        """Show nothing."""

    def step(self, done: int, failures: int) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Show nothing."""


def progress_view(pbar: object) -> ProgressView:
    """Return what ``pbar`` asks for: a bar for True, nothing for False, or itself."""
    if isinstance(pbar, ProgressView):
        return pbar
    return TqdmView() if pbar else NoView()


class Progress:
    """Counts the blocks of a run, and shows them.

    Parameters
    ----------
    blocks : int
        Blocks of the run.
    data_seconds : float
        Seconds of data in it.
    shown : bool or ProgressView
        Whether to show anything, or where: what ``pbar`` is.
    done : int
        Blocks that are behind the run before it begins.
    """

    def __init__(self, blocks: int, data_seconds: float, *, shown: object, done: int = 0) -> None:
        self._view = progress_view(shown)
        self._done = done
        self._view.start(blocks, done, data_seconds)

    def step(self, failures: int) -> None:
        """Count a block that is done or has failed."""
        self._done += 1
        self._view.step(self._done, failures)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._view.close()
