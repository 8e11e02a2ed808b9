"""Read arrays that xarray opened: numpy, dask, or lazy values of a Zarr store or NetCDF file."""

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import xarray
from numpy.typing import NDArray

from dasdist.errors import InvalidInput
from dasdist.geometry import Region, Span
from dasdist.sources.coordinates import ties_of_values
from dasdist.sources.labelled import Coordinate, GraphSource, Labelled, in_memory, is_graph
from dasdist.sources.selection import Source, file_identity

__all__ = ["LazySource", "labelled_xarray"]


def labelled_xarray(data: xarray.DataArray) -> Labelled:
    """Describe a :class:`xarray.DataArray` for opening it; only coordinates are loaded."""
    coordinates, others = {}, {}
    for name, coordinate in data.coords.items():
        if coordinate.dims == (name,):
            ties = partial(_ties, coordinate)
            coordinates[str(name)] = Coordinate(coordinate.dtype, ties)
        elif len(coordinate.dims) == 1:
            others[str(name)] = str(coordinate.dims[0])
    # `data.data` and `data.values` would load what is lazy
    graph = data.data if data.chunks is not None and is_graph(data.data) else None
    return Labelled(
        dims=tuple(str(dim) for dim in data.dims),
        shape=data.shape,
        dtype=data.dtype,
        coordinates=coordinates,
        others=others,
        source=partial(_source, data.variable, graph),
        graph=graph,
        name=None if data.name is None else str(data.name),
    )


def _ties(coordinate: xarray.DataArray) -> Any:
    return ties_of_values(coordinate.values, str(coordinate.name))


def _source(variable: xarray.Variable, graph: Any, time_axis: int) -> Source:
    if graph is not None:
        return GraphSource(graph if time_axis == 0 else graph.T)
    if variable._in_memory:
        return in_memory(variable.values, time_axis)
    return LazySource(variable, time_axis)


@dataclass(frozen=True, slots=True)
class LazySource:
    """A variable that xarray reads from its backend when asked for values."""

    variable: xarray.Variable
    time_axis: int

    def select(self, region: Region) -> "LazySource":
        """Return a lazy slice."""
        time, distance = region.time.slice, region.distance.slice
        key = (time, distance) if self.time_axis == 0 else (distance, time)
        return LazySource(self.variable[key], self.time_axis)

    def read(self) -> NDArray[Any]:
        """Read from the backend."""
        # from a fresh slice: a variable keeps what it has read
        values: NDArray[Any] = self.variable[:, :].values
        return values if self.time_axis == 0 else values.T

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
        return _reopened, (held, self.time_axis)


def _reopened(held: bytes, time_axis: int) -> LazySource:
    return LazySource(pickle.loads(held), time_axis)


def _store(variable: xarray.Variable) -> Any:
    """Return the address of the Zarr array at the bottom of xarray's wrappers, if there is one."""
    inner = variable._data
    while hasattr(inner, "array"):
        inner = inner.array
    return getattr(getattr(inner, "_array", None), "store_path", None)
