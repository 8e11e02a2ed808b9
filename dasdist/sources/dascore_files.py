"""Files that DASCore reads, as tiles of xdas: `pip install "dasdist[dascore]"`.

::

    open     header: dimensions, coordinates, type        DASCore's scan, and one sample
    block    the samples that it asks for, by their       DASCore's read(time=..., distance=...)
             coordinates

Only formats of the list in `trusted` are opened, also where an index names another: some of
DASCore's unpickle what a file holds.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdas import DataArray
from xdas.io import Engine
from xdas.virtual import TileArray

from dasdist.errors import InvalidInput
from dasdist.sources.lines import even_times, line, times
from dasdist.sources.positions import in_metres
from dasdist.sources.spectra import refuse_spectra_of_febus
from dasdist.sources.trusted import DASCORE, DETECTED, FORMATS
from dasdist.sources.unopened import Refused
from dasdist.spelling import unknown

__all__ = [
    "DascoreEngine",
    "check_options",
    "detect",
    "open_dascore",
    "whole_traces",
]

_WHOLE_TRACES = ("SEGY",)
_AT_ONCE = 2**25  # bytes of whole traces to hold at once


@dataclass(frozen=True, slots=True, eq=False)
class _Axis:
    """A dimension of a patch, in DASCore's own values."""

    name: str
    first: Any
    step: Any
    size: int
    values: NDArray[Any] | None
    unit: str

    def limits(self, chosen: slice) -> tuple[Any, Any]:
        """Return what selects these samples or channels and no others."""
        if self.values is not None:
            inside = self.values[chosen]
            return inside.min(), inside.max()
        half = abs(self.step) / 2 if self.name != "time" else self.step // 2
        low, high = sorted(self.first + self.step * i for i in (chosen.start, chosen.stop - 1))
        return low - half, high + half


@dataclass(frozen=True, slots=True, eq=False)
class _Header:
    """What a file says of its one patch."""

    axes: tuple[_Axis, ...]
    dtype: np.dtype[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(axis.size for axis in self.axes)


def check_options(format: str | None = None, version: str | None = None) -> None:
    """Refuse a format that is not opened, and say what is missing where DASCore is.

    Raises
    ------
    InvalidInput
        If there is no such format, or no DASCore.
    """
    _need()
    if format is not None and format.upper() not in FORMATS:
        raise InvalidInput(unknown("format of DASCore", format, FORMATS))
    if version is not None and format is None:
        raise InvalidInput(f"version is {version!r}, but of no format; give format as well.")


def detect(path: str) -> tuple[str, str] | None:
    """Return format and version of an HDF5 file, if DASCore knows them; never raise."""
    for format in DETECTED:
        found = _version(path, format)
        if found:
            return format, found
    return None


def open_dascore(path: str, format: str | None = None, version: str | None = None) -> DataArray:
    """Open a file lazily, as one tile.

    Parameters
    ----------
    path : str
        The file.
    format, version : str, optional
        As DASCore calls them; by default those of its formats that HDF5 files have are tried.

    Raises
    ------
    Refused
        If it is of no such format, or has no one patch of samples and channels.
    """
    check_options(format, version)
    if format is None:
        found = detect(path)
        if found is None:
            raise Refused("it has no format that DASCore recognises; name it with format=")
        format, version = found
    format = format.upper()
    version = version or _version(path, format)
    if version is None:
        raise Refused(f"it is no file of DASCore's format {format}")
    header = _header(path, format, version)
    engine = {"name": DASCORE, "format": format, "version": version}
    tiles = TileArray.from_tiles(path, header.shape, header.dtype, engine)
    return DataArray(tiles, {axis.name: _coordinate(axis) for axis in header.axes})


def whole_traces(engine: Mapping[str, Any]) -> bool:
    """Return whether reading any sample of a trace reads all of it."""
    return engine["name"] == DASCORE and engine["format"] in _WHOLE_TRACES


class DascoreEngine(Engine, name=DASCORE):  # type: ignore[call-arg, misc]
    """Engine of xdas for tiles of files that DASCore reads."""

    @staticmethod
    def load_tile(
        path: str, selection: tuple[slice, ...], *, format: str, version: str
    ) -> NDArray[Any]:
        """Read a selection of the patch of a file."""
        check_options(format, version)
        header = _header(path, format, version)
        boxes = tuple(slice(one.start, one.stop) for one in selection)
        if format not in _WHOLE_TRACES:
            values = _read(path, format, version, header, boxes)
        else:
            values = _in_groups(path, format, version, header, boxes)
        return values[tuple(slice(None, None, one.step) for one in selection)]


# ---------------------------------------------------------------- DASCore


def _need() -> Any:
    try:
        import dascore
    except ImportError as error:
        raise InvalidInput(
            'This takes DASCore, which is not installed: `pip install "dasdist[dascore]"`.'
        ) from error
    return dascore


def _reader(format: str, version: str) -> Any:
    _need()
    from dascore.io.core import FiberIO

    return FiberIO.manager.get_fiberio(format=format, version=version)


def _version(path: str, format: str) -> str | None:
    """Return the version of a file of this format; no other format of DASCore is tried."""
    dascore = _need()
    try:
        _, version = dascore.get_format(path, file_format=format)
    except Exception:  # noqa: BLE001 - then it is none of this format, whatever is wrong
        return None
    return str(version)


def _header(path: str, format: str, version: str) -> _Header:
    status = os.stat(path)
    return _header_of(path, format, version, (status.st_size, status.st_mtime_ns))


@lru_cache(maxsize=64)
def _header_of(path: str, format: str, version: str, _state: tuple[int, int]) -> _Header:
    """Return what a file says; blocks that follow each other share it."""
    reader = _reader(format, version)
    if format == "FEBUS":
        refuse_spectra_of_febus(path)
    found = list(reader.scan(path))
    if len(found) != 1:
        raise Refused(
            f"it holds {len(found)} patches instead of one; pass dascore.spool(path) as the data"
        )
    summaries = found[0].coords
    dims = tuple(found[0].dims.split(",")) if isinstance(found[0].dims, str) else found[0].dims
    if len(dims) != 2 or "time" not in dims:
        raise Refused(f"it has the dimensions {dims} instead of time and channels")
    first = {dim: (summaries[dim].min, summaries[dim].min) for dim in dims}
    axes = tuple(_axis(reader, path, dim, summaries[dim], first) for dim in dims)
    # the first sample, to know the type
    patch = _patch(reader, path, {axis.name: axis.limits(slice(0, 1)) for axis in axes})
    return _Header(axes, patch.data.dtype.newbyteorder("="))


def _axis(reader: Any, path: str, dim: str, summary: Any, first: Mapping[str, Any]) -> _Axis:
    unit = "" if summary.units is None else f"{summary.units.units:~}"
    step = summary.step
    if step is not None and not np.isnat(step) if dim == "time" else _is_step(step):
        size = round((summary.max - summary.min) / abs(step)) + 1
        start = summary.max if dim != "time" and step < 0 else summary.min
        return _Axis(dim, start, step, size, None, unit)
    others = {name: limits for name, limits in first.items() if name != dim}
    values = np.asarray(_patch(reader, path, others).get_array(dim))
    return _Axis(dim, values[0], None, len(values), values, unit)


def _is_step(step: Any) -> bool:
    return step is not None and bool(np.isfinite(step)) and step != 0


def _patch(reader: Any, path: str, limits: Mapping[str, Any]) -> Any:
    """Read the patch of a file within limits of its coordinates."""
    patches = list(reader.read(path, **limits))
    if len(patches) != 1:
        raise OSError(f"DASCore read {len(patches)} patches of {path} within {dict(limits)}")
    return patches[0]


def _read(
    path: str, format: str, version: str, header: _Header, boxes: tuple[slice, ...]
) -> NDArray[Any]:
    limits = {a.name: a.limits(box) for a, box in zip(header.axes, boxes, strict=True)}
    patch = _patch(_reader(format, version), path, limits)
    values = np.asarray(patch.transpose(*(axis.name for axis in header.axes)).data)
    wanted = tuple(box.stop - box.start for box in boxes)
    if values.shape != wanted:
        raise OSError(f"DASCore read {values.shape} samples of {path} instead of {wanted}")
    return np.array(values, dtype=header.dtype)


def _in_groups(
    path: str, format: str, version: str, header: _Header, boxes: tuple[slice, ...]
) -> NDArray[Any]:
    """Read channels in groups whose whole traces are not too large to hold."""
    axis = next(i for i, one in enumerate(header.axes) if one.name != "time")
    trace = header.axes[1 - axis].size * header.dtype.itemsize
    group = max(1, _AT_ONCE // trace)
    parts = []
    for start in range(boxes[axis].start, boxes[axis].stop, group):
        box = list(boxes)
        box[axis] = slice(start, min(start + group, boxes[axis].stop))
        parts.append(_read(path, format, version, header, tuple(box)))
    return np.concatenate(parts, axis=axis)


def _coordinate(axis: _Axis) -> Any:
    if axis.name == "time":
        if axis.values is not None:
            return times(axis.values.astype("datetime64[ns]").astype(np.int64), axis.name)
        start = np.datetime64(axis.first, "ns").astype(np.int64)
        step = np.timedelta64(axis.step, "ns").astype(np.int64)
        return even_times(int(start), int(step), axis.size, axis.name)
    values = axis.values
    if values is None:
        values = axis.first + axis.step * np.arange(axis.size)
    return line(in_metres(values, axis.unit), axis.name)
