"""The form of a store of annotations: its groups, arrays and coordinates, made or made longer.

::

    root zarr.json           written last: all metadata once more, so that a reader sees the store
      |                      as it was or as it is, never half of each
      +-- P, S, ...          float32 (time, distance), shards owned by blocks
      +-- time, distance     coordinates; time only up to TIME_LIMIT samples
      '-- segment_0000, ...  the same by segment, where there are several
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from warnings import catch_warnings, filterwarnings

import numpy as np
import zarr
from zarr.abc.store import Store
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import MemoryStore

from dasdist.callbacks.base import Context
from dasdist.callbacks.zarr_layout import layout
from dasdist.callbacks.zarr_root import checked, open_root
from dasdist.coordinates import axis_attrs, axis_from_attrs
from dasdist.errors import OutputExists, RunMismatch, UnreadableData
from dasdist.geometry.axis import Axis
from dasdist.geometry.blocks import SegmentGrid
from dasdist.storage.staging import had_a_run

__all__ = [
    "FORMAT",
    "RUN",
    "TIME_LIMIT",
    "Layouts",
    "begin",
    "check_free",
    "fits",
    "group_names",
    "is_complete",
    "make",
    "stored",
    "write_values",
]

FORMAT = 1  # version of all this; a store's attribute dasdist_format
RUN = "dasdist_run"  # attribute: the run that a store without staging belongs to
TIME_LIMIT = 100_000_000  # samples of the longest time axis whose values are stored
_PIECE = 2**20  # coordinate values in a chunk, and written at a time
_Layout = tuple[tuple[int, int], tuple[int, int], tuple[Any, ...]]
"""Shape of shards and of chunks, and the codecs of chunks: a store that goes on keeps its own."""
Layouts = dict[str, _Layout | None]
"""The same of groups that are there; None where their shards are of no use."""

# Confidences compress little, as their mantissas are noise.  Ratio and MB/s a core, PhaseNet on a
# real fibre: Blosc lz4 1.21 and 600, with bitshuffle 1.17 and 620, zstd 1.23 and 300; Zstd 1.07 and
# 440.  A synthetic section: 1.18, 1.23, 1.26 and 1.12.
# A checksum follows, so that a bit that rots is an error of whoever reads it, in any language.
_CHECKED = Crc32cCodec()
_CONFIDENCES = BloscCodec(cname="lz4", clevel=5, shuffle="shuffle", typesize=4)
_COORDINATES = BloscCodec(cname="zstd", clevel=3, shuffle="shuffle", typesize=8)
_CODECS = (_CONFIDENCES, _CHECKED)


def group_names(grids: tuple[SegmentGrid, ...], several: bool) -> list[str]:
    """Return the group of each segment; a single one is the root."""
    return [f"segment_{grid.index:04d}" if several else "" for grid in grids]


def begin(path: Any, *, overwrite: bool) -> None:
    """Mark a path as a store of annotations that is being made."""
    attrs = {"dasdist_format": FORMAT}
    zarr.create_group(path, zarr_format=3, attributes=attrs, overwrite=overwrite)


def make(
    store: Store,
    path: str,
    context: Context,
    groups: list[str],
    layouts: Mapping[str, _Layout | None],
) -> None:
    """Write metadata and coordinates; shards that are there stay.

    Parameters
    ----------
    store, path
        Where.
    context : Context
        The run.
    groups : list of str
        The group of each segment.
    layouts : mapping of str to (shards, chunks, codecs), or to None
        Of groups that are there already; ``None`` where their shards are of no use.
    """
    several = groups != [""]
    attrs = {  # what netCDF can hold, too
        name: value if isinstance(value, str | int | float) else json.dumps(value, default=str)
        for name, value in context.attrs.items()
        if name != "model_token"  # of the same model it differs from session to session
    } | {"dasdist_format": FORMAT, "segments": json.dumps(groups if several else [])}
    drafts: dict[str, Buffer] = {}
    draft = MemoryStore(drafts)
    root = zarr.create_group(draft, zarr_format=3, attributes=attrs)
    for name, grid in zip(groups, context.grids, strict=True):
        shapes = layouts.get(name) or (*layout(grid.core, grid.shape), _CODECS)
        _draft_segment(root.create_group(name) if name else root, grid, context, shapes)
    with catch_warnings():  # zarr: its format may change; without it, xarray: it is missing
        filterwarnings("ignore", "Consolidated metadata is currently not part", UserWarning)
        zarr.consolidate_metadata(draft, zarr_format=3)
    last = checked(drafts.pop("zarr.json").to_bytes())
    for name in (name for name, shapes in layouts.items() if shapes is None):
        for key in context.annotate_keys:
            sync(store.delete_dir(_join(path, name, key)))
    for name, data in drafts.items():
        sync(store.set(_join(path, name), data))
    for name, grid in zip(groups, context.grids, strict=True):
        for axis in _stored_axes(grid, context):
            write_values(store, _join(path, name, axis.name), axis)
    buffer = default_buffer_prototype().buffer
    sync(store.set(_join(path, "zarr.json"), buffer.from_bytes(last)))
    for name, grid in zip(groups, context.grids, strict=True):
        if grid.out_time.size > TIME_LIMIT:  # it may have been there when it was shorter
            sync(store.delete_dir(_join(path, name, context.dims[0])))


def _join(*names: str) -> str:
    return "/".join(filter(None, names))


def _draft_segment(group: Any, grid: SegmentGrid, context: Context, shapes: _Layout) -> None:
    """Make a segment's metadata."""
    axes = [axis_attrs(axis) for axis in _axes(grid, context)]
    blocks = (grid.first_block, *grid.core)
    own = {"axes": axes, "blocks": blocks, "keys": context.annotate_keys}
    group.update_attributes({name: json.dumps(value) for name, value in own.items()})
    form: dict[str, Any] = {"shape": grid.shape, "shards": shapes[0], "chunks": shapes[1]}
    form |= {"fill_value": np.nan, "compressors": shapes[2], "dimension_names": context.dims}
    for key in context.annotate_keys:
        group.create_array(key, dtype="float32", **form)
    for axis in _stored_axes(grid, context):
        units = {"units": "nanoseconds since 1970-01-01", "calendar": "proleptic_gregorian"}
        group.create_array(
            axis.name,
            shape=axis.size,
            chunks=_PIECE if axis.is_time else min(axis.size, _PIECE),  # of time, whatever it grows
            dtype="int64" if axis.is_time else "float64",
            compressors=(_COORDINATES, _CHECKED),
            dimension_names=[axis.name],
            attributes=units if axis.is_time else {"units": context.channel_unit},
        )


def _axes(grid: SegmentGrid, context: Context) -> list[Axis]:
    axes = (grid.out_time, grid.out_distance)
    return [replace(axis, name=name) for axis, name in zip(axes, context.dims, strict=True)]


def _stored_axes(grid: SegmentGrid, context: Context) -> list[Axis]:
    """Return the axes whose values are stored."""
    return [axis for axis in _axes(grid, context) if not axis.is_time or axis.size <= TIME_LIMIT]


def write_values(store: Store, path: str, axis: Axis) -> None:
    """Write a coordinate, never holding all of it."""
    array: Any = zarr.open_array(store, path=path, mode="r+", zarr_format=3)
    for start in range(0, axis.size, _PIECE):
        stop = min(start + _PIECE, axis.size)
        array[start:stop] = axis.values(start, stop).astype(array.dtype)


# ---------------------------------------------------------------- what is there already


def is_complete(path: Any) -> bool:
    """Tell whether a path holds annotations whose form was written to its end."""
    with suppress(FileNotFoundError):
        node = open_root(path)
        found = "dasdist_format" in node.attrs and isinstance(node, zarr.Group)
        return found and node.metadata.consolidated_metadata is not None
    return False


def stored(path: Any, context: Context) -> tuple[list[str], Layouts]:
    """Return the groups that a resumed run needs, and the layout of those to keep.

    Raises
    ------
    RunMismatch
        If the store cannot become what the run needs.
    """
    root = open_root(path)
    there: list[str] = json.loads(root.attrs["segments"]) or [""]
    groups = group_names(context.grids, there != [""] or len(context.grids) > 1)
    if root.attrs["dasdist_format"] != FORMAT or groups[: len(there)] != there:
        raise RunMismatch(
            f"{path} was made for the segments {there}, or by another version of dasdist, and the "
            f"run now has {groups}; only later segments may come, to a store that has several. "
            "Choose another path, or start anew with overwrite=True."
        )
    layouts: Layouts = {}
    for name, grid in zip(there, context.grids, strict=False):
        group: Any = root[name] if name else root
        _check_same(path, name, group, grid, context, may_grow=name == there[-1])
        array = group[context.annotate_keys[0]]
        if fits(array.shards, grid):
            layouts[name] = (array.shards, array.chunks, array.compressors)
        elif not _computed_again(grid, array.shape[0]):
            raise RunMismatch(
                f"{path} has shards of {array.shards} values, which do not divide blocks of "
                f"{grid.core}. Resume with the blocks it was made for, choose another path, or "
                "start anew with overwrite=True."
            )
        else:
            layouts[name] = None
    return groups, layouts


def _check_same(
    path: Any, name: str, group: Any, grid: SegmentGrid, context: Context, *, may_grow: bool
) -> None:
    keys = tuple(json.loads(group.attrs["keys"]))
    axes = [axis_from_attrs(attrs) for attrs in json.loads(group.attrs["axes"])]
    wanted = _axes(grid, context)
    grown = replace(axes[0], size=max(axes[0].size, wanted[0].size)) if may_grow else axes[0]
    if keys != context.annotate_keys or [grown, axes[1]] != wanted:
        raise RunMismatch(
            f"{path}{name and f', {name},'} holds {keys} on {axes[0].size} x {axes[1].size} "
            f"outputs from {axes[0].value(0)} on, and the run has {context.annotate_keys} on "
            f"{wanted[0].size} x {wanted[1].size} from {wanted[0].value(0)} on; only the last "
            "segment may become longer. Choose another path, or start anew with overwrite=True."
        )


def fits(shards: tuple[int, int], grid: SegmentGrid) -> bool:
    """Tell whether blocks of a grid are made of whole shards of this shape."""
    return all(
        core % shard == 0 or total <= core
        for core, shard, total in zip(grid.core, shards, grid.shape, strict=True)
    )


def _computed_again(grid: SegmentGrid, size: int) -> bool:
    """Tell whether a segment of this size lay in its first blocks, and they have new patches."""
    last = grid.along_time(0)[1].stop - 1
    return size <= grid.core[0] and grid.rows.out_start(last) + grid.rows.out > size


def check_free(path: Any, overwrite: bool) -> None:
    """Raise if a path holds anything, but for annotations that are to be overwritten."""
    if isinstance(path, Path) and path.is_file():
        raise OutputExists(
            f"{path} is a file, and the annotations become a folder of this name. Choose another "
            "path, or move the file away."
        )
    found, ours = set[str](), set[str]()
    with suppress(FileNotFoundError, UnreadableData):
        node: Any = open_root(path)
        ours = {"zarr.json", *node} if "dasdist_format" in node.attrs else set()
        found = ours or {str(path)}
    if isinstance(path, Path) and path.exists():
        entries = [*path.iterdir()]
        found = {entry.name for entry in entries}
        if had_a_run(path):  # however damaged it is
            ours |= {"zarr.json", *(e.name for e in entries if (e / "zarr.json").is_file())}
    if found and not (overwrite and found <= ours):
        raise OutputExists(
            f"{path} already holds {', '.join(sorted(found)[:5])}; choose another path"
            + (", or replace these annotations with overwrite=True." if found <= ours else ".")
        )
