"""Read and resample a block slice by slice, so that it never stands in memory as it was recorded.

::

    recorded     ...... tail | slice ...............|
    resampled    ===|== seam ==|======== bulk ======|     tail: what the next samples still need

Every resampled sample is the very one that resampling the whole block gives: only where its inputs
are looked for differs.  Missing samples are filled as `dasdist.sources.absence.filled` does for a
whole block, with one difference that no result shows: a channel of which nothing was there so far
is filled with its first sample when that comes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.amplitude import is_wide
from dasdist.geometry import Block, Ratio, Region, Span
from dasdist.geometry.slices import slices_of
from dasdist.inference.stopwatch import Stopwatch
from dasdist.signal import resample_span
from dasdist.signal.spread import Spread
from dasdist.sources import Selection
from dasdist.sources.absence import Absence, Reading, filled

__all__ = ["read_resampled"]


def read_resampled(
    selection: Selection, block: Block, rows: int, spread: Spread, stage: Stopwatch
) -> tuple[NDArray[Any], Sequence[Absence]]:
    """Read a block and resample it along time.

    Parameters
    ----------
    selection : Selection
        The slice of the recording that the block reads.
    block : Block
        The block; its channels are not resampled.
    rows : int
        Samples in time that are read at once.
    spread : callable
        Applies a function to each of many pieces, perhaps on several cores.
    stage : Stopwatch
        Times reading and resampling.

    Returns
    -------
    values : ndarray of float32 or float64, shape ``block.inputs.shape``
        Resampled samples.
    absences : sequence of Absence
        What is missing of the recorded ones, counted from the first that the block reads.
    """
    resampling = _Resampling.of(block, selection.dtype, spread)
    filling = _Filling.of(selection)
    absences: list[Absence] = []
    for span in slices_of(block, rows):
        with stage("read"):
            reading = selection.rows(span).reading()
            absences += [absence.shift(span.start) for absence in reading.absences]
            values, late = filling.fill(reading)
        with stage("preprocess"):
            resampling.fill_before(late, values[0])
            resampling.take(values, span)
    return resampling.out, absences


@dataclass(slots=True)
class _Filling:
    """What stands in for missing samples: the last that was there on their channel.

    Parameters
    ----------
    last : ndarray, shape (channels,)
        The last sample of each channel.
    known : ndarray of bool, shape (channels,)
        Whether any was there.
    """

    last: NDArray[Any]
    known: NDArray[np.bool_]

    @classmethod
    def of(cls, selection: Selection) -> "_Filling":
        channels = selection.region.distance.size
        return cls(np.zeros(channels, selection.dtype), np.zeros(channels, dtype=np.bool_))

    def fill(self, reading: Reading) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return a slice without holes, and the channels that were not there until now."""
        before = self.known
        if reading.absences:
            values = filled(self._after_the_last(reading))[1:]
            self.known = before | ~reading.missing.all(axis=0)
        else:
            values = reading.values
            self.known = np.ones_like(before)
        self.last = values[-1].copy()
        return values, self.known & ~before

    def _after_the_last(self, reading: Reading) -> Reading:
        """Return a slice with the last samples of the one before on top."""
        values = np.concatenate([self.last[np.newaxis], reading.values])
        absences = [absence.shift(1) for absence in reading.absences]
        if not self.known.all():
            row = Region(Span(0, 1), Span(0, self.known.size))
            absences.append(Absence(row, "not there so far", mask=~self.known[np.newaxis]))
        return Reading(values, absences, own=True)


@dataclass(slots=True)
class _Resampling:
    """A block that is resampled slice by slice.

    Parameters
    ----------
    ratio : Ratio
        Resampling factors.
    wanted : Span
        Resampled samples of the block, counted in its segment.
    first, size : int
        The first recorded sample that the block reads, counted in its segment, and how many.
    spread : callable
        Applies a function to each of many pieces.
    out : ndarray, shape (samples, channels)
        What is resampled so far.
    at : int
        The first sample that is not yet.
    tail : ndarray, shape (samples, channels)
        What it needs of the slices before.
    """

    ratio: Ratio
    wanted: Span
    first: int
    size: int
    spread: Spread
    out: NDArray[Any]
    at: int
    tail: NDArray[Any]

    @classmethod
    def of(cls, block: Block, dtype: np.dtype[Any], spread: Spread) -> "_Resampling":
        grid, wanted = block.grid, block.inputs.time
        channels = block.read.distance.size
        kept = np.float64 if is_wide(dtype) else np.float32
        return cls(
            ratio=grid.ratios[0],
            wanted=wanted,
            first=block.read.time.start - grid.recorded.time.start,
            size=block.read.time.size,
            spread=spread,
            out=np.empty((wanted.size, channels), kept),
            at=wanted.start,
            tail=np.empty((0, channels), dtype),
        )

    def fill_before(self, channels: NDArray[np.bool_], values: NDArray[Any]) -> None:
        """Let channels that were not there until now have been what they begin with."""
        if channels.any():
            self.out[: self.at - self.wanted.start, channels] = values[channels]
            self.tail[:, channels] = values[channels]

    def take(self, values: NDArray[Any], span: Span) -> None:
        """Resample as far as the next slice allows."""
        start, end = self.first + span.start, self.first + span.stop
        last = span.stop == self.size
        stop = self.wanted.stop if last else min(self.ratio.finished(end), self.wanted.stop)
        if stop > self.at:
            bulk = min(self._first_within(start), stop)
            if bulk > self.at:  # across the border
                needed = min(self.ratio.reached(self.at, bulk)[1], end)
                seam = np.concatenate([self.tail, values[: max(0, needed - start)]])
                self._resample(seam, self.at, bulk, start - len(self.tail))
            begin = -(-start // self.ratio.down) * self.ratio.down
            self._resample(values[begin - start :], bulk, stop, begin)
            self.at = stop
        self._keep(values, start, end)

    def _first_within(self, start: int) -> int:
        """Return the first sample from `at` on that needs none before a recorded one."""
        if not len(self.tail):
            return self.at
        sample = max(self.at, self.ratio.finished(start))
        while self.ratio.first_needed(sample) < start:
            sample += 1
        return sample

    def _resample(self, x: NDArray[Any], start: int, stop: int, first: int) -> None:
        if stop > start:
            here = slice(start - self.wanted.start, stop - self.wanted.start)
            self.out[here] = resample_span(x, start, stop, first, self.ratio, 0, self.spread)

    def _keep(self, values: NDArray[Any], start: int, end: int) -> None:
        """Keep what the next sample needs of what was read."""
        needed = max(self.ratio.first_needed(self.at), start - len(self.tail))
        if needed >= start:
            self.tail = values[needed - start :].copy()
        else:
            self.tail = np.concatenate([self.tail[needed - start :], values])
