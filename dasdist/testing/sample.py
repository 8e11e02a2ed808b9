"""A small recording of two segments, and what a model that knows nothing says of it."""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.callbacks.base import Accumulator, Context
from dasdist.geometry import Axis, Block, Patch, PatchGrid, Ratio, Region, SegmentGrid, Span

__all__ = ["KEYS", "accumulated", "context_of", "patches_of", "same", "sample_grids"]

KEYS = ("P", "S")
"""Annotation keys of the sample."""

_SECOND = Fraction(10**9)


def sample_grids(lengths: Sequence[int] = (400, 260)) -> tuple[SegmentGrid, ...]:
    """Return segments of so many samples x 11 channels, in blocks of 90 x 4 outputs."""
    grids: list[SegmentGrid] = []
    blocks = 0
    for index, samples in enumerate(lengths):
        rows = PatchGrid(samples, window=60, shift=30, out=60, covers=(0, 60))
        columns = PatchGrid(11, window=4, shift=3, out=4, covers=(0, 4))
        start = Fraction(1_700_000_000 + 3600 * index) * _SECOND
        grid = SegmentGrid(
            index=index,
            first_block=blocks,
            recorded=Region(Span(1000 * index, 1000 * index + samples), Span(0, 11)),
            time=Axis("time", start, _SECOND / 100, samples, is_time=True),
            distance=Axis("distance", Fraction(5), Fraction(41, 10), 11, is_time=False),
            ratios=(Ratio(1, 1), Ratio(1, 1)),
            rows=rows,
            columns=columns,
            channelwise=False,
            settling=0,
            pick_halo=30,
            core=(90, 4),
        )
        grids.append(grid)
        blocks += len(grid)
    return tuple(grids)


def context_of(grids: Sequence[SegmentGrid], keys: Sequence[str] = KEYS, **options: Any) -> Context:
    """Return what a callback learns of a run on these segments."""
    names = ("time", "distance")
    return Context(tuple(keys), tuple(grids), names, {"model": "sample"}, **options)


def patches_of(block: Block, keys: Sequence[str] = KEYS) -> Iterator[Patch]:
    """Yield the patches of a block, in grid order; of the same patch always the same values."""
    grid, rows, columns = block.grid, block.rows, block.columns
    for row, column in product(range(rows.start, rows.stop), range(columns.start, columns.stop)):
        random = np.random.default_rng([grid.index, row, column])
        shape = (grid.rows.out, grid.columns.out)
        yield Patch(
            row=row,
            column=column,
            sample=grid.rows.out_start(row),
            channel=grid.columns.out_start(column),
            inset=0,
            width=grid.columns.out,
            annotations={key: random.random(shape, dtype=np.float32) for key in keys},
        )


def accumulated(accumulator: Accumulator, block: Block, keys: Sequence[str] = KEYS) -> Accumulator:
    """Give an accumulator all patches of its block."""
    for patch in patches_of(block, keys):
        accumulator.add(patch)
    return accumulator


def same(one: Any, other: Any) -> bool:
    """Return whether two results are equal: tables, arrays, mappings, sequences, plain values."""
    if hasattr(one, "equals"):  # of pandas, xarray, xdas and pyarrow
        return bool(one.equals(other))
    if isinstance(one, np.ndarray):
        return _same_array(one, other)
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, Sequence) and not isinstance(one, str | bytes):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _same_array(one: NDArray[Any], other: Any) -> bool:
    found = np.asarray(other)
    if one.shape != found.shape or one.dtype != found.dtype:
        return False
    return bool(np.array_equal(one, found, equal_nan=one.dtype.kind == "f"))
