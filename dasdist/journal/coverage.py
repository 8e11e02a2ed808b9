"""What of a recording a run covered: by time and channel, and why the rest is missing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.geometry import Axis, Block, Region, SegmentGrid, block_at
from dasdist.report import Failure, Partial, Skipped
from dasdist.units import count_of

__all__ = ["Coverage", "Hole", "cover", "holes"]


@dataclass(frozen=True, slots=True)
class Hole:
    """A rectangle of time and fibre that has no results.

    Parameters
    ----------
    reason : {"gap", "short", "end", "failed", "missing", "left"}
        Nothing was recorded; too short for a patch; no patch reaches the start or end of a segment;
        a block was given up; it was done but for this, which needs samples that are missing; not
        computed yet.
    start, stop : str
        First and last time, ISO.
    first, last : float
        First and last channel, in the unit of the coordinate.
    note : str
        More about it.
    """

    reason: str
    start: str
    stop: str
    first: float
    last: float
    note: str = ""


def holes(
    grids: Sequence[SegmentGrid],
    skipped: Sequence[Skipped],
    failures: Iterable[Failure],
    done: NDArray[np.bool_],
    partial: Mapping[int, Partial],
) -> list[Hole]:
    """List what has no results, by time.

    Parameters
    ----------
    grids : sequence of SegmentGrid
        Segments that were planned.
    skipped : sequence of Skipped
        Segments that were not.
    failures : iterable of Failure
        Blocks that were given up.
    done : ndarray of bool
        For each block of the plan, whether it is done.
    partial : mapping of int to Partial
        What blocks that are done could not compute, by index.
    """
    failed = {failure.block: failure for failure in failures}
    found = [*_gaps(grids, skipped)]
    found += [_hole("short", s.time, s.distance, s.reason) for s in skipped]
    for grid in grids:
        found += _ends_of_segment(grid)
        found += _of_segment(grid, failed, done)
    found += _in_part(grids, partial)
    return sorted(found, key=lambda hole: (hole.start, hole.first))


def _in_part(grids: Sequence[SegmentGrid], partial: Mapping[int, Partial]) -> Iterator[Hole]:
    for block, lacking in partial.items():
        held = block_at(grids, block)
        reasons = "; ".join(dict.fromkeys(missing.what for missing in lacking.missing))
        for region in lacking.uncovered:
            time, distance = _axes_of(held, region)
            yield _hole("missing", time, distance, f"of block {block}: {reasons}")


def _axes_of(block: Block, region: Region) -> tuple[Axis, Axis]:
    """Return the coordinates of some outputs of a block's core."""
    core, grid = block.core, block.grid
    time, distance = region.time.shift(core.time.start), region.distance.shift(core.distance.start)
    return (
        grid.out_time.slice(time.start, time.stop),
        grid.out_distance.slice(distance.start, distance.stop),
    )


def _gaps(grids: Sequence[SegmentGrid], skipped: Sequence[Skipped]) -> Iterator[Hole]:
    axes = [(g.time, g.distance) for g in grids] + [(s.time, s.distance) for s in skipped]
    by_time = sorted({(t.start, t.step, t.size): (t, d) for t, d in axes}.values(), key=_start)
    for (before, distance), (after, _) in pairwise(by_time):
        between = (after.start - before.start) / before.step - (before.size - 1)
        if between > 1:
            start, stop = before.value(before.size - 1), after.value(0)
            yield Hole("gap", str(start), str(stop), *_span(distance), "nothing was recorded")


def _start(axes: tuple[Axis, Axis]) -> Any:
    return axes[0].start


def _of_segment(
    grid: SegmentGrid, failed: dict[int, Failure], done: NDArray[np.bool_]
) -> Iterator[Hole]:
    numbers = range(grid.first_block, grid.first_block + len(grid))
    for index in (i for i in numbers if i in failed):
        core = grid.block(index - grid.first_block).core
        time = grid.out_time.slice(core.time.start, core.time.stop)
        distance = grid.out_distance.slice(core.distance.start, core.distance.stop)
        yield _hole("failed", time, distance, f"block {index} failed ({failed[index].kind})")
    given_up = np.isin(np.arange(numbers.start, numbers.stop), list(failed))
    left = ~done[numbers.start : numbers.stop] & ~given_up
    rows: NDArray[np.bool_] = np.any(left.reshape(grid.blocks), axis=1)
    for first, last in _runs(rows):
        stop = min(last * grid.core[0], grid.shape[0])
        time = grid.out_time.slice(first * grid.core[0], stop)
        count = int(left.reshape(grid.blocks)[first:last].sum())
        yield _hole(
            "left",
            time,
            grid.out_distance,
            f"{count_of(count, 'block is', 'blocks are')} not computed",
        )


def _ends_of_segment(grid: SegmentGrid) -> Iterator[Hole]:
    """Yield what the outputs of no patch cover, along time; and along the fibre."""
    why = "no window of the model reaches it"
    for axis in (0, 1):
        recorded = (grid.time, grid.distance)[axis]
        before, after = map(round, grid.unreached[axis])
        for first, last in ((0, before), (recorded.size - after, recorded.size)):
            if first < last:
                part = recorded.slice(first, last)
                time, distance = (part, grid.distance) if axis == 0 else (grid.time, part)
                yield _hole("end", time, distance, why)


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _hole(reason: str, time: Axis, distance: Axis, note: str) -> Hole:
    times = (str(time.value(0)), str(time.value(time.size - 1)))
    return Hole(reason, *times, *_span(distance), note)


def _span(distance: Axis) -> tuple[float, float]:
    return float(distance.value(0)), float(distance.value(distance.size - 1))


# ---------------------------------------------------------------- as a picture


@dataclass(frozen=True, slots=True, eq=False)
class Coverage:
    """Shares of a picture's cells, each of shape (along the fibre, along time).

    Parameters
    ----------
    recorded : ndarray of float
        Share of the cell that the plan covers.
    done, failed : ndarray of float
        Share of that which is done, and which was given up.
    start, stop : str
        Times of the picture's sides.
    first, last : float
        Channels of its top and bottom.
    """

    recorded: NDArray[np.float64]
    done: NDArray[np.float64]
    failed: NDArray[np.float64]
    start: str
    stop: str
    first: float
    last: float

    def __str__(self) -> str:
        cells = range(self.done.shape[1])
        lines = ["".join(self._cell((i, j)) for j in cells) for i in range(len(self.done))]
        ends = [f"{self.first:,.0f}", *[""] * len(lines[1:-1]), f"{self.last:,.0f}"][: len(lines)]
        margin = max(map(len, ends))
        start, stop = self.start[:19], self.stop[:19]
        width = max(self.done.shape[1] - len(start), len(stop) + 1)
        rows = [f"{end.rjust(margin)} {line}" for end, line in zip(ends, lines, strict=True)]
        return "\n".join([*rows, " " * (margin + 1) + start + stop.rjust(width)])

    def _cell(self, at: tuple[int, ...]) -> str:
        if self.recorded[at] <= 0:
            return " "
        if self.failed[at] > 0:
            return "x"
        shades = ".:-=+*#@"  # any terminal has them
        return shades[min(int(self.done[at] * (len(shades) - 1) + 1e-9), len(shades) - 1)]


def cover(
    grids: Sequence[SegmentGrid],
    done: NDArray[np.bool_],
    failed: NDArray[np.bool_],
    shape: tuple[int, int],
    partial: Mapping[int, Partial] = MappingProxyType({}),
) -> Coverage:
    """Draw which blocks are done.

    Parameters
    ----------
    grids : sequence of SegmentGrid
        The segments.
    done, failed : ndarray of bool
        For each block.
    shape : tuple of int
        Cells along the fibre and along time.
    partial : mapping of int to Partial
        What blocks that are done could not compute, by index.
    """
    times = _edges([_ends(g.out_time) for g in grids], shape[1])
    channels = _edges([_ends(g.out_distance) for g in grids], shape[0])
    area, of_done, of_failed = (np.zeros(shape) for _ in range(3))
    for grid in grids:
        blocks = slice(grid.first_block, grid.first_block + len(grid))
        along_time = _overlaps(grid.out_time, grid.core[0], times)
        along_fibre = _overlaps(grid.out_distance, grid.core[1], channels)
        for sums, mask in ((of_done, done), (of_failed, failed), (area, np.ones_like(done))):
            sums += along_fibre.T @ mask[blocks].reshape(grid.blocks).T.astype(float) @ along_time
    for block, lacking in partial.items():
        for region in lacking.uncovered:
            lost = _of_region(block_at(grids, block), region, times, channels)
            of_failed += lost
            of_done -= lost
    cell = (times[1] - times[0]) * (channels[1] - channels[0])
    share = np.divide(1, area, out=np.zeros(shape), where=area > 0)
    start, stop = (str(np.datetime64(int(t), "ns")) for t in (times[0], times[-1]))
    return Coverage(
        area / cell, of_done * share, of_failed * share, start, stop, channels[0], channels[-1]
    )


def _of_region(
    block: Block, region: Region, times: NDArray[np.float64], channels: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the area of some outputs of a block's core in each cell."""
    time, distance = _axes_of(block, region)
    along_fibre = _overlaps(distance, distance.size, channels)
    return along_fibre.T @ _overlaps(time, time.size, times)


def _ends(axis: Axis) -> tuple[float, float]:
    low, high = sorted((float(axis.start), float(axis.start + axis.size * axis.step)))
    return low, high


def _edges(ends: list[tuple[float, float]], cells: int) -> NDArray[np.float64]:
    return np.linspace(min(low for low, _ in ends), max(high for _, high in ends), cells + 1)


def _overlaps(axis: Axis, core: int, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the length that each block along an axis has in each cell: (blocks, cells)."""
    cuts = np.minimum(np.arange(0, axis.size + core, core), axis.size)
    values = float(axis.start) + cuts[: -(-axis.size // core) + 1] * float(axis.step)
    low, high = np.minimum(values[:-1], values[1:]), np.maximum(values[:-1], values[1:])
    shared: NDArray[np.float64] = np.minimum(high[:, None], edges[1:])
    shared -= np.maximum(low[:, None], edges[:-1])
    return shared.clip(min=0)
