"""Write the model's stacked outputs to a Zarr store, straight from the workers.

::

    out.zarr/             Zarr format 3; attributes: format, provenance, the exact axes
        P, S, ...         float32 (time, distance), NaN where nothing was computed
        time, distance    coordinates; time only up to TIME_LIMIT samples
    out.zarr/segment_0000, segment_0001, ...   the same by segment, where there are several

Every shard of an array (a file) lies in one block, along time and along the fibre, so that blocks
are written without locks, in any order and twice.  Readers fetch inner chunks of about 2 MiB::

    |      block 0    |      block 1    |      block 2    |
    | shard  | shard  | shard  | shard  | shard  | shard  |
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import isqrt
from pathlib import Path
from typing import Any
from warnings import catch_warnings, filterwarnings

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from dasdist.callbacks.base import Context, DASAnnotateCallback
from dasdist.callbacks.stacking import Stacker, Stacking, check_stacking
from dasdist.coordinates import axis_attrs
from dasdist.errors import DasdistError, InvalidInput, OutputExists
from dasdist.geometry.axis import Axis
from dasdist.geometry.blocks import Block, Region, SegmentGrid
from dasdist.geometry.patches import Patch

__all__ = ["FORMAT", "TIME_LIMIT", "WriteMapper", "WriterCallback", "Written", "layout"]

_Shape = tuple[int, int]
FORMAT = 1  # version of all this; a store's attribute dasdist_format
TIME_LIMIT = 100_000_000  # samples of the longest time axis whose values are stored
_PIECE = 2**20  # coordinate values in a chunk, and written at a time
_CHUNK, _SHARD, _LARGEST_SHARD = 2**19, 2**24, 2**25  # float32 values: 2, 64 and 128 MiB

# Confidences compress little, as their mantissas are noise.  Ratio and MB/s a core, PhaseNet on a
# real fibre: Blosc lz4 1.21 and 600, with bitshuffle 1.17 and 620, zstd 1.23 and 300; Zstd 1.07 and
# 440.  A synthetic section: 1.18, 1.23, 1.26 and 1.12.
_CONFIDENCES = BloscCodec(cname="lz4", clevel=5, shuffle="shuffle", typesize=4)
_COORDINATES = BloscCodec(cname="zstd", clevel=3, shuffle="shuffle", typesize=8)


class WriterCallback(DASAnnotateCallback):
    """Write annotations to a Zarr store; :func:`dasdist.open_annotations` opens it.

    Parameters
    ----------
    path : str, Path, or zarr store
        A folder that does not exist yet or is empty, a URL that fsspec knows, or a store of zarr.
        All workers must reach it.
    stacking : {"avg", "max", "weighted"}
        How overlapping patches are merged.
    overwrite : bool
        Whether to replace annotations that the path already holds.  Anything else stays.

    Attributes
    ----------
    path : Path, str, or zarr store
        Where the annotations are; absolute if local.
    written : Written or None
        Blocks and bytes written, after the run.

    Raises
    ------
    InvalidInput, OutputExists
        There is no such stacking; and, from :meth:`setup`, the path holds something.

    Notes
    -----
    Times are stored as int64 with CF units: ``xarray.open_zarr(path)`` finds them exact.  Beyond
    ``TIME_LIMIT`` samples (28 hours at 1 kHz) they are not, as a year at 1 kHz is 250 GB of them;
    the exact axis always is, a few numbers in the attributes of its group, from which
    ``open_annotations`` computes the times that are looked at.  Takes the place of
    ``seisbench.models.das_base.WriterCallback``.

    Examples
    --------
    >>> model.annotate(data, WriterCallback("prob.zarr"))  # doctest: +SKIP
    >>> dasdist.open_annotations("prob.zarr")["P"]  # doctest: +SKIP
    """

    held_outputs = 3  # a stack, weights, and a shard or two while they are encoded

    def __init__(self, path: Any, stacking: Stacking = "weighted", *, overwrite: bool = False):
        check_stacking(stacking)
        name = str(path).removeprefix("file://")
        is_local = isinstance(path, str | Path) and "://" not in name
        self.path = Path(name).absolute() if is_local else path
        self.stacking: Stacking = stacking
        self.overwrite = overwrite
        self.written: Written | None = None
        self._mapper: WriteMapper | None = None
        self._groups = [""]

    def setup(self, context: Context) -> None:
        """Create the store, with coordinates and empty arrays."""
        if clash := {*context.annotate_keys} & {*context.dims}:
            raise InvalidInput(f"{clash} names an annotation and a dimension; rename the latter.")
        _check_free(self.path, self.overwrite)
        several = len(context.grids) > 1
        groups = [_group(grid, several) for grid in context.grids]
        attrs = {  # what netCDF can hold, too
            name: value if isinstance(value, str | int | float) else json.dumps(value, default=str)
            for name, value in context.attrs.items()
        } | {"dasdist_format": FORMAT, "segments": json.dumps(groups if several else [])}
        root = zarr.create_group(
            self.path, zarr_format=3, attributes=attrs, overwrite=self.overwrite
        )
        for name, grid in zip(groups, context.grids, strict=True):
            _create_segment(root.create_group(name) if name else root, grid, context)
        with catch_warnings():  # zarr: its format may change; without it, xarray: it is missing
            filterwarnings("ignore", "Consolidated metadata is currently not part", UserWarning)
            zarr.consolidate_metadata(self.path, zarr_format=3)
        self._mapper = WriteMapper(self.path, self.stacking, context.annotate_keys, several)
        self._groups, self.written = groups, None

    def mapper(self) -> "WriteMapper":
        """Return the half that stacks and writes a block."""
        assert self._mapper is not None
        return self._mapper

    def combine(self, parts: Sequence["Written | None"]) -> "Written":
        """Count; parts of skipped blocks may be ``None``."""
        found = [part for part in parts if part is not None]
        return Written(sum(part.blocks for part in found), sum(part.bytes for part in found))

    def finalize(self, part: "Written | None") -> None:
        """Keep the counts as `written`."""
        self.written = part or Written(0, 0)

    def get_results_dict(self) -> dict[str, Any]:
        """Return the path of each annotation key's array; of several segments, a list of them."""
        if self._mapper is None:
            raise DasdistError("There are no annotations yet: pass the callback to annotate first.")
        paths = {key: [_join(self.path, g, key) for g in self._groups] for key in self._mapper.keys}
        return {key: found if self._mapper.several else found[0] for key, found in paths.items()}


@dataclass(frozen=True, slots=True)
class Written:
    """Blocks that were written, and their bytes before compression; of one block, also which."""

    blocks: int
    bytes: int
    segment: int | None = None
    block: int | None = None


@dataclass(frozen=True, slots=True)
class WriteMapper:
    """Stacks the patches of a block and writes its core; several segments have a group each."""

    path: Any
    stacking: Stacking
    keys: tuple[str, ...]
    several: bool

    def begin(self, grid: SegmentGrid, block: Block) -> "_BlockWriter":
        """Begin the stack of one block."""
        stacker = Stacker.begin(self.stacking, grid, block, self.keys)
        return _BlockWriter(stacker, block, self.path, _group(grid, self.several))


@dataclass(frozen=True, slots=True)
class _BlockWriter:
    stacker: Stacker
    block: Block
    path: Any
    group: str

    def add(self, patch: Patch) -> None:
        self.stacker.add(patch)

    def part(self) -> Written:
        size = 0
        for key, values in self.stacker.outputs().items():
            name = f"{self.group}/{key}".lstrip("/")
            # empty chunks too: then a shard that is there means that its block was computed
            options: dict[str, Any] = {"config": {"write_empty_chunks": True}, "zarr_format": 3}
            array = zarr.open_array(self.path, path=name, mode="r+", **options)
            _write_core(array, self.block.core, values)
            size += values.nbytes
        return Written(1, size, self.block.segment, self.block.index)


def _write_core(array: Any, core: Region, values: NDArray[np.float32]) -> None:
    """Write a block's core, shard after shard, if it consists of whole shards."""
    shard = array.shards or array.chunks
    for span, size, total in zip((core.time, core.distance), shard, array.shape, strict=True):
        if span.start % size or span.stop > total or (span.stop % size and span.stop != total):
            raise InvalidInput(
                f"Block {span.start} to {span.stop} is not made of whole shards of {size} on an "
                f"axis of {total}: {array.store_path} was made for another plan; set it up again."
            )
    for i in range(0, values.shape[0], shard[0]):
        for j in range(0, values.shape[1], shard[1]):
            part = values[i : i + shard[0], j : j + shard[1]]
            t, d = core.time.start + i, core.distance.start + j
            array[t : t + part.shape[0], d : d + part.shape[1]] = part


def layout(core: _Shape, shape: _Shape) -> tuple[_Shape, _Shape]:
    """Return the shape of shards and of inner chunks for blocks of this core.

    Shards divide the core, though one block's along an axis may end beyond it, and inner chunks
    divide shards; of about 64 MiB (at most 128 where that can be) and 2 MiB, and 8 : 1 in shape.

    Examples
    --------
    >>> layout((32768, 2000), (10**9, 2000))
    ((8192, 2048), (2048, 256))
    >>> layout((30011, 5000), (10**9, 5000))  # 30011 is prime
    ((30011, 640), (30011, 20))
    """
    units = [1 << max(0, size.bit_length() - 5) for size in shape]  # at most 6 per cent
    whole = [-(-size // unit) * unit for size, unit in zip(shape, units, strict=True)]
    samples, channels = (c if c < n else w for c, n, w in zip(core, shape, whole, strict=True))
    shard = _divide((samples, channels), _SHARD, _LARGEST_SHARD, 0)
    size = shard[0] * shard[1]
    return shard, _divide(shard, _CHUNK, size, size // 10_000)


def _divide(shape: _Shape, target: int, most: int, least: int) -> _Shape:
    """Return divisors of both sizes with a product near the target, and near 8 : 1."""
    a, b = _divisors(shape[0])[:, None], _divisors(shape[1])
    size = np.log2(a * b / target)
    allowed = (a * b <= most) & (a * b >= max(least, target // 2**6))
    cost = np.round(2 * np.abs(size)) + np.abs(np.log2(a / b) - 3) / 100
    cost = np.where(allowed | ~allowed.any(), cost, np.inf)
    i, j = np.unravel_index(int(cost.argmin()), cost.shape)
    return int(a[i, 0]), int(b[j])


def _divisors(n: int) -> NDArray[np.int64]:
    low = [i for i in range(1, isqrt(n) + 1) if n % i == 0]
    return np.array(sorted({*low, *(n // i for i in low)}))


def _create_segment(group: Any, grid: SegmentGrid, context: Context) -> None:
    """Create a segment's arrays and write its coordinates, never holding a time axis."""
    time = replace(grid.out_time, name=context.dims[0])
    distance = replace(grid.out_distance, name=context.dims[1])
    names = {"axes": [axis_attrs(time), axis_attrs(distance)], "keys": context.annotate_keys}
    group.update_attributes({name: json.dumps(value) for name, value in names.items()})
    shards, chunks = layout(grid.core, grid.shape)
    form: dict[str, Any] = {"shape": grid.shape, "shards": shards, "chunks": chunks}
    form |= {"fill_value": np.nan, "compressors": _CONFIDENCES, "dimension_names": context.dims}
    for key in context.annotate_keys:
        group.create_array(key, dtype="float32", **form)
    if time.size <= TIME_LIMIT:
        units = {"units": "nanoseconds since 1970-01-01", "calendar": "proleptic_gregorian"}
        _write_coordinate(group, time, "int64", units)
    _write_coordinate(group, distance, "float64", {})


def _write_coordinate(group: Any, axis: Axis, dtype: str, attrs: dict[str, Any]) -> None:
    form: dict[str, Any] = {"shape": axis.size, "chunks": min(axis.size, _PIECE), "dtype": dtype}
    form |= {"compressors": _COORDINATES, "dimension_names": [axis.name], "attributes": attrs}
    array = group.create_array(axis.name, **form)
    for start in range(0, axis.size, _PIECE):
        stop = min(start + _PIECE, axis.size)
        array[start:stop] = axis.values(start, stop).astype(dtype)


def _check_free(path: Any, overwrite: bool) -> None:
    """Raise if a path holds anything, but for annotations that are to be overwritten."""
    found, ours = set[str](), set[str]()
    with suppress(FileNotFoundError):
        node: Any = zarr.open(path, mode="r")
        ours = {"zarr.json", *node} if "dasdist_format" in node.attrs else set()
        found = ours or {str(path)}
    if isinstance(path, Path) and path.exists():
        found = {entry.name for entry in path.iterdir()} if path.is_dir() else {path.name}
    if found and not (overwrite and found <= ours):
        raise OutputExists(
            f"{path} already holds {', '.join(sorted(found)[:5])}; choose another path"
            + (", or replace these annotations with overwrite=True." if found <= ours else ".")
        )


def _group(grid: SegmentGrid, several: bool) -> str:
    return f"segment_{grid.index:04d}" if several else ""


def _join(path: Any, group: str, key: str) -> Any:
    name = f"{group}/{key}".lstrip("/")
    return path / name if isinstance(path, Path) else f"{path}/{name}"
