"""Open a recording: find its axes, cut it into segments, refuse what no model could work on."""

from itertools import product
from typing import Any

import numpy as np
import xarray

from dasdist.errors import InvalidInput
from dasdist.geometry import Region
from dasdist.sources.base import Recording, SegmentAxes
from dasdist.sources.coordinates import runs_of
from dasdist.sources.labelled import Labelled
from dasdist.sources.xarray_arrays import labelled_xarray

__all__ = ["open_recording"]


def open_recording(
    data: Any, *, channel_coord_name: str | None = None, tolerance: float = 0.25
) -> Recording:
    """Open a two-dimensional labelled array as a recording; no sample is read.

    Parameters
    ----------
    data : xdas.DataArray or xarray.DataArray
        Samples and channels, dimensions in either order.  Of xdas: tiles, HDF5 stacks, numpy or
        dask.  Of xarray: numpy, dask or lazy values of a Zarr store or NetCDF file.
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
        If `data` is not such an array, has no time or channel axis, holds anything but real
        numbers, or if its time does not increase.

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
    array = _labelled(data)
    _check(array)
    time_name = _time_dimension(array)
    channel_name = _channel_dimension(array, time_name, channel_coord_name)
    time_axis = array.dims.index(time_name)
    times, distances = (
        runs_of(array.coordinates[name].ties(), name, tolerance)
        for name in (time_name, channel_name)
    )
    segments = tuple(
        SegmentAxes(Region(time.span, distance.span), time.axis, distance.axis)
        for time, distance in product(times, distances)
    )
    samples, channels = array.shape if time_axis == 0 else array.shape[::-1]
    source = array.source(time_axis)
    graph = None
    if array.graph is not None:
        graph = array.graph if time_axis == 0 else array.graph.T
    return Recording(
        time_name=time_name,
        channel_name=channel_name,
        shape=(samples, channels),
        dtype=array.dtype.newbyteorder("="),
        segments=segments,
        chunks=source.chunks(),
        graph=graph,
        source=source,
        times=times,
    )


def _labelled(data: Any) -> Labelled:
    if isinstance(data, xarray.DataArray):
        return labelled_xarray(data)
    if any(kind.__module__.partition(".")[0] == "xdas" for kind in type(data).__mro__):
        from xdas import DataArray  # slow to import, and whoever made the data did already

        from dasdist.sources.xdas_arrays import labelled_xdas

        if isinstance(data, DataArray):
            return labelled_xdas(data)
    kind = f"{type(data).__module__.partition('.')[0]}.{type(data).__qualname__}"
    raise InvalidInput(
        f"Got a {kind}; a recording is one xdas.DataArray or xarray.DataArray. {_remedy(data)}"
    )


def _remedy(data: Any) -> str:
    if isinstance(data, xarray.Dataset):
        names = ", ".join(repr(name) for name in data.data_vars) or "none"
        return f"Pass one of its variables: {names}."
    if isinstance(data, str) or hasattr(data, "__fspath__"):
        return "Open the files first, with xdas.open_mfdataarray or xarray.open_zarr."
    if isinstance(data, np.ndarray):
        return "Give the samples their time and distance: xarray.DataArray(values, coords)."
    return "Pass one member of a collection at a time."


def _check(array: Labelled) -> None:
    if len(array.dims) != 2:
        raise InvalidInput(
            f"The data has {len(array.dims)} dimensions {array.dims}; a recording has two, time "
            "and the channels along one fibre. Select the others away, one array at a time."
        )
    if 0 in array.shape:
        sizes = dict(zip(array.dims, array.shape, strict=True))
        raise InvalidInput(f"The data is empty, {sizes}; select some first.")
    if array.dtype.kind not in "iuf":
        remedy = (
            "Take the magnitude, the real or the imaginary part."
            if array.dtype.kind == "c"
            else "Convert the samples with `astype`."
        )
        raise InvalidInput(
            f"The samples are {array.dtype}; models take integer or floating-point ones. {remedy}"
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
            f"Both dimensions {array.dims} have dates for coordinates; name the one that is time "
            "'time'."
        )
    held = ", ".join(f"{dim!r}: {_coordinate_type(array, dim)}" for dim in array.dims)
    raise InvalidInput(
        f"No dimension has a datetime64 coordinate ({held}), so that no sample has a time. Give "
        "the time dimension one by `assign_coords`, such as "
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
                f"channel_coord_name={wanted!r} labels the dimension {dim!r} but is not its "
                f"coordinate; make it that by `data.swap_dims({{{dim!r}: {wanted!r}}})`."
            )
        raise InvalidInput(
            f"channel_coord_name={wanted!r} is not the dimension along the fibre of {array.dims}, "
            f"of which {time_name!r} is time; pass {name!r}, or nothing."
        )
    if name not in array.coordinates:
        raise InvalidInput(
            f"The dimension {name!r} has no coordinate, so that channels have no position. Give "
            "it one, in metres: "
            f"`data.assign_coords({name}=spacing * np.arange({_size(array, name)}))`."
        )
    if array.coordinates[name].dtype.kind not in "iuf":
        raise InvalidInput(
            f"The {name!r} coordinate holds {array.coordinates[name].dtype}, not numbers; give the "
            "channels their distance in metres, or their number."
        )
    return name


def _size(array: Labelled, dim: str) -> int:
    return array.shape[array.dims.index(dim)]
