"""Labelled arrays of any library, in the one shape in which recordings are opened."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.errors import InvalidInput
from dasdist.geometry import Region, Span
from dasdist.sources.coordinates import Ties
from dasdist.sources.lengths import METRE, NUMBER, is_number, metres
from dasdist.sources.selection import ArraySource, Source

__all__ = [
    "Coordinate",
    "GraphSource",
    "Labelled",
    "coordinate_in",
    "in_memory",
    "is_graph",
    "unit_in",
]

_COUNTED = frozenset(
    ("channel", "channels", "channel_number", "channel_index", "locus", "loci", "trace", "traces")
)
"""Names of dimensions whose coordinate counts channels, unless it states another unit."""


@dataclass(frozen=True, slots=True)
class Coordinate:
    """A coordinate of one dimension; its ties are built when asked for.

    Parameters
    ----------
    dtype : dtype
        Type of its values.
    ties : callable
        Returns its ties.
    unit : str
        Of positions along the fibre: "m", "1" where they only count channels, or a unit that is no
        known one of length.
    """

    dtype: np.dtype[Any]
    ties: Callable[[], Ties]
    unit: str = METRE


def coordinate_in(
    unit: str | None, name: str, dtype: np.dtype[Any], ties: Callable[[], Ties]
) -> Coordinate:
    """Return a coordinate, in metres if it is in another known unit of length.

    Parameters
    ----------
    unit : str or None
        What it states; without, it is in metres, unless its name is that of a number.
    name : str
        Name of its dimension.
    dtype, ties
        As of :class:`Coordinate`.
    """
    if dtype.kind == "M":
        return Coordinate(dtype, ties)
    stated = (unit or "").strip() or (NUMBER if name.casefold() in _COUNTED else METRE)
    factor = metres(stated)
    if factor is None:
        return Coordinate(dtype, ties, NUMBER if is_number(stated) else stated)
    return Coordinate(dtype, ties if factor == 1 else partial(_scaled, ties, factor))


def _scaled(ties: Callable[[], Ties], factor: Fraction) -> Ties:
    found, by = ties(), float(factor)
    values = found.values * by
    finite = np.abs(values[np.isfinite(values)])
    lost = 4 * float(np.spacing(finite.max())) if finite.size else 0.0
    step = None if found.step is None else found.step * factor
    return replace(found, values=values, step=step, rounding=max(found.rounding * by, lost))


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
    unit : str
        Unit of the samples, as the data states it; "" if it does not.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    coordinates: Mapping[str, Coordinate]
    others: Mapping[str, str]
    source: Callable[[int], Source]
    graph: Any | None = None
    name: str | None = None
    unit: str = ""


def unit_in(attrs: Mapping[Any, Any] | None) -> str:
    """Return the unit that attributes state, as text: perhaps what pint left there.

    Examples
    --------
    >>> unit_in({"units": " nm/m/s "}), unit_in(None)
    ('nm/m/s', '')
    """
    known = attrs or {}
    stated = known.get("units", known.get("unit", known.get("data_units")))
    return "" if stated is None else str(stated).strip()


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
