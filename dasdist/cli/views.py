"""How far a command is, drawn on a terminal, printed line by line, or as JSON."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from dasdist.run.progress import Pace
from dasdist.units import duration, times_real_time

__all__ = ["JsonView", "LineView", "RichView", "counter"]

_LINE_SECONDS = 30.0  # between two lines in a log
_JSON_SECONDS = 5.0


class RichView:
    """A bar on a terminal.

    Parameters
    ----------
    console : Console
        The terminal.
    """

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("blocks  {task.fields[note]}"),
            console=console,
        )
        self._task: TaskID | None = None

    def start(self, blocks: int, done: int, data_seconds: float) -> None:
        """Draw the bar."""
        self._pace = Pace(blocks, done, data_seconds)
        self._task = self._progress.add_task("", total=blocks, completed=done, note="")
        self._progress.start()

    def step(self, done: int, failures: int) -> None:
        """Move it."""
        if self._task is not None:
            note = note_of(self._pace, done, failures)
            self._progress.update(self._task, completed=done, note=note)

    def close(self) -> None:
        """Leave it as it is."""
        self._progress.stop()


def note_of(pace: Pace, done: int, failures: int) -> str:
    """Return speed, time left and failures."""
    failed = f", {failures} failed" if failures else ""
    return f"{times_real_time(pace.speed(done))}, {duration(pace.left(done))} left{failed}"


class LineView:
    """Lines for a log that nobody looks at.

    Parameters
    ----------
    say : callable
        Takes a line.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def start(self, blocks: int, done: int, data_seconds: float) -> None:
        """Say what there is to do."""
        self._pace = Pace(blocks, done, data_seconds)
        self._last = time.monotonic()
        earlier = f", {done} of them done earlier" if done else ""
        self._say(f"{blocks} blocks, {data_seconds / 3600:.2f} h of data{earlier}")

    def step(self, done: int, failures: int) -> None:
        """Say how far it is, now and then."""
        now = time.monotonic()
        if now - self._last >= _LINE_SECONDS:
            self._last = now
            self._say(
                f"{done} of {self._pace.blocks} blocks, {note_of(self._pace, done, failures)}"
            )

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
        self._pace: Pace | None = None
        self._last = -float("inf")
        self._at = (0, 0)
        self._told = False

    def start(self, blocks: int, done: int, data_seconds: float) -> None:
        """Tell what there is to do."""
        self._pace = Pace(blocks, done, data_seconds)
        self._last = time.monotonic()
        self._at = (done, 0)
        self._told = True
        self._event("start", blocks=blocks, done=done, data_seconds=data_seconds)

    def step(self, done: int, failures: int) -> None:
        """Tell how far it is, now and then."""
        self._at = (done, failures)
        self._told = False
        if time.monotonic() - self._last >= _JSON_SECONDS:
            self._tell()

    def close(self) -> None:
        """Tell how far it came."""
        if not self._told:
            self._tell()

    def _tell(self) -> None:
        if self._pace is None:
            return
        done, failures = self._at
        left, speed = self._pace.left(done), self._pace.speed(done)
        self._event(
            "progress",
            blocks=self._pace.blocks,
            done=done,
            failures=failures,
            times_real_time=round(speed, 3),
            data_hours_per_second=round(speed / 3600, 6),
            seconds_left=None if left is None else round(left, 1),
        )
        self._last = time.monotonic()
        self._told = True


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
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
