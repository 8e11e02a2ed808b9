"""The archive as a map of cells: a block each, or several where there are too many to draw.

::

    distance ^  +----+----+----+        +----+----+
             |  | 0  | 2  | 4  |  gap   | 6  | 8  |      time and distance of block outputs,
             |  +----+----+----+        +----+----+      each block a cell
             |  | 1  | 3  | 5  |        | 7  | 9  |
             '--+----+----+----+--------+----+----+--> time

Beyond `MOST` blocks, those whose centres fall into the same tile of a regular raster share a cell,
which is as large as they are together: gaps wider than a tile stay gaps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.geometry import SegmentGrid

__all__ = ["MOST", "Cells", "cells_of"]

MOST = 20_000
"""Cells that browsers draw, and move, without an effort."""

_ROWS = 100
"""Most tiles along the fibre."""

_FAR = 5_000.0
"""Metres of fibre from which its axis counts kilometres."""

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cells:
    """Where the cells of a map lie, and which blocks each of them holds.

    Parameters
    ----------
    left, right : ndarray of float64, shape (cells,)
        Their times, in milliseconds since 1970.
    bottom, top : ndarray of float64, shape (cells,)
        Their distances.
    of_block : ndarray of int32, shape (blocks,)
        The cell that holds each block.
    unit : str
        Of the distances: "km", "m", "channel", or what the data states.
    """

    left: _Floats
    right: _Floats
    bottom: _Floats
    top: _Floats
    of_block: NDArray[np.int32]
    unit: str = "m"

    def __len__(self) -> int:
        return self.left.size

    @property
    def blocks(self) -> NDArray[np.int64]:
        """How many blocks each cell holds."""
        return np.bincount(self.of_block, minlength=len(self))

    @property
    def merged(self) -> bool:
        """Whether any cell holds several blocks."""
        return self.of_block.size != len(self)

    def packed(self) -> dict[str, Any]:
        """Return the cells as values that every protocol carries."""
        bounds = np.stack([self.left, self.right, self.bottom, self.top])
        held = self.of_block.astype("<i4").tobytes() if self.merged else b""
        return {"bounds": bounds.astype("<f8").tobytes(), "of_block": held, "unit": self.unit}

    @classmethod
    def unpacked(cls, packed: Mapping[str, Any]) -> "Cells":
        """Return the cells that :meth:`packed` returned.

        Examples
        --------
        >>> one = np.arange(1.0)
        >>> Cells.unpacked(Cells(one, one, one, one, np.zeros(3, "i4"), "km").packed()).blocks
        array([3])
        """
        left, right, bottom, top = np.frombuffer(packed["bounds"], "<f8").reshape(4, -1)
        held = np.frombuffer(packed["of_block"], "<i4") if packed["of_block"] else None
        of_block = np.arange(left.size, dtype=np.int32) if held is None else held
        return cls(left, right, bottom, top, of_block, str(packed["unit"]))


def cells_of(grids: Sequence[SegmentGrid], unit: str = "m", most: int = MOST) -> Cells:
    """Return the cells of a plan.

    Parameters
    ----------
    grids : sequence of SegmentGrid
        Its segments.
    unit : str
        Of their distances: "m"; "1" of channel numbers; else what the data states.
    most : int
        Cells that there may be.
    """
    left, right, bottom, top = (
        np.concatenate(each) for each in zip(*map(_bounds, grids), strict=True)
    )
    far = unit == "m" and top.max() - bottom.min() >= _FAR
    if far:
        bottom, top = bottom / 1000, top / 1000
    blocks = np.arange(left.size, dtype=np.int32)
    cells = Cells(left, right, bottom, top, blocks, _unit(unit, far=far))
    return cells if left.size <= most else _merged(cells, _shape(grids, most))


def _unit(unit: str, *, far: bool) -> str:
    return "km" if far else {"1": "channel", "": "channel"}.get(unit, unit)


def _bounds(grid: SegmentGrid) -> tuple[_Floats, _Floats, _Floats, _Floats]:
    """Return where the blocks of a segment begin and end, time slowest."""
    start, stop = _edges(grid, 0)
    low, high = _edges(grid, 1)
    # a channel reaches halfway to its neighbours, to either side; fibres may be counted backwards
    spacing = abs(float(grid.out_distance.step)) or 1.0
    low, high = np.minimum(low, high), np.maximum(low, high)
    middle = np.zeros(grid.blocks)
    return (
        (start[:, None] / 1e6 + middle).ravel(),
        (stop[:, None] / 1e6 + middle).ravel(),
        (low - spacing / 2 + middle).ravel(),
        (high + spacing / 2 + middle).ravel(),
    )


def _edges(grid: SegmentGrid, along: int) -> tuple[_Floats, _Floats]:
    """Return the first output of each row of blocks, and the end of its last."""
    axis = grid.out_distance if along else grid.out_time
    edges = np.minimum(np.arange(grid.blocks[along] + 1) * grid.core[along], grid.shape[along])
    start, step = float(axis.start), float(axis.step)
    return start + step * edges[:-1], start + step * (edges[1:] - along)


def _shape(grids: Sequence[SegmentGrid], most: int) -> tuple[int, int]:
    """Return how many tiles there are along time and along the fibre."""
    rows = min(max(grid.blocks[1] for grid in grids), _ROWS)
    return max(1, most // rows), rows


def _merged(cells: Cells, shape: tuple[int, int]) -> Cells:
    """Merge the blocks whose centres lie in the same tile."""
    along_time = _tile(cells.left + cells.right, shape[0])
    along_fibre = _tile(cells.bottom + cells.top, shape[1])
    _, of_block = np.unique(along_time * shape[1] + along_fibre, return_inverse=True)
    order = np.argsort(of_block, kind="stable")
    first = np.searchsorted(of_block[order], np.arange(of_block.max() + 1))
    return replace(
        cells,
        left=np.minimum.reduceat(cells.left[order], first),
        right=np.maximum.reduceat(cells.right[order], first),
        bottom=np.minimum.reduceat(cells.bottom[order], first),
        top=np.maximum.reduceat(cells.top[order], first),
        of_block=of_block.astype(np.int32),
    )


def _tile(twice_centre: _Floats, tiles: int) -> NDArray[np.int64]:
    first, last = twice_centre.min(), twice_centre.max()
    share = (twice_centre - first) / (last - first or 1.0)
    tile: NDArray[np.int64] = np.minimum((share * tiles).astype(np.int64), tiles - 1)
    return tile
