"""How far a command is, drawn on a terminal, printed line by line, or as JSON."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as RichProgress

from dasdist.run.progress import Progress
from dasdist.run.progress_bar import note_of
from dasdist.units import count_of

__all__ = ["JsonView", "LineView", "counter"]

_LINE_SECONDS = 30.0  # between two lines in a log
_JSON_SECONDS = 5.0


class LineView:
    """Lines for a log that nobody looks at.

    Parameters
    ----------
    say : callable
        Takes a line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._last = -float("inf")

    def start(self, progress: Progress) -> None:
        """Say what there is to do."""
        self._last = time.monotonic()
        earlier = f", {progress.ended} of them done earlier" if progress.ended else ""
        self._say(
            f"{count_of(progress.blocks, 'block')}, {progress.data_seconds / 3600:.2f} h of "
            f"data{earlier}"
        )

    def update(self, progress: Progress) -> None:
        """Say how far it is, now and then."""
        now = time.monotonic()
        if now - self._last >= _LINE_SECONDS:
            self._last = now
            self._say(f"{progress.share:.1%}, {note_of(progress)}")

    def close(self) -> None:
        """Say nothing more."""


class JsonView:
    """Objects for programs: ``start``, and ``progress`` every few seconds and at the end.

    Parameters
    ----------
    event : callable
        Takes the name of an event and its facts.
    """

    def __init__(self, event: Callable[..., None]) -> None:
        self._event = event
        self._last = -float("inf")
        self._told: Progress | None = None
        self._latest: Progress | None = None

    def start(self, progress: Progress) -> None:
        """Tell what there is to do."""
        self._told = progress
        self._last = time.monotonic()
        self._event(
            "start",
            blocks=progress.blocks,
            done=progress.ended,
            data_seconds=progress.data_seconds,
        )

    def update(self, progress: Progress) -> None:
        """Tell how far it is, now and then."""
        told = self._told
        if told and (told.share, told.failed) == (progress.share, progress.failed):
            return  # nothing is new but the time
        self._latest = progress
        if time.monotonic() - self._last >= _JSON_SECONDS:
            self._tell(progress)

    def close(self) -> None:
        """Tell how far it came."""
        if self._latest is not None:
            self._tell(self._latest)

    def _tell(self, progress: Progress) -> None:
        left = progress.seconds_left
        self._event(
            "progress",
            blocks=progress.blocks,
            done=progress.ended,
            failures=progress.failed,
            share=round(progress.share, 6),
            times_real_time=round(progress.speed, 3),
            data_hours_per_second=round(progress.speed / 3600, 6),
            seconds_left=None if left is None else round(left, 1),
        )
        self._last = time.monotonic()
        self._told, self._latest = progress, None


@contextmanager
def counter(
    unit: str, console: Console, event: Callable[..., None] | None, *, hidden: bool
) -> Iterator[Callable[[int, int], None]]:
    """Yield what shows how many of some things are done: on a terminal, or as JSON."""
    last = -float("inf")

    def tell(done: int, total: int) -> None:
        nonlocal last
        if event and (done == total or time.monotonic() - last >= _JSON_SECONDS):
            last = time.monotonic()
            event("progress", unit=unit, done=done, total=total)

    if event or hidden or not console.is_terminal:
        yield tell
        return
    columns: list[Any] = [BarColumn(), MofNCompleteColumn(), TextColumn(unit)]
    with RichProgress(*columns, console=console) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
