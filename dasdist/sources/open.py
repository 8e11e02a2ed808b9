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
from dasdist.sources.channel_range import ChannelRange, channels_of
from dasdist.sources.coordinates import Run, runs_of
from dasdist.sources.dascore_objects import SpoolPatch, is_dascore, labelled_dascore, patches_of
from dasdist.sources.joined import JoinedFiles, joined
from dasdist.sources.labelled import Labelled
from dasdist.sources.lengths import METRE, NUMBER
from dasdist.sources.spectra import refuse_spectrum
from dasdist.sources.time_range import TimeRange
from dasdist.sources.timed import Timed, with_times
from dasdist.sources.xarray_arrays import labelled_xarray

__all__ = ["open_recording"]


def open_recording(
    data: Any,
    *,
    channel_coord_name: str | None = None,
    tolerance: float = 0.25,
    engine: str | None = None,
) -> Recording:
    """Open labelled arrays of samples and channels as a recording, without reading samples.

    Parameters
    ----------
    data : xdas.DataArray, xarray.DataArray, SourceArray, dascore.Patch, a collection of these, \
dascore.BaseSpool, path or range
        Samples and channels, dimensions in either order.  Of xdas: tiles, HDF5 stacks, numpy or
        dask.  Of xarray: numpy, dask or lazy values of a Zarr store or NetCDF file.  Arrays of a
        collection keep their channels and their sampling, and lie one after the other along the
        samples of the recording; files that xdas opened apart, because their first dimension is the
        fibre, are put together in time.  A path is that of an index of
        :func:`dasdist.index_archive`.  Samples of a time that
        earlier ones of the same array have already are left out.  A range is a
        :class:`TimeRange` of these, or a :class:`ChannelRange`, or one of the other.
    channel_coord_name : str, optional
        Dimension along the fibre.  Default: the one that is not time.
    tolerance : float
        Largest deviation from uniform spacing that does not end a segment, in samples or channels;
        from 0 to less than 1.  From a half on, a single missing sample may pass for jitter.
    engine : str, optional
        Engine that the user trusts, which index and tiles may then name although no file may.

    Returns
    -------
    Recording

    Raises
    ------
    InvalidInput
        If `data` is not such an array, has no time or channel axis, its samples are not real
        numbers, its time does not increase, is not within 1900 to 2262, or has stamps that are
        rounded so that they repeat; if arrays of a collection have other names for their
        dimensions, or exist only as dask graphs.

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
    if not isinstance(tolerance, int | float | np.floating) or not 0 <= float(tolerance) < 1:
        raise InvalidInput(
            f"tolerance is {tolerance!r} samples; use 0 to less than 1, such as 0.25."
        )
    if engine is not None:
        from dasdist.sources.engines import trust

        trust(engine)
    within = data if isinstance(data, TimeRange) else TimeRange(data)
    chosen = within.data if isinstance(within.data, ChannelRange) else ChannelRange(within.data)
    data = chosen.data
    if isinstance(data, str | os.PathLike):
        from dasdist.sources.index import read_index

        data = read_index(data, engine)
    if is_dascore(data, "BaseSpool"):
        data = JoinedFiles(patches_of(data))
    arrays = [_labelled(array) for array in _arrays(data)]
    if isinstance(data, JoinedFiles) or _opened_apart(data, arrays):
        arrays = joined(arrays)
    if not arrays:
        raise InvalidInput("The collection is empty; pass one array or more.")
    for array in arrays:
        _check(array)
    time_name = _time_dimension(arrays[0])
    channel_name = _channel_dimension(arrays[0], time_name, channel_coord_name)
    for array in arrays:
        _check_alike(array, time_name, channel_name, alone=len(arrays) == 1)
        _check_unit(array.coordinates[channel_name].unit, arrays[0].coordinates[channel_name].unit)
    if chosen.start is not None or chosen.stop is not None:
        arrays = [channels_of(array, channel_name, chosen) for array in arrays]
    timed = with_times(arrays, time_name, tolerance, within)
    members: list[Member] = []
    for one in timed:
        first = members[-1].place.time.stop if members else 0
        members.append(_member(one, first, time_name, channel_name, tolerance))
    graph = timed[0].array.graph
    if graph is not None and timed[0].array.dims.index(time_name) == 1:
        graph = graph.T
    return Recording(
        time_name=time_name,
        channel_name=channel_name,
        channel_unit=arrays[0].coordinates[channel_name].unit,
        shape=(members[-1].place.time.stop, max(m.place.distance.stop for m in members)),
        dtype=max((m.dtype for m in members), key=lambda dtype: dtype.itemsize),
        segments=tuple(segment for member in members for segment in _segments(member)),
        chunks=members[0].source.chunks(),
        graph=graph,
        members=tuple(members),
        notes=tuple(note for one in timed for note in one.notes),
        unit=_common_unit(arrays),
        jitter=next((str(one.jitter) for one in timed if one.jitter), ""),
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


def _opened_apart(data: Any, arrays: Sequence[Labelled]) -> bool:
    """Tell whether xdas opened files one by one because their first dimension is the fibre."""
    of_xdas = type(data).__module__.partition(".")[0] == "xdas" and len(arrays) > 1
    return of_xdas and all(
        len(array.dims) == 2 and array.dims.index(_time_dimension(array)) == 1 for array in arrays
    )


def _member(
    timed: Timed, first: int, time_name: str, channel_name: str, tolerance: float
) -> Member:
    array, times = timed.array, timed.runs
    distances = runs_of(array.coordinates[channel_name].ties(), channel_name, tolerance)
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


def _common_unit(arrays: Sequence[Labelled]) -> str:
    """Return the unit of the samples, if all arrays state the same."""
    first, *others = {array.unit for array in arrays}
    return "" if others else first


def _check_unit(unit: str, first: str) -> None:
    """Refuse an array of a collection whose positions are not of the kind of the first one's."""
    if unit != first:
        raise InvalidInput(
            f"The collection has an array whose channels have positions in {_unit_in_words(unit)} "
            f"and one in {_unit_in_words(first)}; give both metres, or pass one array at a time."
        )


def _unit_in_words(unit: str) -> str:
    return {METRE: "metres", NUMBER: "channel numbers"}.get(unit, repr(unit))


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
