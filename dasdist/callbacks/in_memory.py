"""Collect the model's stacked outputs in memory."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.callbacks.base import Context, DASAnnotateCallback
from dasdist.callbacks.needs import Needs
from dasdist.callbacks.stacking import Stacking, check_stacking
from dasdist.errors import DasdistError
from dasdist.geometry.axis import Axis
from dasdist.geometry.blocks import Block, Region, SegmentGrid

__all__ = ["InMemoryCollectionCallback", "StackedCore", "interp_coordinate"]

StackedCore = tuple[int, Region, Mapping[str, NDArray[np.float32]]]
"""Segment, where in it, and one array per annotation key."""


class InMemoryCollectionCallback(DASAnnotateCallback):
    """Splice the annotations back together, in memory: for data that fit there twice.

    Parameters
    ----------
    stacking : {"avg", "max", "weighted"}
        How overlapping patches are merged.

    Attributes
    ----------
    annotations : dict of str to xdas.DataArray, or to xdas.DataSequence
        One float32 array of shape (samples, channels) per annotation key, with exact time and
        distance coordinates; one after another in an :class:`xdas.DataSequence` where the
        recording has several segments.  Outputs that no patch fills or could be computed for, and
        blocks that were skipped, are NaN.  ``None`` before the run.

    Raises
    ------
    InvalidInput
        If there is no such stacking.

    Notes
    -----
    Takes the place of ``seisbench.models.das_base.InMemoryCollectionCallback``; coordinates differ
    where its last value is off, that is where outputs are coarser or finer than the input.

    Examples
    --------
    >>> callback = InMemoryCollectionCallback(stacking="max")
    >>> model.annotate(data, callback)  # doctest: +SKIP
    >>> callback.annotations["P"]  # doctest: +SKIP
    """

    needs = Needs(held_outputs=2)

    def __init__(self, stacking: Stacking = "weighted"):
        check_stacking(stacking)
        self.stacking = stacking
        self.annotations: dict[str, Any] | None = None

    def setup(self, context: Context) -> None:
        """Forget earlier results."""
        super().setup(context)
        self.annotations = None

    def map_block(
        self, block: Block, annotations: Mapping[str, NDArray[np.float32]]
    ) -> list[StackedCore]:
        """Return the block's annotations and where they belong."""
        return [(block.segment, block.core, annotations)]

    def finalize(self, part: list[StackedCore]) -> None:
        """Put the cores into arrays and name their coordinates."""
        context = self.context
        self.annotations = {
            key: _one_or_all([_assemble(grid, key, part, context) for grid in context.grids])
            for key in context.annotate_keys
        }

    def get_results_dict(self) -> dict[str, Any]:
        """Return `annotations`."""
        if self.annotations is None:
            raise DasdistError("There are no annotations yet: pass the callback to annotate first.")
        return self.annotations


def _assemble(grid: SegmentGrid, key: str, cores: list[StackedCore], context: Context) -> Any:
    """Return one segment's annotation as an xdas.DataArray."""
    import xdas

    values = np.full(grid.shape, np.nan, dtype=np.float32)
    for segment, core, outputs in cores:
        if segment == grid.index:
            values[core.time.slice, core.distance.slice] = outputs[key]
    coords = {
        dim: interp_coordinate(axis, dim)
        for dim, axis in zip(context.dims, (grid.out_time, grid.out_distance), strict=True)
    }
    attrs = {  # what netCDF can hold
        name: value if isinstance(value, str | int | float) else json.dumps(value, default=str)
        for name, value in context.attrs.items()
    }
    return xdas.DataArray(values, coords, name=key, attrs=attrs)


def _one_or_all(arrays: list[Any]) -> Any:
    import xdas

    return arrays[0] if len(arrays) == 1 else xdas.DataSequence(arrays, name="segment")


def interp_coordinate(axis: Axis, dim: str) -> Any:
    """Return an axis as an :class:`xdas.InterpCoordinate` along the dimension ``dim``."""
    import xdas

    ties = sorted({0, axis.size - 1})
    values = np.array([axis.value(i) for i in ties], dtype=axis.dtype)
    return xdas.InterpCoordinate(data={"tie_indices": ties, "tie_values": values}, dim=dim)
