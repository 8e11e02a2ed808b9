"""Labelled arrays of any library, in the one shape in which recordings are opened."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.errors import InvalidInput
from dasdist.geometry import Region, Span
from dasdist.sources.coordinates import Ties
from dasdist.sources.selection import ArraySource, Source

__all__ = ["Coordinate", "GraphSource", "Labelled", "in_memory", "is_graph"]


@dataclass(frozen=True, slots=True)
class Coordinate:
    """A coordinate of one dimension; its ties are built when asked for."""

    dtype: np.dtype[Any]
    ties: Callable[[], Ties]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A two-dimensional labelled array.

    Parameters
    ----------
    dims : tuple of str
        Its dimensions.
    shape : tuple of int
        Their sizes.
    dtype : numpy.dtype
        Type of the samples.
    coordinates : mapping of str to Coordinate
        Coordinates that bear the name of their dimension.
    others : mapping of str to str
        Dimension of each other coordinate along one dimension.
    source : callable
        Makes the source, given which axis is time (0 or 1).
    graph : dask array, or None
        The values, where they are a dask graph.
    name : str or None
        What the data is called.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    coordinates: Mapping[str, Coordinate]
    others: Mapping[str, str]
    source: Callable[[int], Source]
    graph: Any | None = None
    name: str | None = None


def is_graph(values: Any) -> bool:
    """Return whether values are a dask array, without importing dask."""
    return hasattr(values, "__dask_graph__") and values.__dask_graph__() is not None


def in_memory(values: NDArray[Any], time_axis: int) -> ArraySource:
    """Return the source of a numpy array.

    Raises
    ------
    InvalidInput
        If it is masked: its mask would be lost on the way.
    """
    if isinstance(values, np.ma.MaskedArray):
        raise InvalidInput(
            "The samples are a masked array, and a model would see the values under the mask. Cut "
            "the data at the mask, or mark missing samples with NaN: `values.filled(np.nan)`."
        )
    return ArraySource(values if time_axis == 0 else values.T)


@dataclass(frozen=True, slots=True)
class GraphSource:
    """A dask array, shape (samples, channels), computed when read."""

    values: Any

    def select(self, region: Region) -> "GraphSource":
        """Return a slice, not computed."""
        return GraphSource(self.values[region.time.slice, region.distance.slice])

    def read(self) -> NDArray[Any]:
        """Compute the values."""
        return np.asarray(self.values)

    def files(self) -> tuple[tuple[Span, str], ...]:
        """Return none: a dask graph does not say which files it reads."""
        return ()

    def chunks(self) -> tuple[int, int] | None:
        """Return the largest chunk along either axis."""
        samples, channels = self.values.chunksize
        return samples, channels

    def identity(self) -> Iterator[bytes]:
        """Yield nothing: what a graph computes is not known before it does."""
        yield from ()

    def __reduce__(self) -> Any:
        """Leave out the tasks that these values do not need."""
        values = self.values
        keys = {key for row in values.__dask_keys__() for key in row}
        tasks = dict(values.__dask_graph__().cull(keys))
        return _culled, (type(values), tasks, values.name, values.chunks, values.dtype)


def _culled(kind: Any, tasks: Any, name: str, chunks: Any, dtype: Any) -> GraphSource:
    return GraphSource(kind(tasks, name, chunks, dtype=dtype))
