"""What the samples of an hour say of each channel, minute by minute.

::

    time          12:58     12:59     13:00     13:01
    minutes    ...|---------|---------|---------|---------|...     cut where the clock says so
    hours      ...----- 12 -----------|------ 13 ---------...
    read by        one task            another one

A minute is always measured whole, whatever a task reads at once, so that nothing depends on how the
work is split.  Counts and extremes of minutes add up to those of an hour without rounding, and the
level of an hour is the median of those of its minutes: neither a lorry nor an earthquake moves it.
Where a gap cuts a minute, each part counts as one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.amplitude import is_wide
from dasdist.geometry import Axis, Region, Span
from dasdist.sources import Selection

__all__ = ["HOUR", "HourTask", "Measured", "measure", "minutes_of", "task_of"]

MINUTE = 60 * 10**9  # ns
HOUR = 60 * MINUTE

_SLAB = 2**19
"""Values that are sorted at a time: as many as a processor's cache holds."""


@dataclass(frozen=True, slots=True)
class HourTask:
    """Some channels of what a segment has of an hour.

    Parameters
    ----------
    hour : int
        Hours since 1970.
    selection : Selection
        Its samples, perhaps with the channel before, which the first one is compared with.
    minutes : tuple of Span
        Samples of each minute, counted from the first of the selection.
    before : bool
        Whether the first channel is that one.
    """

    hour: int
    selection: Selection
    minutes: tuple[Span, ...]
    before: bool

    @property
    def channels(self) -> Span:
        """The channels that are measured, counted in the recording."""
        held = self.selection.region.distance
        return Span(held.start + self.before, held.stop)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What was measured of some channels in some minutes of an hour.

    Parameters
    ----------
    hour : int
        Hours since 1970.
    channels : Span
        Which, counted in the recording.
    samples : int
        How many there are of each channel, missing ones included.
    missing, ends : ndarray of int64, shape (channels,)
        Samples that are missing, and that are at an end of their integer type.
    low, high, step : ndarray of float64, shape (channels,)
        Least and greatest sample, and the least deviation from the median of a minute that is not
        zero; infinite where there is none.
    at_low, at_high : ndarray of int64, shape (channels,)
        Samples that are as low or high as these.
    constant, twin : ndarray of int64, shape (channels,)
        Minutes in which all samples are equal, or those of the channel before, bit for bit.
    levels : ndarray of float32, shape (minutes, channels)
        1.4826 times the median absolute deviation of each minute; NaN where all are missing.
    """

    hour: int
    channels: Span
    samples: int
    missing: NDArray[np.int64]
    ends: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    step: NDArray[np.float64]
    at_low: NDArray[np.int64]
    at_high: NDArray[np.int64]
    constant: NDArray[np.int64]
    twin: NDArray[np.int64]
    levels: NDArray[np.float32]

    def part(self, channels: Span) -> "Measured":
        """Return the same of some of the channels."""
        here = channels.shift(-self.channels.start).slice
        facts = {
            one.name: getattr(self, one.name)[..., here]
            for one in fields(self)
            if one.name not in ("hour", "channels", "samples")
        }
        return replace(self, channels=channels, **facts)

    def joined(self, other: "Measured") -> "Measured":
        """Return what was measured of the same channels and hour in other minutes as well."""
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        return Measured(
            self.hour,
            self.channels,
            self.samples + other.samples,
            self.missing + other.missing,
            self.ends + other.ends,
            low,
            high,
            np.minimum(self.step, other.step),
            self.at_low * (self.low == low) + other.at_low * (other.low == low),
            self.at_high * (self.high == high) + other.at_high * (other.high == high),
            self.constant + other.constant,
            self.twin + other.twin,
            np.concatenate([self.levels, other.levels]),
        )


def minutes_of(axis: Axis) -> Iterator[tuple[int, list[Span]]]:
    """Yield the hours of a segment, each with the samples of its minutes.

    Examples
    --------
    >>> axis = Axis("time", Fraction(HOUR - 2 * 10**10), Fraction(10**10), 9, is_time=True)
    >>> [(hour, [(span.start, span.stop) for span in spans]) for hour, spans in minutes_of(axis)]
    [(0, [(0, 2)]), (1, [(2, 8), (8, 9)])]
    """
    first = int(axis.value(0).astype(np.int64)) // MINUTE
    last = int(axis.value(axis.size - 1).astype(np.int64)) // MINUTE
    hour, spans, start = first // 60, list[Span](), 0
    for minute in range(first, last + 1):
        # times are rounded half up: the first that is not before the next minute
        bound = Fraction(2 * (minute + 1) * MINUTE - 1, 2)
        stop = min(axis.size, -(-(bound - axis.start) // axis.step))
        if minute // 60 != hour:
            yield hour, spans
            hour, spans = minute // 60, []
        if stop > start:
            spans.append(Span(start, int(stop)))
            start = int(stop)
    yield hour, spans


def measure(task: HourTask) -> Measured:
    """Read the minutes of an hour one by one, and measure their channels."""
    found = [_minute(task, span) for span in task.minutes]
    whole = found[0]
    for minute in found[1:]:
        whole = whole.joined(minute)
    return whole


def _minute(task: HourTask, span: Span) -> Measured:
    reading = task.selection.rows(span).reading()
    missing = reading.missing if reading.absences else None
    values = reading.values
    width = max(1, _SLAB // span.size)
    first, channels = int(task.before), task.channels
    parts = []
    for low in range(first, values.shape[1], width):
        high = min(low + width, values.shape[1])
        begin = max(0, low - 1)
        columns = np.ascontiguousarray(values[:, begin:high].T)
        lost = None if missing is None else missing[:, begin:high].T
        parts.append(_slab(columns, lost, skip=low - begin))
    facts = [np.concatenate(column) for column in zip(*parts, strict=True)]
    names = [one.name for one in fields(Measured)][3:]
    facts[-1] = facts[-1][np.newaxis].astype(np.float32)
    return Measured(task.hour, channels, span.size, **dict(zip(names, facts, strict=True)))


def _slab(
    columns: NDArray[Any], lost: NDArray[np.bool_] | None, skip: int
) -> tuple[NDArray[Any], ...]:
    """Measure the rows of an array, each a channel; `skip` of them are only neighbours."""
    twin = np.zeros(len(columns) - skip, dtype=np.int64)
    same = (columns[1:].view(np.uint8) == columns[:-1].view(np.uint8)).all(axis=1)
    twin[len(twin) - len(same) :] = same
    if lost is not None and lost[skip:].any():
        facts = [
            _channel(row[~gone]) for row, gone in zip(columns[skip:], lost[skip:], strict=True)
        ]
        found = [np.array(column) for column in zip(*facts, strict=True)]
        gone = lost[skip:].sum(axis=1)
        twin &= gone < columns.shape[1]
    else:
        found, gone = list(_rows(columns[skip:])), np.zeros(len(twin), dtype=np.int64)
    ends, low, high, step, at_low, at_high, constant, level = found
    return gone.astype(np.int64), ends, low, high, step, at_low, at_high, constant, twin, level


def _channel(samples: NDArray[Any]) -> tuple[Any, ...]:
    """Measure one channel, of which nothing may be left."""
    if not samples.size:
        return 0, np.inf, -np.inf, np.inf, 0, 0, 0, np.nan
    return tuple(found[0] for found in _rows(samples[np.newaxis]))


def _rows(rows: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    low, high = rows.min(axis=1), rows.max(axis=1)
    at_low, at_high = (rows == low[:, None]).sum(axis=1), (rows == high[:, None]).sum(axis=1)
    ends = np.zeros(len(rows), dtype=np.int64)
    if rows.dtype.kind in "iu":
        bounds = np.iinfo(rows.dtype)
        ends += at_low * (low == bounds.min) + at_high * (high == bounds.max)
    exact: Any = rows.astype(np.float64 if is_wide(rows.dtype) else np.float32)
    off = np.abs(exact - np.median(exact, axis=1)[:, None])
    step = np.where(off > 0, off, np.inf).min(axis=1)
    level = 1.4826 * np.median(off, axis=1, overwrite_input=True)
    # one sample alone is neither constant nor clipped
    constant = ((low == high) & (rows.shape[1] > 1)).astype(np.int64)
    ends[low == high] = 0
    return ends, low.astype(float), high.astype(float), step, at_low, at_high, constant, level


def task_of(
    hour: int, recorded: Region, minutes: list[Span], channels: Span, select: Any
) -> HourTask:
    """Return what reads some channels of an hour of a segment."""
    first = minutes[0].start
    before = channels.start > recorded.distance.start
    rows = Span(first, minutes[-1].stop).shift(recorded.time.start)
    region = Region(rows, Span(channels.start - before, channels.stop))
    return HourTask(hour, select(region), tuple(s.shift(-first) for s in minutes), before)
