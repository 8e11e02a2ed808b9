"""Windows that are not computed because samples behind them are missing.

::

    recorded    . . . . . x . . . . . . . . . . . .      x is missing
    windows     [---0---]                                computed
                    [===1===]                            left out
                        [===2===]                        left out: the filter still feels x
                            [---3---]                    computed

A window is left out if anything that its input depends on is missing: its own samples, those that
the filter needs to settle before them and those that resampling reaches.  That does not depend on
how blocks are cut, and so neither do the windows that remain.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dasdist.geometry import Block, Patch, Region, Span
from dasdist.geometry.rectangles import rectangles
from dasdist.sources.absence import Absence

__all__ = ["LeftOut"]


@dataclass(frozen=True, slots=True, eq=False)
class LeftOut:
    """Which windows of a block are not computed.

    Parameters
    ----------
    block : Block
        The block.
    channelwise : bool
        Whether the model treats every channel on its own, so that windows are of single channels;
        else windows are whole patches.
    touched : ndarray of bool, shape (rows, n)
        For each row of patches of the block, and each channel of ``block.inputs`` if `channelwise`,
        else each column of patches: whether that window is left out.
    """

    block: Block
    channelwise: bool
    touched: NDArray[np.bool_]

    @classmethod
    def none(cls, block: Block, channelwise: bool) -> "LeftOut":
        """Return that all windows are computed."""
        windows = block.inputs.distance.size if channelwise else block.columns.size
        return cls(block, channelwise, np.zeros((block.rows.size, windows), dtype=np.bool_))

    @classmethod
    def of(cls, absences: Sequence[Absence], block: Block, channelwise: bool) -> "LeftOut":
        """Return the windows that missing samples touch.

        Parameters
        ----------
        absences : sequence of Absence
            What is missing of the samples that the block reads.
        block : Block
            The block.
        channelwise : bool
            Whether windows are of single channels.
        """
        touched = _touched(absences, block)
        grid, origin = block.grid, block.read.distance.start - block.grid.recorded.distance.start
        if channelwise:
            channels = range(block.inputs.distance.start, block.inputs.distance.stop)
            behind = [grid.channels_behind(channel, channel + 1) for channel in channels]
        else:
            columns = range(block.columns.start, block.columns.stop)
            spans = (grid.columns.input_span(column, column + 1) for column in columns)
            behind = [grid.channels_behind(*span) for span in spans]
        windows = [touched[:, span.shift(-origin).slice].any(axis=1) for span in behind]
        return cls(block, channelwise, np.stack(windows, axis=1))

    @property
    def any(self) -> bool:
        """Whether any window is left out."""
        return bool(self.touched.any())

    @property
    def whole(self) -> bool:
        """Whether no window is computed that fills any output of the block's core."""
        first, last = self.block.grid.rows.touching(
            self.block.core.time.start, self.block.core.time.stop
        )
        start = self.block.rows.start
        return bool(self.touched[max(first - start, 0) : last - start].all())

    def skips(self, row: int, column: int | None = None) -> bool:
        """Return whether nothing is computed of a row of patches, or of one patch."""
        of_row = self.touched[row - self.block.rows.start]
        if column is not None and not self.channelwise:
            return bool(of_row[column - self.block.columns.start])
        return bool(of_row.all())

    def computed(self, patch: Patch, channels: int) -> NDArray[np.bool_]:
        """Return which channels of a patch, or part of one, are computed."""
        of_row = self.touched[patch.row - self.block.rows.start]
        if not self.channelwise:
            return np.full(channels, not of_row[patch.column - self.block.columns.start])
        chosen: NDArray[np.bool_] = ~of_row[self._windows(patch, channels)]
        return chosen

    def _windows(self, patch: Patch, channels: int) -> slice:
        columns = self.block.grid.columns
        first = columns.start(patch.column) + columns.covers[0] + patch.inset
        first -= self.block.inputs.distance.start
        return slice(first, first + channels)

    def without(self, patch: Patch, channels: NDArray[np.bool_]) -> "LeftOut":
        """Return the same, but that some channels of a patch are left out, too."""
        touched = self.touched.copy()
        of_row = touched[patch.row - self.block.rows.start]
        if self.channelwise:
            of_row[self._windows(patch, channels.size)] |= channels
        else:
            of_row[patch.column - self.block.columns.start] |= channels.any()
        return replace(self, touched=touched)

    def uncovered(self) -> tuple[Region, ...]:
        """Return the outputs of the core that no computed window fills, though some window could.

        They are counted from the first output of the core.
        """
        core = self.block.core
        lost, times, channels = self._lost()
        found = []
        for region in rectangles(lost):
            time, distance = region.time, region.distance
            found.append(
                Region(
                    Span(times[time.start], times[time.stop]),
                    Span(channels[distance.start], channels[distance.stop]),
                )
            )
        return tuple(_within(found, core))

    def _lost(self) -> tuple[NDArray[np.bool_], list[int], list[int]]:
        """Return which cells of time and fibre are lost, and the outputs at which cells begin."""
        block, grid = self.block, self.block.grid
        rows = [grid.rows.out_start(r) for r in range(block.rows.start, block.rows.stop)]
        times = sorted({*rows, *(first + grid.rows.out for first in rows)})
        computed, channels, reached = self._along_fibre()
        filled = np.zeros((len(times) - 1, computed.shape[1]), dtype=np.bool_)
        could = np.zeros(len(times) - 1, dtype=np.bool_)
        for number, first in enumerate(rows):
            cells = slice(times.index(first), times.index(first + grid.rows.out))
            filled[cells] |= computed[number]
            could[cells] = True
        return could[:, np.newaxis] & reached & ~filled, times, channels

    def _along_fibre(self) -> tuple[NDArray[np.bool_], list[int], NDArray[np.bool_]]:
        """Return what each row of windows computes of each cell along the fibre."""
        block, columns = self.block, self.block.grid.columns
        if self.channelwise:
            first = block.inputs.distance.start - columns.covers[0]
            channels = [*range(first, first + self.touched.shape[1] + 1)]
            return ~self.touched, channels, np.ones(self.touched.shape[1], dtype=np.bool_)
        starts = [columns.out_start(c) for c in range(block.columns.start, block.columns.stop)]
        channels = sorted({*starts, *(first + columns.out for first in starts)})
        computed = np.zeros((len(self.touched), len(channels) - 1), dtype=np.bool_)
        reached = np.zeros(len(channels) - 1, dtype=np.bool_)
        for number, first in enumerate(starts):
            cells = slice(channels.index(first), channels.index(first + columns.out))
            computed[:, cells] |= ~self.touched[:, number, np.newaxis]
            reached[cells] = True
        return computed, channels, reached


def _touched(absences: Sequence[Absence], block: Block) -> NDArray[np.bool_]:
    """Return for rows of patches and channels that are read whether missing samples touch them."""
    grid, origin = block.grid, block.read.time.start - block.grid.recorded.time.start
    spans = [
        grid.samples_behind(row).shift(-origin) for row in range(block.rows.start, block.rows.stop)
    ]
    touched = np.zeros((len(spans), block.read.distance.size), dtype=np.bool_)
    for absence in absences:
        time, channels = absence.region.time, absence.region.distance.slice
        for row, span in enumerate(spans):
            low, high = max(span.start, time.start), min(span.stop, time.stop)
            if low >= high:
                continue
            if absence.mask is None:
                touched[row, channels] = True
            else:
                held = absence.mask[low - time.start : high - time.start]
                touched[row, channels] |= held.any(axis=0)
    return touched


def _within(regions: Sequence[Region], core: Region) -> Iterator[Region]:
    for region in regions:
        time = Span(max(region.time.start, core.time.start), min(region.time.stop, core.time.stop))
        distance = Span(
            max(region.distance.start, core.distance.start),
            min(region.distance.stop, core.distance.stop),
        )
        if time.size > 0 and distance.size > 0:
            yield Region(time.shift(-core.time.start), distance.shift(-core.distance.start))
