"""Open arrays as a recording: find the axes, split at gaps, refuse what no model can take."""

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import xarray

from dasdist.errors import InvalidInput
from dasdist.geometry import Region, Span
from dasdist.sources.array import SourceArray, labelled_source
from dasdist.sources.base import Member, Recording, SegmentAxes
from dasdist.sources.coordinates import Run, runs_of
from dasdist.sources.dascore_objects import SpoolPatch, is_dascore, labelled_dascore, patches_of
from dasdist.sources.joined import JoinedFiles, joined
from dasdist.sources.labelled import Labelled
from dasdist.sources.spectra import refuse_spectrum
from dasdist.sources.xarray_arrays import labelled_xarray

__all__ = ["open_recording"]


def open_recording(
    data: Any, *, channel_coord_name: str | None = None, tolerance: float = 0.25
) -> Recording:
    """Open labelled arrays of samples and channels as a recording, without reading samples.

    Parameters
    ----------
    data : xdas.DataArray, xarray.DataArray, SourceArray, dascore.Patch, a collection of these, \
dascore.BaseSpool, or path
        Samples and channels, dimensions in either order.  Of xdas: tiles, HDF5 stacks, numpy or
        dask.  Of xarray: numpy, dask or lazy values of a Zarr store or NetCDF file.  Arrays of a
        collection keep their channels and their sampling, and lie one after the other along the
        samples of the recording.  A path is that of an index of :func:`dasdist.index_archive`.
    channel_coord_name : str, optional
        Dimension along the fibre.  Default: the one that is not time.
    tolerance : float
        Largest deviation from uniform spacing that does not end a segment, in samples or channels;
        from 0 to less than a half.

    Returns
    -------
    Recording

    Raises
    ------
    InvalidInput
        If `data` is not such an array, has no time or channel axis, its samples are not real
        numbers, or its time does not increase; if arrays of a collection have other names for
        their dimensions, or exist only as dask graphs.

    Examples
    --------
    >>> import numpy as np, xarray
    >>> time = np.datetime64("2024-01-01", "ns") + np.arange(6) * np.timedelta64(10, "ms")
    >>> time[3:] += np.timedelta64(1, "h")
    >>> coords = {"time": time, "distance": [0.0, 5.0]}
    >>> recording = open_recording(xarray.DataArray(np.zeros((6, 2)), coords))
    >>> [segment.recorded.time for segment in recording.segments]
    [Span(start=0, stop=3), Span(start=3, stop=6)]
    """
    if not isinstance(tolerance, int | float | np.floating) or not 0 <= float(tolerance) < 0.5:
        raise InvalidInput(
            f"tolerance is {tolerance!r} samples; use 0 to less than 0.5, such as 0.25."
        )
    if isinstance(data, str | os.PathLike):
        from dasdist.sources.index import read_index

        data = read_index(data)
    if is_dascore(data, "BaseSpool"):
        data = JoinedFiles(patches_of(data))
    arrays = [_labelled(array) for array in _arrays(data)]
    if isinstance(data, JoinedFiles):
        arrays = joined(arrays)
    if not arrays:
        raise InvalidInput("The collection is empty; pass one array or more.")
    for array in arrays:
        _check(array)
    time_name = _time_dimension(arrays[0])
    channel_name = _channel_dimension(arrays[0], time_name, channel_coord_name)
    members: list[Member] = []
    for array in arrays:
        _check_alike(array, time_name, channel_name, alone=len(arrays) == 1)
        first = members[-1].place.time.stop if members else 0
        members.append(_member(array, first, time_name, channel_name, tolerance))
    graph = arrays[0].graph
    if graph is not None and arrays[0].dims.index(time_name) == 1:
        graph = graph.T
    return Recording(
        time_name=time_name,
        channel_name=channel_name,
        shape=(members[-1].place.time.stop, max(m.place.distance.stop for m in members)),
        dtype=max((m.dtype for m in members), key=lambda dtype: dtype.itemsize),
        segments=tuple(segment for member in members for segment in _segments(member)),
        chunks=members[0].source.chunks(),
        graph=graph,
        members=tuple(members),
    )


def _arrays(data: Any) -> Iterator[Any]:
    """Yield the arrays of a collection, of whatever depth, in its order."""
    if isinstance(data, Mapping) and not isinstance(data, xarray.Dataset | xarray.DataTree):
        data = list(data.values())
    if isinstance(data, JoinedFiles):
        data = list(data)
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        for entry in data:
            yield from _arrays(entry)
    else:
        yield data


def _member(
    array: Labelled, first: int, time_name: str, channel_name: str, tolerance: float
) -> Member:
    times, distances = (
        runs_of(array.coordinates[name].ties(), name, tolerance)
        for name in (time_name, channel_name)
    )
    time_axis = array.dims.index(time_name)
    samples, channels = array.shape if time_axis == 0 else array.shape[::-1]
    return Member(
        place=Region(Span(first, first + samples), Span(0, channels)),
        dtype=array.dtype.newbyteorder("="),
        source=array.source(time_axis),
        times=tuple(Run(run.span.shift(first), run.axis) for run in times) if first else times,
        distances=distances,
    )


def _segments(member: Member) -> Iterator[SegmentAxes]:
    for time, distance in product(member.times, member.distances):
        yield SegmentAxes(Region(time.span, distance.span), time.axis, distance.axis)


def _labelled(data: Any) -> Labelled:
    if isinstance(data, xarray.DataArray):
        return labelled_xarray(data)
    if isinstance(data, SourceArray):
        return labelled_source(data)
    if any(kind.__module__.partition(".")[0] == "xdas" for kind in type(data).__mro__):
        from xdas import DataArray  # slow to import, and whoever made the data did already

        from dasdist.sources.xdas_arrays import labelled_xdas

        if isinstance(data, DataArray):
            return labelled_xdas(data)
    if is_dascore(data, "Patch") or isinstance(data, SpoolPatch):
        return labelled_dascore(data)
    kind = f"{type(data).__module__.partition('.')[0]}.{type(data).__qualname__}"
    raise InvalidInput(
        f"The data is a {kind}, but must be an xdas.DataArray, an xarray.DataArray, or a "
        f"collection of these. {_remedy(data)}"
    )


def _remedy(data: Any) -> str:
    if isinstance(data, xarray.Dataset):
        names = ", ".join(repr(name) for name in data.data_vars) or "none"
        return f"Pass one of its variables: {names}."
    if isinstance(data, np.ndarray):
        return "Give the samples their time and distance: xarray.DataArray(values, coords)."
    return "Pass the arrays themselves."


def _check(array: Labelled) -> None:
    refuse_spectrum(array.name)
    if len(array.dims) != 2:
        raise InvalidInput(
            f"The data has {len(array.dims)} dimensions {array.dims}, but must have two: time and "
            "the channels along one fibre. Select one element of the others, such as data[0]."
        )
    if 0 in array.shape:
        sizes = dict(zip(array.dims, array.shape, strict=True))
        raise InvalidInput(f"The data is empty ({sizes}); pass at least one sample and channel.")
    if array.dtype.kind not in "iuf":
        remedy = (
            "Take the magnitude, the real or the imaginary part."
            if array.dtype.kind == "c"
            else "Convert the samples with `astype`."
        )
        raise InvalidInput(
            f"The samples are {array.dtype}, but models take integers or floating-point numbers. "
            f"{remedy}"
        )


def _check_alike(array: Labelled, time_name: str, channel_name: str, *, alone: bool) -> None:
    """Refuse an array of a collection that could not share a recording with the first one."""
    if set(array.dims) != {time_name, channel_name}:
        raise InvalidInput(
            f"The collection has an array with dimensions {array.dims} and one with "
            f"{(time_name, channel_name)}; rename them, or pass one array at a time."
        )
    _channel_dimension(array, _time_dimension(array), channel_name)
    if array.graph is not None and not alone:
        raise InvalidInput(
            "The collection has an array that is a dask graph; pass such arrays one at a time, or "
            "only arrays that are read from files."
        )


def _time_dimension(array: Labelled) -> str:
    dates = [
        dim
        for dim in array.dims
        if dim in array.coordinates and array.coordinates[dim].dtype.kind == "M"
    ]
    if "time" in dates:
        return "time"
    if len(dates) == 1:
        return dates[0]
    if dates:
        raise InvalidInput(
            f"Both dimensions {array.dims} have dates as coordinates; rename the one that is time "
            "to 'time'."
        )
    held = ", ".join(f"{dim!r}: {_coordinate_type(array, dim)}" for dim in array.dims)
    raise InvalidInput(
        f"No dimension has datetime64 coordinates ({held}), so samples have no time. Give the time "
        "dimension some with `assign_coords`, such as "
        "`start + np.rint(1e9 * seconds).astype('timedelta64[ns]')`."
    )


def _coordinate_type(array: Labelled, dim: str) -> str:
    return str(array.coordinates[dim].dtype) if dim in array.coordinates else "no coordinate"


def _channel_dimension(array: Labelled, time_name: str, wanted: str | None) -> str:
    (name,) = (dim for dim in array.dims if dim != time_name)
    if wanted is not None and wanted != name:
        if wanted in array.others:
            dim = array.others[wanted]
            raise InvalidInput(
                f"channel_coord_name={wanted!r} is a coordinate along the dimension {dim!r}, but "
                f"must be a dimension. Make it one with `data.swap_dims({{{dim!r}: {wanted!r}}})`."
            )
        raise InvalidInput(
            f"channel_coord_name={wanted!r} is not the dimension along the fibre: the data has "
            f"{array.dims}, of which {time_name!r} is time. Pass {name!r}, or leave it out."
        )
    if name not in array.coordinates:
        raise InvalidInput(
            f"The dimension {name!r} has no coordinate, so channels have no position. Give it one, "
            "in metres: "
            f"`data.assign_coords({name}=spacing * np.arange({_size(array, name)}))`."
        )
    if array.coordinates[name].dtype.kind not in "iuf":
        raise InvalidInput(
            f"The {name!r} coordinate has values of type {array.coordinates[name].dtype}, not "
            "numbers. Give channels their distance in metres, or their number."
        )
    return name


def _size(array: Labelled, dim: str) -> int:
    return array.shape[array.dims.index(dim)]
