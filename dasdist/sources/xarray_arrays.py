"""Read arrays that xarray opened: numpy, dask, or lazy values of a Zarr store or NetCDF file."""

import pickle
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray
from numpy.typing import NDArray

from dasdist.errors import DataWarning, InvalidInput
from dasdist.geometry import Region, Span
from dasdist.sources.absence import NEVER_WRITTEN, Absence, Reading
from dasdist.sources.coordinates import Ties, ties_of_values
from dasdist.sources.declared import Declared
from dasdist.sources.declared_source import StatedSource, masked, masked_dtype, stated
from dasdist.sources.hdf5 import turned
from dasdist.sources.hdf5_behind import lack_of_hdf5, unwritten_in_hdf5
from dasdist.sources.labelled import (
    GraphSource,
    Labelled,
    coordinate_in,
    in_memory,
    is_graph,
    unit_in,
)
from dasdist.sources.selection import file_identity
from dasdist.sources.source import Source
from dasdist.sources.trusted import check_codecs
from dasdist.sources.views import view_of
from dasdist.sources.zarr_chunks import lack_of_zarr, unwritten_in_zarr, zarr_array
from dasdist.sources.zones import holds_times, in_utc

__all__ = ["LazySource", "labelled_xarray", "lacks_chunks", "opened_by"]


def labelled_xarray(data: xarray.DataArray) -> Labelled:
    """Describe a :class:`xarray.DataArray` for opening it; only coordinates are loaded."""
    coordinates, others = {}, {}
    for name, coordinate in data.coords.items():
        if coordinate.dims == (name,):
            ties = partial(_ties, coordinate)
            dtype = np.dtype("M8[ns]") if _has_times(coordinate) else coordinate.dtype
            coordinates[str(name)] = coordinate_in(_unit(coordinate), str(name), dtype, ties)
        elif len(coordinate.dims) == 1:
            others[str(name)] = str(coordinate.dims[0])
    # `data.data` and `data.values` would load what is lazy
    graph = data.data if data.chunks is not None and is_graph(data.data) else None
    variable, as_read = data.variable, graph is None and not data.variable._in_memory
    stored = None if graph is None else opened_by(graph)
    array = _zarr_behind(variable if stored is None else stored.variable)
    if array is not None:
        check_codecs(array)
    if stored is not None and len(data.dims) == 2:
        as_read = as_read or stored.alone
        lack = lack_behind(stored.variable, data.encoding)
        if lack and stored.alone:
            # read without dask, what is missing can be told from zeros
            variable, graph = stored.variable_of(data), None
        elif lack:
            _refuse(lack, slices=stored.slices and "within" not in lack)
    declared = Declared()
    if data.dtype.kind in "iuf":
        declared = stated(data.attrs, data.encoding, data.dtype, read=as_read)
    if graph is not None and declared.anything:
        graph = graph.map_blocks(masked, declared, dtype=masked_dtype(data.dtype))
    return Labelled(
        dims=tuple(str(dim) for dim in data.dims),
        shape=data.shape,
        dtype=data.dtype if graph is None else graph.dtype,
        coordinates=coordinates,
        others=others,
        source=partial(_source, variable, graph, declared, stored is not None),
        graph=graph,
        name=None if data.name is None else str(data.name),
        unit=unit_in(data.attrs),
    )


def _unit(coordinate: xarray.DataArray) -> str | None:
    """Return the unit that a coordinate states: text, or what pint left there."""
    stated = coordinate.attrs.get("units", coordinate.attrs.get("unit"))
    return None if stated is None else str(stated)


def _has_times(coordinate: xarray.DataArray) -> bool:
    """Return whether these are times; those with a zone are an extension type, or objects."""
    zoned = isinstance(coordinate.dtype, pd.DatetimeTZDtype)
    return zoned or (coordinate.dtype == object and holds_times(coordinate.values))


def _ties(coordinate: xarray.DataArray) -> Ties:
    name = str(coordinate.name)
    if not _has_times(coordinate):
        return ties_of_values(coordinate.values, name)
    return ties_of_values(in_utc(coordinate.to_index(), name), name)


def lacks_chunks(data: xarray.DataArray) -> bool:
    """Return whether dask reads the data from storage that may lack some of it."""
    stored = opened_by(data.data) if data.chunks is not None and is_graph(data.data) else None
    return stored is not None and lack_behind(stored.variable, data.encoding) != ""


def lack_behind(variable: xarray.Variable, encoding: Mapping[Any, Any]) -> str:
    """Say what of the storage behind a lazy variable was perhaps never written."""
    view = view_of(variable)
    if view is None:
        return ""
    array = zarr_array(view)
    if array is None:
        return lack_of_hdf5(view, encoding)
    lack = lack_of_zarr(array)
    return f"{lack} of {array.store_path}" if lack else ""


def _refuse(lack: str, *, slices: bool) -> None:
    """Refuse, or warn of, a dask graph that reads storage of which some may be missing."""
    told = (
        f"The data comes through dask, and {lack} may never have been written and would read as a "
        "fill value. Open it without dask, with chunks=None (xarray.open_zarr(path, chunks=None)): "
        "what is missing is known then, and told."
    )
    if slices:
        raise InvalidInput(told)
    warnings.warn(told, DataWarning, stacklevel=6)


def _source(
    variable: xarray.Variable, graph: Any, declared: Declared, unnamed: bool, time_axis: int
) -> Source:
    if graph is not None:
        return GraphSource(graph if time_axis == 0 else graph.T)
    if variable._in_memory:
        source: Source = in_memory(variable.values, time_axis)
    else:
        source = LazySource(variable, time_axis, unnamed)
    return StatedSource(source, declared) if declared.anything else source


@dataclass(frozen=True, slots=True)
class LazySource:
    """A variable that xarray reads from its backend when asked for values.

    Parameters
    ----------
    variable : xarray.Variable
        The variable.
    time_axis : int
        Which of its axes is time.
    unnamed : bool
        Whether it came as a dask graph, which runs do not identify by its store.
    """

    variable: xarray.Variable
    time_axis: int
    unnamed: bool = False

    def select(self, region: Region) -> "LazySource":
        """Return a lazy slice."""
        time, distance = region.time.slice, region.distance.slice
        key = (time, distance) if self.time_axis == 0 else (distance, time)
        return LazySource(self.variable[key], self.time_axis, self.unnamed)

    def read(self) -> NDArray[Any]:
        """Read from the backend."""
        return self.reading().values

    def reading(self) -> Reading:
        """Read from the backend, and tell which chunks of a Zarr store were never written."""
        # from a fresh slice: a variable keeps what it has read
        values: NDArray[Any] = self.variable[:, :].values
        found = Absence.of_mask(self._unwritten(values), NEVER_WRITTEN)
        return turned(Reading(values, found, own=True), self.time_axis)

    def _unwritten(self, values: NDArray[Any]) -> NDArray[np.bool_] | None:
        view = view_of(self.variable)
        if view is None:
            return None
        array = zarr_array(view)
        if array is not None:
            return unwritten_in_zarr(view, array, values)
        return unwritten_in_hdf5(view, self.variable.encoding, values)

    def files(self) -> Sequence[tuple[Span, str]]:
        """Return the file or store that xarray opened, if it says."""
        path = self.variable.encoding.get("source") or _store(self.variable)
        return [(Span(0, self.variable.shape[self.time_axis]), str(path))] if path else []

    def chunks(self) -> tuple[int, int] | None:
        """Return the chunk of the Zarr array or NetCDF variable."""
        encoding = self.variable.encoding
        chunk = encoding.get("chunks") or encoding.get("chunksizes")
        if not chunk or len(chunk) != 2:
            return None
        rows, columns = (min(c, n) for c, n in zip(chunk, self.variable.shape, strict=True))
        return (int(rows), int(columns)) if self.time_axis == 0 else (int(columns), int(rows))

    def identity(self) -> Iterator[bytes]:
        """Yield the file or the name of the store."""
        if self.unnamed:
            return
        for _, path in self.files():
            yield file_identity(path)

    def __reduce__(self) -> Any:
        """Pickle the variable; refuse one that no other process could open."""
        try:
            held = pickle.dumps(self.variable, protocol=pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            raise InvalidInput(
                "This xarray.DataArray reads from an object that cannot be sent to a worker, such "
                f"as an open file ({error}). Open the file by its path, or load the data first."
            ) from error
        return _reopened, (held, self.time_axis, self.unnamed)


def _reopened(held: bytes, time_axis: int, unnamed: bool) -> LazySource:
    return LazySource(pickle.loads(held), time_axis, unnamed)


@dataclass(frozen=True, slots=True)
class _Opened:
    """What a dask graph of xarray's reads.

    Parameters
    ----------
    variable : xarray.Variable
        The lazy variable behind it.
    alone : bool
        Whether the graph does nothing but read it.
    slices : bool
        Whether it does nothing but read and slice or turn it.
    """

    variable: xarray.Variable
    alone: bool
    slices: bool

    def variable_of(self, data: xarray.DataArray) -> xarray.Variable:
        """Return the variable with the encoding of what it became."""
        return xarray.Variable(data.dims, self.variable._data, encoding=data.encoding)


def opened_by(graph: Any) -> _Opened | None:
    """Return the variable that a dask graph reads, if xarray made it of a single one."""
    layers = graph.__dask_graph__().layers
    roots = [
        entry
        for name, layer in layers.items()
        if str(name).startswith("original-") and len(layer) == 1
        for entry in layer.values()
        if hasattr(entry, "array") and type(entry).__module__.startswith("xarray.")
    ]
    if len(roots) != 1:
        return None
    inner = roots[0].array
    names = [str(name) for name in layers if not str(name).startswith("original-")]
    first = [name for name in names if f"original-{name}" in layers]
    others = [name.partition("-")[0] for name in names if name not in first]
    dims = tuple(f"dim_{axis}" for axis in range(len(inner.shape)))
    return _Opened(
        xarray.Variable(dims, inner),
        alone=graph.name in first,
        slices={*others} <= {"getitem", "transpose"},
    )


def _store(variable: xarray.Variable) -> Any:
    """Return the address of the Zarr array behind a variable, if there is one."""
    return getattr(_zarr_behind(variable), "store_path", None)


def _zarr_behind(variable: xarray.Variable) -> Any:
    """Return the Zarr array at the bottom of xarray's wrappers, if there is one."""
    inner = variable._data
    while hasattr(inner, "array"):
        inner = inner.array
    array = getattr(inner, "_array", None)
    return array if hasattr(array, "store_path") else None
