"""Run callbacks that were written for SeisBench: on the client, patch after patch, in grid order.

::

    worker    accumulator keeps the patches that begin in the block's core
                  |  part
    client    consume(part) ... in the order of the plan ... handle_patch, handle_patch, ...

Whatever the model says travels to the client, so this is for small data and for what cannot be
written as a reduction.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from dasdist.callbacks.base import Context, DASAnnotateCallback
from dasdist.callbacks.in_memory import interp_coordinate
from dasdist.callbacks.needs import Needs
from dasdist.errors import InvalidInput
from dasdist.geometry.blocks import Block, SegmentGrid
from dasdist.geometry.patches import Patch, PatchCoordinate, PatchGrid, PatchingStructure

__all__ = ["ClientSideCallback", "ModelData", "OwnedPatches", "own"]


def own(callback: Any, method: str) -> Any:
    """Return a method that the callback defines itself, or None if it is only inherited from us."""
    inherited = getattr(DASAnnotateCallback, method)
    if getattr(type(callback), method, None) is inherited:
        return None
    return getattr(callback, method, None)


class ClientSideCallback(DASAnnotateCallback):
    """Adapt a callback that was written for SeisBench.

    Parameters
    ----------
    callback : object
        With ``handle_patch(annotations, in_coords, out_coords)`` and perhaps
        ``setup(data, patching_structure, annotate_keys)``, ``finalize()`` and
        ``get_results_dict()``.

    Notes
    -----
    The callback sees what it sees in SeisBench: every patch once, time slowest, with integer input
    and floating point output coordinates; ``data`` and ``patching_structure`` have the attributes
    of SeisBench's.  Patches that were skipped or left out arrive as NaN, because such callbacks
    count on an unbroken sequence.

    The outputs of a block travel to the client and overlap is not merged before, which is what
    ``needs`` allows for (a half overlap along both axes).

    Examples
    --------
    >>> class Maximum:
    ...     largest = 0.0
    ...
    ...     def handle_patch(self, annotations, in_coords, out_coords):
    ...         self.largest = max(self.largest, annotations["P"].max())
    >>> callback = ClientSideCallback(Maximum())
    >>> model.annotate(data, callback)  # doctest: +SKIP
    """

    needs = Needs(in_order=True, whole_patches=True, held_outputs=4)

    def __init__(self, callback: Any):
        self.callback = callback

    def setup(self, context: Context) -> None:
        """Set the callback up as SeisBench does.

        Raises
        ------
        InvalidInput
            If there are several segments.
        """
        super().setup(context)
        if len(context.grids) != 1:
            raise InvalidInput(
                f"{type(self.callback).__name__} is written for SeisBench and knows one segment, "
                f"but the recording has {len(context.grids)}; pass one segment at a time, or use "
                "dasdist's own callbacks."
            )
        self._grid = context.grids[0]
        self._blocks_done = 0
        self._waiting: list[Patch] = []
        if setup := own(self.callback, "setup"):
            data = ModelData.of(self._grid, context.dims[1])
            setup(data, _structure(self._grid), list(context.annotate_keys))

    def mapper(self) -> "OwnedPatches":
        """Return the half that keeps a block's patches."""
        return OwnedPatches()

    def consume(self, part: list[Patch], block: Block) -> None:
        """Hand the patches of one block over; blocks left out before it become NaN."""
        self._fill_up(block.index - self._grid.first_block)
        self._take(part)

    def combine(self, parts: Sequence[Any]) -> None:
        """Leave nothing: all parts were consumed."""

    def finalize(self, part: Any) -> None:
        """Let the callback finish."""
        self._fill_up(len(self._grid))
        if finish := own(self.callback, "finalize"):
            finish()

    def get_results_dict(self) -> dict[str, Any]:
        """Return the callback's results."""
        results = getattr(self.callback, "get_results_dict", dict)
        return dict(results())

    def _fill_up(self, blocks: int) -> None:
        while self._blocks_done < blocks:
            block = self._grid.block(self._blocks_done)
            accumulator = OwnedPatches()(block)
            for row, column in product(accumulator.rows, accumulator.columns):
                accumulator.add(_unknown_patch(self._grid, row, column, self.context.annotate_keys))
            self._take(accumulator.part())

    def _take(self, patches: list[Patch]) -> None:
        """Queue the patches of the next block; once a row of blocks is complete, hand it over."""
        self._waiting += patches
        self._blocks_done += 1
        if self._blocks_done % self._grid.blocks[1] == 0:
            ready, self._waiting = self._waiting, []
            for patch in sorted(ready, key=lambda patch: (patch.row, patch.column)):
                self.callback.handle_patch(
                    dict(patch.annotations), *_coordinates(self._grid, patch)
                )


@dataclass(frozen=True, slots=True)
class OwnedPatches:
    """Keeps the patches whose first output lies in the core; they are the part."""

    def __call__(self, block: Block) -> "_OwnedByBlock":
        """Begin a block."""
        time, distance = block.core.time, block.core.distance
        rows = block.grid.rows.starting_in(time.start, time.stop)
        columns = block.grid.columns.starting_in(distance.start, distance.stop)
        return _OwnedByBlock(range(*rows), range(*columns), [])


@dataclass(frozen=True, slots=True)
class _OwnedByBlock:
    rows: range
    columns: range
    patches: list[Patch]

    def add(self, patch: Patch) -> None:
        if patch.row in self.rows and patch.column in self.columns:
            # a copy, as the values may be a view of the whole batch
            values = {key: np.array(values) for key, values in patch.annotations.items()}
            self.patches.append(replace(patch, annotations=values))

    def part(self) -> list[Patch]:
        return self.patches


@dataclass(frozen=True)
class ModelData:
    """What callbacks for SeisBench may ask of ``data``: the recording at the model's sampling.

    Parameters
    ----------
    shape : tuple of int
        Samples and channels.
    coords : dict of str to xdas.InterpCoordinate
        ``"time"`` and the channel coordinate.
    channel_coord_name : str
        Name of the latter.
    dt, dx : float
        Spacing in seconds and in the unit of the channel coordinate.
    dtype : numpy.dtype
        Type of annotations.
    """

    shape: tuple[int, int]
    coords: dict[str, Any]
    channel_coord_name: str
    dt: float
    dx: float
    dtype: Any = np.dtype(np.float32)

    @classmethod
    def of(cls, grid: SegmentGrid, channel_coord_name: str) -> "ModelData":
        """Describe a segment."""
        time, distance = grid.model_time, grid.model_distance
        return cls(
            shape=(time.size, distance.size),
            coords={
                "time": interp_coordinate(time, "time"),
                channel_coord_name: interp_coordinate(distance, channel_coord_name),
            },
            channel_coord_name=channel_coord_name,
            dt=float(time.spacing),
            dx=float(distance.spacing),
        )


def _unknown_patch(grid: SegmentGrid, row: int, column: int, keys: Sequence[str]) -> Patch:
    shape = (grid.rows.out, grid.columns.out)
    return Patch(
        row=row,
        column=column,
        sample=grid.rows.out_start(row),
        channel=grid.columns.out_start(column),
        inset=0,
        width=grid.columns.out,
        annotations={key: np.full(shape, np.nan, dtype=np.float32) for key in keys},
    )


def _structure(grid: SegmentGrid) -> PatchingStructure:
    rows, columns = grid.rows, grid.columns
    return PatchingStructure(
        in_samples=rows.window,
        in_channels=columns.window,
        out_samples=rows.out,
        out_channels=columns.out,
        range_samples=rows.covers,
        range_channels=columns.covers,
        overlap_samples=rows.window - rows.shift,
        overlap_channels=columns.window - columns.shift,
    )


def _coordinates(grid: SegmentGrid, patch: Patch) -> tuple[PatchCoordinate, PatchCoordinate]:
    """Return where a patch lies in the input and in the output, as SeisBench computes it."""
    rows, columns = grid.rows, grid.columns
    sample, channel = rows.start(patch.row), columns.start(patch.column)
    return (
        PatchCoordinate(sample, channel, rows.window, columns.window),
        PatchCoordinate(sample * _scale(rows), channel * _scale(columns), rows.out, columns.out),
    )


def _scale(grid: PatchGrid) -> float:
    return grid.out / (grid.covers[1] - grid.covers[0])
