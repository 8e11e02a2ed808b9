"""Which blocks of a plan an earlier plan has computed, on a recording that changed since.

::

    then    [ a.nc | b.nc | c.nc ]      [ e.nc | f.nc ]       two segments
    now     [ a.nc | B.nc | c.nc | d.nc | e.nc | f.nc ]       b.nc was repaired, d.nc came late
    blocks    same   again  same   new    only where the windows happen to lie as they did

A block has the result that it had if its outputs have the same times and channels, its patches
start at the same times, and it reads the same samples.  Along a segment all blocks but those near
its ends lie alike, so that few are compared one by one.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.geometry.blocks import SegmentGrid, Span
from dasdist.geometry.patches import PatchGrid

__all__ = ["NOT_THERE", "Carried", "Earlier", "KeptSamples", "carry"]

NOT_THERE = np.iinfo(np.int64).min
"""Offset of samples that an earlier recording did not have."""

_Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class KeptSamples:
    """Which samples of a recording an earlier one had.

    Parameters
    ----------
    starts : ndarray of int64, shape (n + 1,)
        Where stretches of samples begin, and the last ends.
    offsets : ndarray of int64, shape (n,)
        Indices of now less indices of then; :data:`NOT_THERE` for samples that are others now.
    """

    starts: _Ints
    offsets: _Ints

    @classmethod
    def first(cls, until: int, samples: int) -> "KeptSamples":
        """Return that a recording has kept its first samples, and perhaps others came."""
        return cls(np.array([0, until, max(until, samples)]), np.array([0, NOT_THERE]))

    def others(self, span: Span, offset: int) -> _Ints:
        """Return the stretches in a span that were not there with this offset, shape (n, 2)."""
        low = int(np.searchsorted(self.starts, span.start, side="right")) - 1
        high = int(np.searchsorted(self.starts, span.stop, side="left"))
        other = self.offsets[low:high] != offset
        edges = np.flatnonzero(np.diff(np.concatenate([[False], other, [False]]).astype(np.int8)))
        found: _Ints = self.starts[low + edges.reshape(-1, 2)]
        return found.clip(span.start, span.stop)


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """Where the blocks of a plan come from.

    Parameters
    ----------
    same : ndarray of int64, shape (blocks,)
        The block of the earlier plan that has the same result; -1 if there is none.
    alike : ndarray of int64, shape (blocks,)
        The block of the earlier plan with the same outputs and windows, whether or not it read the
        same samples; -1 if there is none.
    """

    same: _Ints
    alike: _Ints


def carry(old: Sequence[SegmentGrid], new: Sequence[SegmentGrid], kept: KeptSamples) -> Carried:
    """Find the blocks of an earlier plan in a new one.

    Parameters
    ----------
    old, new : sequence of SegmentGrid
        The plans.
    kept : KeptSamples
        Which samples of the recording of now were there then.
    """
    blocks = sum(map(len, new))
    same, alike = np.full(blocks, -1, dtype=np.int64), np.full(blocks, -1, dtype=np.int64)
    earlier = Earlier(old)
    for grid in new:
        for before in earlier.around(grid):
            if before.core[1] != grid.core[1]:
                continue
            rows, were, offset = _alike(before, grid)
            numbers, held = _blocks_of(grid, rows), _blocks_of(before, were)
            alike[numbers] = held
            fine = ~np.isin(rows, _rows_reading(grid, kept.others(grid.recorded.time, offset)))
            fine = np.repeat(fine, grid.blocks[1])
            same[numbers[fine]] = held[fine]
    return Carried(same, alike)


class Earlier:
    """The segments of a plan, found by kind and time."""

    def __init__(self, grids: Sequence[SegmentGrid]) -> None:
        self._kinds: dict[tuple[Any, ...], list[SegmentGrid]] = {}
        for grid in sorted(grids, key=lambda grid: grid.time.start):
            self._kinds.setdefault(_kind(grid), []).append(grid)
        self._longest = {
            kind: max(g.time.size for g in held) * held[0].time.step
            for kind, held in self._kinds.items()
        }

    def of_kind(self, grid: SegmentGrid) -> Sequence[SegmentGrid]:
        """Return the segments that could have blocks of this one."""
        return self._kinds.get(_kind(grid), ())

    def around(self, grid: SegmentGrid) -> list[SegmentGrid]:
        """Return those of them that share some time with it."""
        held, time = self.of_kind(grid), grid.time
        low, high = time.start, time.start + time.size * time.step
        first = bisect_right(
            held, low - self._longest.get(_kind(grid), 0), key=lambda before: before.time.start
        )
        last = bisect_left(held, high, key=lambda before: before.time.start)
        return [g for g in held[first:last] if g.time.start + g.time.size * g.time.step > low]


def _kind(grid: SegmentGrid) -> tuple[Any, ...]:
    rows = grid.rows.window, grid.rows.shift, grid.rows.out, grid.rows.covers
    fibre = grid.distance, grid.recorded.distance, grid.columns, grid.channelwise
    return grid.time.step, grid.ratios, rows, fibre, grid.settling, grid.pick_halo, grid.around


def _blocks_of(grid: SegmentGrid, rows: _Ints) -> _Ints:
    columns = np.arange(grid.blocks[1])
    return (grid.first_block + rows[:, None] * grid.blocks[1] + columns).ravel()


# ---------------------------------------------------------------- rows of blocks that lie alike


def _alike(before: SegmentGrid, grid: SegmentGrid) -> tuple[_Ints, _Ints, int]:
    """Return the rows of blocks that two segments share, and the offset of their samples."""
    nothing = np.empty(0, dtype=np.int64)
    later = (grid.time.start - before.time.start) / grid.time.step
    resampled = later * Fraction(grid.ratios[0].up, grid.ratios[0].down)
    outputs = resampled / grid.rows.stride
    if {later.denominator, resampled.denominator, outputs.denominator} != {1}:
        return nothing, nothing, 0
    by = _By(int(later), int(resampled), int(outputs))
    free, ends = _shared(before, grid, by)
    rows = [(row, was) for row, was in ends if _same(before, was, grid, row, by)]
    now = np.array([row for row, _ in rows] + [*free], dtype=np.int64)
    down = by.outputs // grid.core[0]
    were = np.array([was for _, was in rows] + [row + down for row in free], dtype=np.int64)
    return now, were, grid.recorded.time.start - before.recorded.time.start - by.samples


@dataclass(frozen=True, slots=True)
class _By:
    """By how much a segment begins later than another."""

    samples: int
    resampled: int
    outputs: int


def _shared(before: SegmentGrid, grid: SegmentGrid, by: _By) -> tuple[range, list[tuple[int, int]]]:
    """Return the rows in which all is alike, and pairs of rows that must be compared.

    Rows far from the ends of both segments are alike, all or none of them.
    """
    core, was_core, rows, were_rows = grid.core[0], before.core[0], grid.blocks[0], before.blocks[0]
    if core != was_core:  # then only rows at an end can be the same
        pairs = [(row, divmod(row * core + by.outputs, was_core)) for row in {0, rows - 1}]
        return range(0), [(r, was) for r, (was, left) in pairs if not left and 0 <= was < were_rows]
    down, left = divmod(by.outputs, core)
    if left:
        return range(0), []
    shared = range(max(0, -down), min(rows, were_rows - down))
    (a, b), (c, d) = _free_rows(grid), _free_rows(before)
    first = max(shared.start, a, c - down)
    free = range(first, max(first, min(shared.stop, b, d - down)))
    ends = [*range(shared.start, min(free.start, shared.stop)), *range(free.stop, shared.stop)]
    alike = by.resampled % grid.rows.shift == 0
    return free if alike else range(0), [(row, row + down) for row in ends]


def _free_rows(grid: SegmentGrid) -> tuple[int, int]:
    """Return the range of rows that no end of the segment has any effect on."""
    first, last = 0, grid.blocks[0]
    while first < last and not _is_free(grid, first):
        first += 1
    while last > first and not _is_free(grid, last - 1):
        last -= 1
    return first, last


def _is_free(grid: SegmentGrid, row: int) -> bool:
    core, patches, inputs, read = grid.along_time(row)
    start = grid.settled(core, patches).start
    return (
        core.start >= grid.pick_halo
        and core.stop + grid.pick_halo <= grid.shape[0]
        and core.size == grid.core[0]
        and 0 < patches.start
        and patches.stop < grid.rows.count
        and start - grid.settling == inputs.start
        and read.start > 0
        and read.stop < grid.time.size
    )


def _same(before: SegmentGrid, was: int, grid: SegmentGrid, row: int, by: _By) -> bool:
    core, patches, inputs, read = grid.along_time(row)
    was_core, were_patches, was_inputs, was_read = before.along_time(was)
    return (
        (core.shift(by.outputs), inputs.shift(by.resampled), read.shift(by.samples))
        == (was_core, was_inputs, was_read)
        and patches.size == were_patches.size
        and _starts(grid.rows, patches, by) == _starts(before.rows, were_patches, _By(0, 0, 0))
    )


def _starts(rows: PatchGrid, patches: Span, by: _By) -> list[tuple[int, int]]:
    return [
        (rows.start(i) + by.resampled, rows.out_start(i) + by.outputs)
        for i in range(patches.start, patches.stop)
    ]


# ---------------------------------------------------------------- rows of blocks that read


def _rows_reading(grid: SegmentGrid, stretches: _Ints) -> _Ints:
    """Return the rows of blocks that read anything in stretches of the recording's samples."""
    inside = stretches - grid.recorded.time.start
    rows = range(grid.blocks[0])
    if len(inside) * 20 < len(rows):
        found = [
            np.arange(
                bisect_right(rows, low, key=lambda row: grid.along_time(row)[3].stop),
                bisect_left(rows, high, key=lambda row: grid.along_time(row)[3].start),
            )
            for low, high in inside.tolist()
        ]
        return np.concatenate([np.empty(0, dtype=np.int64), *found])
    read = np.array([(s.start, s.stop) for s in (grid.along_time(row)[3] for row in rows)])
    # the first stretch that ends behind where a row begins to read
    next_one = np.searchsorted(inside[:, 1], read[:, 0], side="right")
    begins = np.append(inside[:, 0], np.iinfo(np.int64).max)[next_one]
    found_rows: _Ints = np.flatnonzero(begins < read[:, 1])
    return found_rows
