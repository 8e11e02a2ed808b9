"""annotate without a callback: lazy arrays, of which nothing is computed yet."""

from dataclasses import replace

import xarray as xr

from dasdist.callbacks import Needs
from dasdist.callbacks.stacking import MapStacked, Stacking, check_stacking
from dasdist.coordinates import coordinate
from dasdist.errors import InvalidInput
from dasdist.executors.clients import synchronous
from dasdist.geometry import SegmentGrid
from dasdist.geometry.choose import Limits
from dasdist.inference import Recipe
from dasdist.planning.plan import Plan
from dasdist.run.lazy_arrays import lazy_annotations, stacked
from dasdist.run.request import Request

__all__ = ["lazily"]

_MOST_CHUNKS = 20_000
"""Chunks of lazy annotations: each is an entry of a graph that is held in memory."""


def lazily(request: Request, stacking: Stacking) -> xr.Dataset | xr.DataTree:
    """Return the annotations of a recording as arrays of dask, a node per segment if several."""
    check_stacking(stacking)
    most = request.options.most_failures(lasting=False)
    if most not in (0, "any"):
        raise InvalidInput(
            f'max_failures is {most!r}, but lazy annotations count no failures: pass 0, or "any" '
            "for NaN where data cannot be read."
        )
    plan = _plan(request)
    nodes = {
        f"segment_{grid.index:04d}": _segment(
            request, plan, grid, stacking, skip_errors=most == "any"
        )
        for grid in plan.grids
    }
    return nodes.popitem()[1] if len(nodes) == 1 else xr.DataTree.from_dict(nodes)


def _plan(request: Request) -> Plan:
    """Plan small blocks, though more is computed twice: such arrays are looked at in pieces."""
    samples = request.recording.shape[0] * request.recording.shape[1]
    look = Limits(recompute=1.3, work=max(10**7, 2 * samples // _MOST_CHUNKS))
    with synchronous(request.client) as found:
        return request.plan(Needs(held_outputs=3), found, limits=look)


def _segment(
    request: Request, plan: Plan, grid: SegmentGrid, stacking: Stacking, *, skip_errors: bool
) -> xr.Dataset:
    recording, keys = request.recording, request.spec.annotate_keys
    recipe = Recipe(
        replace(plan.batching, cores=1),  # any scheduler computes them, on as many threads it has
        {k: v for k, v in request.arguments.items() if k != "stacking"},
        plan.sections[grid.index],
        MapStacked(stacked, stacking, keys),
        amplitude=plan.amplitude,
        mask=request.mask,
    )
    arrays = lazy_annotations(
        recording, grid, recipe, request.payload, keys, skip_errors=skip_errors
    )
    dims = (recording.time_name, recording.channel_name)
    axes = (replace(grid.out_time, name=dims[0]), replace(grid.out_distance, name=dims[1]))
    node = xr.Dataset(
        {key: (dims, values) for key, values in arrays.items()}, attrs=request.attributes
    ).assign_coords(coordinate(*axes))
    node[dims[1]].attrs["units"] = recording.channel_unit
    return node
