"""Patches and spools of DASCore as data; a spool's patches are read block by block.

A block reads through the spool itself, whose patches may lie in files, in parts of several, or in
memory, and may have been selected, chunked or merged::

    spool      patch 0 | patch 1 | patch 2 ...      in the order of their times
    block          [........]                       spool[0:1].select(time=..., distance=...)
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.errors import InvalidInput
from dasdist.geometry import Region, Span
from dasdist.sources.coordinates import ties_of_values
from dasdist.sources.labelled import (
    GraphSource,
    Labelled,
    coordinate_in,
    in_memory,
    is_graph,
    unit_in,
)
from dasdist.sources.positions import in_metres
from dasdist.sources.selection import Source, file_identity
from dasdist.sources.spectra import refuse_spectra_of_febus

__all__ = ["is_dascore", "labelled_dascore", "patches_of"]


def is_dascore(data: Any, kind: str) -> bool:
    """Return whether data is a ``"Patch"`` or ``"BaseSpool"`` of DASCore, without importing it."""
    return any(
        one.__module__.partition(".")[0] == "dascore" and one.__name__ == kind
        for one in type(data).__mro__
    )


def patches_of(spool: Any) -> tuple[Any, ...]:
    """Return the patches of a spool in the order of their times, without reading any from files.

    Raises
    ------
    InvalidInput
        If it is empty.
    """
    contents = spool.get_contents()
    if len(contents) == 0:
        raise InvalidInput("The spool is empty; pass one with a patch or more.")
    order = np.argsort(contents["time_min"].to_numpy(), kind="stable").tolist()
    if is_dascore(spool, "MemorySpool"):
        return tuple(spool[i] for i in order)
    return tuple(SpoolPatch.of(spool[i : i + 1]) for i in order)


@dataclass(frozen=True, slots=True, eq=False)
class SpoolPatch:
    """One patch of a spool of files.

    Parameters
    ----------
    spool : dascore.BaseSpool
        A spool of this patch alone.
    paths : tuple of str
        Its files.
    """

    spool: Any
    paths: tuple[str, ...]

    @classmethod
    def of(cls, spool: Any) -> "SpoolPatch":
        """Return the one patch of a spool."""
        known = getattr(spool, "_source_df", None)  # of merged patches, only this names the files
        files = spool.get_contents() if known is None else known
        if "path" not in files:
            return cls(spool, ())
        # DASCore keeps paths relative to the folder of a spool, and workers have their own
        folder = str(getattr(spool, "spool_path", ""))
        paths = [os.path.abspath(os.path.join(folder, str(path))) for path in files["path"]]
        if "file_format" in files and set(files["file_format"].str.upper()) == {"FEBUS"}:
            for path in paths:
                refuse_spectra_of_febus(path)
        return cls(spool, tuple(paths))


def labelled_dascore(data: Any) -> Labelled:
    """Describe a :class:`dascore.Patch`, or one of a spool, for opening it.

    Raises
    ------
    InvalidInput
        If a coordinate along a dimension is missing, or its unit is none of length.
    """
    if not isinstance(data, SpoolPatch):
        values = data.data
        source = partial(_source, values)
        graph = values if is_graph(values) else None
        coordinates = {dim: _values(data, dim) for dim in data.dims}
        return _labelled(data, coordinates, values.shape, source, graph)
    first = _first_sample(data.spool)
    coordinates = {dim: _values(first, dim) for dim in first.dims if dim != "time"}
    coordinates["time"] = _times(data.spool, first)
    shape = tuple(len(coordinates[dim]) for dim in first.dims)
    raw = {dim: np.asarray(first.get_array(dim)) for dim in first.dims if dim != "time"}
    return _labelled(first, coordinates, shape, partial(_spooled, data, first, coordinates, raw))


def _labelled(
    patch: Any,
    coordinates: dict[str, NDArray[Any]],
    shape: tuple[int, ...],
    source: Any,
    graph: Any = None,
) -> Labelled:
    return Labelled(
        dims=tuple(patch.dims),
        shape=shape,
        dtype=np.dtype(patch.data.dtype),
        coordinates={
            dim: coordinate_in(None, dim, values.dtype, partial(ties_of_values, values, dim))
            for dim, values in coordinates.items()
        },
        others={
            name: dims[0]
            for name, dims in patch.coords.dim_map.items()
            if len(dims) == 1 and name not in patch.dims
        },
        source=source,
        graph=graph,
        unit=_unit(patch),
    )


def _unit(patch: Any) -> str:
    """Return the unit of the samples."""
    found = getattr(patch.attrs, "data_units", None)
    if found is None:
        return ""
    return f"{found.units:~}" if getattr(found, "magnitude", 0) == 1 else unit_in({"units": found})


def _source(values: Any, time_axis: int) -> Source:
    if is_graph(values):
        return GraphSource(values if time_axis == 0 else values.T)
    return in_memory(np.asarray(values), time_axis)


def _values(patch: Any, dim: str) -> NDArray[Any]:
    coordinate = patch.get_coord(dim)
    values = np.asarray(patch.get_array(dim))
    if values.dtype.kind == "M":
        return values
    unit = "" if coordinate.units is None else f"{coordinate.units.units:~}"
    return in_metres(values, unit)


# ---------------------------------------------------------------- patches that are not read yet


def _first_sample(spool: Any) -> Any:
    """Return a patch of one sample on all channels: it tells type, dimensions and positions."""
    start = spool.get_contents()["time_min"].iloc[0]
    return spool.select(time=(start, start))[0]


def _times(spool: Any, first: Any) -> NDArray[Any]:
    """Return all times of a patch, by reading one channel of it."""
    row = spool.get_contents().iloc[0]
    start, stop, step = (row[f"time_{name}"] for name in ("min", "max", "step"))
    if step == step and step is not None:  # no NaT: evenly spaced
        begin, end, each = (np.int64(value.value) for value in (start, stop, step))
        size = round((end - begin) / each) + 1
        return (begin + each * np.arange(size)).astype("datetime64[ns]")
    (channel,) = (dim for dim in first.dims if dim != "time")
    position = first.get_array(channel)[0]
    return np.asarray(spool.select(**{channel: (position, position)})[0].get_array("time"))


def _spooled(
    data: SpoolPatch,
    first: Any,
    coordinates: dict[str, NDArray[Any]],
    raw: dict[str, NDArray[Any]],
    time_axis: int,
) -> "SpoolSource":
    del time_axis
    (channel,) = raw
    times = coordinates["time"].astype("datetime64[ns]")
    steps = np.unique(np.diff(times.astype(np.int64)))
    even = steps.size <= 1
    return SpoolSource(
        spool=data.spool,
        paths=data.paths,
        channel=channel,
        dtype=np.dtype(first.data.dtype),
        first=times[0],
        step=int(steps[0]) if steps.size else 1,
        times=None if even else times,
        positions=raw[channel],
        span=Span(0, len(times)),
    )


@dataclass(frozen=True, slots=True, eq=False)
class SpoolSource:
    """Samples x channels of a patch of a spool.

    Parameters
    ----------
    spool : dascore.BaseSpool
        A spool of the patch alone.
    paths : tuple of str
        Its files.
    channel : str
        Dimension along the fibre.
    dtype : numpy.dtype
        Type of the samples.
    first, step : datetime64, int
        Time of the first sample of the patch, nanoseconds between them.
    times : ndarray or None
        All times, where they are not even.
    positions : ndarray
        Coordinates of the channels of this selection, as DASCore has them.
    span : Span
        Samples of the patch.
    """

    spool: Any
    paths: tuple[str, ...]
    channel: str
    dtype: np.dtype[Any]
    first: np.datetime64
    step: int
    times: NDArray[Any] | None
    positions: NDArray[Any]
    span: Span

    def select(self, region: Region) -> "SpoolSource":
        """Return a rectangle of this one."""
        return SpoolSource(
            self.spool,
            self.paths,
            self.channel,
            self.dtype,
            self.first,
            self.step,
            self.times,
            self.positions[region.distance.slice],
            region.time.shift(self.span.start),
        )

    def read(self) -> NDArray[Any]:
        """Read through the spool."""
        low, high = self._time(self.span.start), self._time(self.span.stop - 1)
        ends = self.positions.min(), self.positions.max()
        chosen = self.spool.select(time=(low, high), **{self.channel: ends})
        patch = chosen[0].transpose("time", self.channel)
        values = np.asarray(patch.data)
        if values.dtype != self.dtype:
            raise OSError(f"the patch has {values.dtype} samples instead of {self.dtype}")
        return values

    def _time(self, sample: int) -> np.datetime64:
        if self.times is not None:
            return np.datetime64(self.times[sample])
        return self.first + np.timedelta64(self.step * sample, "ns")

    def files(self) -> Sequence[tuple[Span, str]]:
        """Return the files; which of them holds which samples is not known."""
        return [(Span(0, self.span.size), path) for path in self.paths]

    def chunks(self) -> None:
        """Return none: DASCore does not say."""

    def identity(self) -> Iterator[bytes]:
        """Yield the files, and which samples of them."""
        yield repr((self.channel, self.span, str(self.first), self.positions.size)).encode()
        for path in self.paths:
            yield file_identity(path)
