"""The detector: picks in the order of time go in, and come out with their events.

::

    time   |------ window ------|------ window ------|------ window ------|
                     looked at: |=====================+======|
                                 events that begin here      and end here, at the latest

An event belongs to the window of its first pick.  Its other picks lie within the longest duration,
and are there when the window is looked at; those of the next window are not offered again.  Windows
are those of the clock: events do not depend on how the stream is cut into batches, and what is held
is a window and a duration of picks.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dasdist.errors import InvalidInput
from dasdist.events.association import find_events
from dasdist.events.found import Picks
from dasdist.events.options import EventOptions
from dasdist.events.row import EventRow, event_row

__all__ = ["Batch", "Decided", "decide"]

WINDOW = 120_000_000_000  # nanoseconds
_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Batch:
    """Picks as columns of equal length, in the order of time.

    Parameters
    ----------
    time : ndarray of int64
        Nanoseconds since 1970.
    distance : ndarray of float64
        Metres along the fibre.
    channel : ndarray of int64
        Of the recording.
    phase : ndarray of int8
        `dasdist.events.found.P`, `S`, or anything else.
    confidence : ndarray of float64
        Heights of the peaks.
    """

    time: NDArray[np.int64]
    distance: NDArray[np.float64]
    channel: NDArray[np.int64]
    phase: NDArray[np.int8]
    confidence: NDArray[np.float64]

    def columns(self) -> tuple[NDArray[np.generic], ...]:
        """Return the columns in their order."""
        return (self.time, self.distance, self.channel, self.phase, self.confidence)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> "Batch":
        return Batch(*(column[rows] for column in self.columns()))  # type: ignore[arg-type]

    def and_then(self, others: list["Batch"]) -> "Batch":
        """Return these picks and others that follow."""
        each = zip(self.columns(), *(other.columns() for other in others), strict=True)
        return Batch(*(np.concatenate(columns) for columns in each))


@dataclass(frozen=True, slots=True)
class Decided:
    """What was found out about the next picks of the stream.

    Parameters
    ----------
    event : ndarray of int64
        The event of each; -1 of those that are incoherent.
    residual : ndarray of float64
        Seconds by which each is later than its event's curve; NaN where there is none.
    events : list of EventRow
        Events that begin with these picks.
    """

    event: NDArray[np.int64]
    residual: NDArray[np.float64]
    events: list[EventRow]


@dataclass(frozen=True, slots=True)
class _Held:
    """Picks that are not decided yet, and what is known of them."""

    picks: Batch
    event: NDArray[np.int64]
    residual: NDArray[np.float64]

    def joined(self, batches: list[Batch]) -> "_Held":
        more = sum(batch.time.size for batch in batches)
        return _Held(
            self.picks.and_then(batches),
            np.concatenate([self.event, np.full(more, -1, dtype=np.int64)]),
            np.concatenate([self.residual, np.full(more, np.nan)]),
        )

    def after(self, count: int) -> "_Held":
        return _Held(self.picks[count:], self.event[count:], self.residual[count:])


def decide(batches: Iterable[Batch], options: EventOptions, fibre: int) -> Iterator[Decided]:
    """Find the events of a stream of picks.

    Parameters
    ----------
    batches : iterable of Batch
        Picks in the order of time, cut anywhere.
    options : EventOptions
        What the detector is told.
    fibre : int
        Channels of the fibre.

    Yields
    ------
    Decided
        About the picks in their order, some at a time.

    Raises
    ------
    InvalidInput
        If picks are not in the order of time.
    """
    none = np.empty(0, dtype=np.int64)
    empty = Batch(none, none.astype(float), none, none.astype(np.int8), none.astype(float))
    held, count = _Held(empty, none, none.astype(float)), 0
    waiting: list[Batch] = []
    last, ready = np.iinfo(np.int64).min, 0
    for batch in batches:
        if not batch.time.size:
            continue
        if batch.time[0] < last or np.any(np.diff(batch.time) < 0):
            raise InvalidInput("The picks are not in the order of time; sort them by it first.")
        last = int(batch.time[-1])
        if not held.picks.time.size and not waiting:
            ready = _ready(int(batch.time[0]), options)
        waiting.append(batch)
        if last >= ready:
            held, waiting = held.joined(waiting), []
            while held.picks.time.size and last >= (ready := _ready(held.picks.time[0], options)):
                held, decided = _window(held, options, fibre, count)
                count += len(decided.events)
                yield decided
    held = held.joined(waiting)
    while held.picks.time.size:
        held, decided = _window(held, options, fibre, count)
        count += len(decided.events)
        yield decided


def _ready(first: int, options: EventOptions) -> int:
    """Return the time from which on the window of a pick can be looked at."""
    return (int(first) // WINDOW + 1) * WINDOW + round(options.duration * _SECOND)


def _window(held: _Held, options: EventOptions, fibre: int, count: int) -> tuple[_Held, Decided]:
    """Decide about the picks of the first window, and return what is held of the next."""
    time = held.picks.time
    start = int(time[0]) // WINDOW * WINDOW
    ours, seen = np.searchsorted(time, [start + WINDOW, _ready(start, options)])
    free = np.flatnonzero(held.event[:seen] < 0)
    batch = held.picks[free]
    picks = Picks(
        (batch.time - start) / _SECOND,
        batch.distance,
        batch.channel - (batch.channel.min() if free.size else 0),
        batch.phase,
    )
    found = find_events(picks, options, options.least_channels(fibre))
    found.sort(key=lambda one: one.rows.min())
    mine = [one for one in found if free[one.rows.min()] < ours]
    event, residual = held.event.copy(), held.residual.copy()
    rows: list[EventRow] = []
    for number, one in enumerate(mine, count):
        event[free[one.rows]] = number
        residual[free[one.rows]] = one.off
        rows.append(event_row(number, one, batch, start, fibre))
    left = _Held(held.picks, event, residual).after(int(ours))
    return left, Decided(event[:ours], residual[:ours], rows)
