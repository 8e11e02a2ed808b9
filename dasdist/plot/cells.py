"""The pixels of a picture along one axis, and which samples or channels fall into each.

::

    cells      |-------|-------|-------|-------|-------|
    samples     . . . . . .               . . . . . .
    bins        0       4     6  (none)   ...

Where samples are further apart than cells, a cell takes the sample that it lies in.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray

from dasdist.geometry import Axis

__all__ = ["Bins", "Cells", "bins", "cells_over"]

_ROUNDING = 1e-6  # of a cell or sample


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells of equal width along time or the fibre.

    Parameters
    ----------
    origin : Fraction
        Where the first begins: nanoseconds since 1970, or the unit of the channels' positions.
    width : Fraction
        Of each, in the same unit.
    count : int
        How many there are.
    """

    origin: Fraction
    width: Fraction
    count: int

    @property
    def end(self) -> Fraction:
        """Where the last ends."""
        return self.origin + self.width * self.count

    def centres(self) -> NDArray[np.float64]:
        """Return the middle of each, counted from the origin."""
        return np.asarray((np.arange(self.count) + 0.5) * float(self.width))


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """Which samples fall into which of some neighbouring cells.

    Parameters
    ----------
    first : int
        The first of the cells.
    starts, stops : ndarray of int64
        For each cell, its first sample and the one after its last; never none.
    """

    first: int
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]

    @property
    def cells(self) -> slice:
        """The cells."""
        return slice(self.first, self.first + self.starts.size)


def cells_over(axes: list[Axis], most: int) -> Cells:
    """Return cells over some stretches and what lies between them.

    Parameters
    ----------
    axes : list of Axis
        At least one; each may run backwards.
    most : int
        How many cells there may be; fewer where samples are fewer.  Cells are whole multiples of
        the narrowest spacing.

    Examples
    --------
    >>> axis = Axis("distance", Fraction(0), Fraction(5), size=1000, is_time=False)
    >>> cells = cells_over([axis], 300)
    >>> cells.count, float(cells.origin), float(cells.width)
    (250, -2.5, 20.0)
    """
    step = min((abs(axis.step) for axis in axes if axis.step), default=Fraction(1))
    ends = [end for axis in axes for end in _ends(axis)]
    low, high = min(ends), max(ends)
    samples = (high - low) / step
    width = step * ceil(samples / most) if samples > most else step
    return Cells(low, width, max(1, ceil((high - low) / width - Fraction(1, 1000))))


def bins(axis: Axis, cells: Cells) -> Bins:
    """Return which samples of a stretch, which runs forwards, fall into which cells.

    Examples
    --------
    >>> axis = Axis("distance", Fraction(0), Fraction(1), size=6, is_time=False)
    >>> found = bins(axis, Cells(Fraction(-4), Fraction(4), 5))
    >>> found.first, found.starts.tolist(), found.stops.tolist()
    (1, [0, 4], [4, 6])
    """
    step, width = float(axis.step), float(cells.width)
    if step == 0:  # channels that all have one position
        cell = min(max(0, int((axis.start - cells.origin) // cells.width)), cells.count - 1)
        return Bins(cell, np.array([0]), np.array([axis.size]))
    left = float(axis.start - cells.origin) - step / 2
    first = max(0, int(np.floor(left / width + _ROUNDING)))
    last = min(cells.count, int(np.ceil((left + step * axis.size) / width - _ROUNDING)))
    edges = (np.arange(first, max(first, last) + 1) * width - left) / step
    bounds = np.ceil(edges - 0.5 - _ROUNDING).astype(np.int64).clip(0, axis.size)
    starts, stops = bounds[:-1].copy(), bounds[1:].copy()
    empty = starts == stops
    within = np.floor((edges[:-1] + edges[1:])[empty] / 2 - _ROUNDING).astype(np.int64)
    starts[empty] = within.clip(0, axis.size - 1)
    stops[empty] = starts[empty] + ((within >= 0) & (within < axis.size))
    kept = np.flatnonzero(stops > starts)
    begin, end = (int(kept[0]), int(kept[-1]) + 1) if kept.size else (0, 0)
    return Bins(first + begin, starts[begin:end], stops[begin:end])


def _ends(axis: Axis) -> tuple[Fraction, Fraction]:
    """Return where the outermost samples of a stretch begin and end."""
    half = abs(axis.step) / 2
    last = axis.start + axis.step * (axis.size - 1)
    return min(axis.start, last) - half, max(axis.start, last) + half
