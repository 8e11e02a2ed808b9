"""Collect the model's stacked outputs in memory."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.callbacks.base import Context, DASAnnotateCallback
from dasdist.callbacks.stacking import Stacker, Stacking, check_stacking
from dasdist.errors import DasdistError
from dasdist.geometry.axis import Axis
from dasdist.geometry.blocks import Block, Region, SegmentGrid
from dasdist.geometry.patches import Patch

__all__ = ["InMemoryCollectionCallback", "StackMapper", "StackedCore", "interp_coordinate"]

StackedCore = tuple[int, Region, dict[str, NDArray[np.float32]]]
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
        recording has several segments.  Outputs that no patch fills, and blocks that were skipped,
        are NaN.  ``None`` before the run.

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

    held_outputs = 2

    def __init__(self, stacking: Stacking = "weighted"):
        check_stacking(stacking)
        self.stacking = stacking
        self.annotations: dict[str, Any] | None = None
        self._context: Context | None = None

    @property
    def _run(self) -> Context:
        if self._context is None:
            raise DasdistError("The callback was not set up: pass it to annotate.")
        return self._context

    def setup(self, context: Context) -> None:
        """Forget earlier results."""
        self.annotations = None
        self._context = context

    def mapper(self) -> "StackMapper":
        """Return the half that stacks a block."""
        return StackMapper(self.stacking, self._run.annotate_keys)

    def combine(self, parts: Sequence[list[StackedCore] | None]) -> list[StackedCore]:
        """List the cores; parts of skipped blocks may be ``None``."""
        return [core for part in parts if part is not None for core in part]

    def finalize(self, part: list[StackedCore] | None) -> None:
        """Put the cores into arrays and name their coordinates."""
        cores = self.combine([part])
        self.annotations = {
            key: _one_or_all([_assemble(grid, key, cores, self._run) for grid in self._run.grids])
            for key in self._run.annotate_keys
        }

    def get_results_dict(self) -> dict[str, Any]:
        """Return `annotations`."""
        if self.annotations is None:
            raise DasdistError("There are no annotations yet: pass the callback to annotate first.")
        return self.annotations


@dataclass(frozen=True, slots=True)
class StackMapper:
    """Stacks the patches of a block; the part is a list of one core and where it belongs.

    Parameters
    ----------
    stacking : {"avg", "max", "weighted"}
        How overlapping patches are merged.
    keys : tuple of str
        Annotation keys.
    """

    stacking: Stacking
    keys: tuple[str, ...]

    def begin(self, grid: SegmentGrid, block: Block) -> "_Core":
        """Begin the stack of one block."""
        return _Core(Stacker.begin(self.stacking, grid, block, self.keys), block)


@dataclass(frozen=True, slots=True)
class _Core:
    stacker: Stacker
    block: Block

    def add(self, patch: Patch) -> None:
        self.stacker.add(patch)

    def part(self) -> list[StackedCore]:
        return [(self.block.segment, self.block.core, self.stacker.outputs())]


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
