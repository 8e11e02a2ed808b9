"""Axes as xarray coordinates: ordinary ones where they fit in memory, computed ones where not.

A year at 1 kHz has 3e10 samples, 250 GB of time stamps; its axis is a few numbers.  Long time axes
therefore become a coordinate that computes what is asked for and keeps nothing::

    Axis --> coordinate(axis) --+-- up to EAGER_LIMIT values: a pandas index, in memory
                                '-- beyond: AffineIndex
                                      isel(slice)   another axis, a pandas index once short enough
                                      sel(label)    integer arithmetic, what pandas would find
                                      .values       only of what was selected

Values are those of :meth:`dasdist.geometry.Axis.values_at`, to the nanosecond.
"""

from collections.abc import Hashable, Mapping
from fractions import Fraction
from math import lcm
from typing import Any, Self

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from xarray.core.indexing import IndexSelResult, LazilyIndexedArray
from xarray.indexes import CoordinateTransform, CoordinateTransformIndex, Index, PandasIndex

from dasdist.errors import InvalidInput
from dasdist.geometry.axis import Axis, axis_attrs, axis_from_attrs

__all__ = ["EAGER_LIMIT", "AffineIndex", "axis_attrs", "axis_from_attrs", "coordinate"]

EAGER_LIMIT = 10_000_000
"""Longest time axis that becomes an ordinary, pandas-indexed coordinate."""

_WHOLE_LIMIT = 1_000_000_000  # time stamps that .values may compute at once: 8 GB
_NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


def coordinate(*axes: Axis) -> xr.Coordinates:
    """Return axes as indexed coordinates, for ``coords=`` or ``assign_coords``.

    Parameters
    ----------
    *axes : Axis
        Any number of axes with different names, which become coordinate and dimension names.

    Returns
    -------
    xarray.Coordinates
        Time axes of more than ``EAGER_LIMIT`` values are computed when asked for; all other
        coordinates are in memory.

    Examples
    --------
    >>> year = Axis("time", Fraction(0), Fraction(10**6), size=31_536_000_000, is_time=True)
    >>> ds = xr.Dataset(coords=coordinate(year))
    >>> str(ds.time[-1].values)
    '1970-12-31T23:59:59.999000000'
    >>> ds.sel(time=slice("1970-03-01T00:00", "1970-03-01T00:01")).sizes["time"]
    120000
    """
    variables: dict[Hashable, xr.Variable] = {}
    indexes: dict[Any, Index] = {}
    for axis in axes:
        indexes[axis.name] = index = _index(axis, axis.name, axis.name)
        variables.update(index.create_variables())
    return xr.Coordinates(variables, indexes=indexes)


def _index(axis: Axis, name: Hashable, dim: str) -> Index:
    if axis.is_time and axis.size > EAGER_LIMIT:
        return AffineIndex(_AffineTransform(axis, name, dim))
    return _pandas_index(axis.values(), name, dim)


def _pandas_index(values: NDArray[Any], name: Hashable, dim: str) -> Index:
    return PandasIndex(pd.Index(values, name=name), dim, coord_dtype=values.dtype)


class _AffineTransform(CoordinateTransform):
    """A time axis as xarray sees one; renaming changes ``coord_names`` and ``dims``."""

    def __init__(self, axis: Axis, name: Hashable, dim: str) -> None:
        super().__init__([name], {dim: axis.size}, dtype=axis.dtype)
        self.axis = axis

    def forward(self, dim_positions: dict[str, Any]) -> dict[Hashable, Any]:
        (positions,) = dim_positions.values()
        return {self.coord_names[0]: self.axis.values_at(np.asarray(positions, dtype=np.int64))}

    def equals(self, other: CoordinateTransform, **kwargs: Any) -> bool:
        if not isinstance(other, _AffineTransform):
            return False
        mine, theirs = self.axis, other.axis
        return (mine.start, mine.step, mine.size) == (theirs.start, theirs.step, theirs.size)


class _LazyValues(LazilyIndexedArray):
    """The values of an axis: slices stay lazy, copies are the same object, both ends are shown."""

    __slots__ = ()

    def get_duck_array(self) -> Any:
        if self.size > _WHOLE_LIMIT:
            raise InvalidInput(
                f"A time axis of {self.size:,} samples holds {self.size * 8 / 2**30:,.0f} GiB of "
                "time stamps, which are only computed for what is selected; select a part first, "
                "e.g. ds.isel(time=slice(0, 1000))."
            )
        return super().get_duck_array()  # type: ignore[no-untyped-call]

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    def _repr_inline_(self, max_width: int) -> str:
        if self.ndim != 1 or not self.size:
            return "..."
        first, last = (np.datetime_as_string(t) for t in xr.Variable("i", self)[[0, -1]].values)
        shown = max(10, (max_width - 5) // 2)
        return f"{first[:shown]} ... {last[:shown]}"


class AffineIndex(CoordinateTransformIndex):
    """The index of a time axis that is too long to keep.

    Slices give another such index, or a pandas index once they have at most ``EAGER_LIMIT``
    values.  Labels (time stamps, partial strings such as ``"2024-03-01T12"``, slices and arrays of
    them) find what they would find in a :class:`pandas.DatetimeIndex` of the same values.  Indexes
    align when their axes are equal.
    """

    transform: _AffineTransform

    def __init__(self, transform: _AffineTransform) -> None:
        super().__init__(transform)
        self.axis = transform.axis
        (variable,) = super().create_variables().values()
        self._values = _LazyValues(variable._data)

    def create_variables(
        self, variables: Mapping[Any, xr.Variable] | None = None
    ) -> dict[Any, xr.Variable]:
        """Return the coordinate, which computes its values when asked."""
        (name,), given = self.transform.coord_names, variables or {}
        attrs = given[name].attrs if name in given else None
        return {name: xr.Variable(self.transform.dims, self._values, attrs)}

    def isel(self, indexers: Mapping[Any, Any]) -> Index | None:
        """Return the index of a selection by position; ``None`` where the dimension goes."""
        (dim,), (name,) = self.transform.dims, self.transform.coord_names
        key = indexers[dim]
        if isinstance(key, slice):
            part = range(self.axis.size)[key]
            axis = self.axis.transform(offset=part.start, stride=part.step, size=len(part))
            return _index(axis, name, dim)
        positions = np.asarray(key)
        if positions.ndim != 1 or (isinstance(key, xr.Variable) and key.dims != (dim,)):
            return None
        if positions.dtype.kind == "b":
            positions = np.flatnonzero(positions)
        positions = np.where(positions < 0, positions + self.axis.size, positions)
        return _pandas_index(self.axis.values_at(positions.astype(np.int64)), name, dim)

    def sel(
        self, labels: dict[Any, Any], method: str | None = None, tolerance: Any = None
    ) -> IndexSelResult:
        """Find labels as pandas does; raises ``KeyError`` for those that it would not find."""
        ((name, label),) = labels.items()
        axis, (dim,) = self.axis, self.transform.dims
        if axis.step <= 0:
            raise InvalidInput(f"{name!r} runs backwards; select by label before reversing it.")
        if isinstance(label, slice):
            if method is not None or tolerance is not None:
                raise NotImplementedError("slices of labels take neither method nor tolerance")
            return IndexSelResult({dim: _slice(axis, label)})
        if isinstance(label, str) and method is None and (span := _period(axis, label)):
            return IndexSelResult({dim: span})
        wanted = _nanoseconds(label)
        positions = _positions(axis, wanted, method)
        missing = positions < 0
        if tolerance is not None and not missing.any():
            distance = np.abs(_integers(axis, positions) - wanted)
            missing = distance > pd.Timedelta(tolerance).as_unit("ns").value
        if missing.any():
            hint = "" if method else "; try method='nearest'"
            raise KeyError(f"not all of {label!r} found in index {name!r}{hint}")
        positions = positions.reshape(np.shape(label))
        if isinstance(label, xr.DataArray):
            return IndexSelResult({dim: xr.DataArray(positions, label.coords, label.dims)})
        if isinstance(label, xr.Variable):
            return IndexSelResult({dim: xr.Variable(label.dims, positions)})
        return IndexSelResult({dim: positions if positions.ndim else int(positions)})

    def _repr_inline_(self, max_width: int) -> str:
        return f"AffineIndex (every {float(self.axis.spacing):g} s)"[:max_width]


def _below(axis: Axis, labels: NDArray[Any]) -> NDArray[np.int64]:
    """Count the values below each label (nanoseconds, as Python integers).

    Values are floor(start + i step + 1/2), so that value i is below an integer label when
    ``i < (label - 1/2 - start) / step``.
    """
    half = axis.start + Fraction(1, 2)
    common = lcm(half.denominator, axis.step.denominator)
    count = -(-(labels * common - int(half * common)) // int(axis.step * common))
    return np.asarray(np.clip(count, 0, axis.size), dtype=np.int64)


def _integers(axis: Axis, positions: NDArray[np.int64]) -> NDArray[Any]:
    return axis.values_at(positions).astype(np.int64).astype(object)


def _positions(axis: Axis, labels: NDArray[Any], method: str | None) -> NDArray[np.int64]:
    """Return the position of each label, -1 where the method finds none."""
    first = _below(axis, labels)
    if method in ("pad", "ffill"):
        return _below(axis, labels + 1) - 1
    if method in ("backfill", "bfill"):
        return np.where(first == axis.size, -1, first)
    before, after = np.maximum(first - 1, 0), np.minimum(first, axis.size - 1)
    low, high = _integers(axis, before), _integers(axis, after)
    if method == "nearest":
        return np.where((labels - low < high - labels) | (high < labels), before, after)
    if method is None:
        return np.where(high == labels, after, -1)
    raise InvalidInput(f"method={method!r} is none of None, 'nearest', 'ffill' and 'bfill'.")


def _slice(axis: Axis, label: slice) -> slice:
    start = None if label.start is None else int(_below(axis, _span(label.start))[0])
    stop = None if label.stop is None else int(_below(axis, _span(label.stop))[1])
    return slice(start, stop, label.step)


def _period(axis: Axis, label: str) -> slice | None:
    """Return what a partial string such as ``"2024-03-01"`` spans; ``None`` for a time stamp."""
    start, stop = _span(label)
    if stop - start == 1 or not (axis.start % (stop - start) or axis.step % (stop - start)):
        return None
    found = _slice(axis, slice(label, label))
    if found.stop == 0 or found.start == axis.size:
        raise KeyError(label)
    return found


def _span(label: Any) -> NDArray[Any]:
    """Return the half-open range of nanoseconds that a label means, as Python integers."""
    if isinstance(label, str):
        period = pd.Period(label)
        stamps, more = [period.start_time, (period + 1).start_time], 0
    else:
        stamp = pd.Timestamp(np.asarray(label)[()] if hasattr(label, "dims") else label)
        stamps, more = [stamp, stamp], 1
    if stamps[0].tzinfo is not None:
        raise InvalidInput(f"{label} has a time zone; times of recordings are UTC and have none.")
    first, last = (int(s.asm8.astype(np.int64)) * _NANOSECONDS[s.unit] for s in stamps)
    return np.array([first, last + more], dtype=object)


def _nanoseconds(labels: Any) -> NDArray[Any]:
    """Return labels of any shape as a flat array of Python integers."""
    flat = np.atleast_1d(np.asarray(labels)).ravel()
    stamps = pd.DatetimeIndex(flat) if flat.dtype.kind in "MUO" else None
    if stamps is None or stamps.tz is not None or stamps.hasnans:
        raise KeyError(f"{labels!r} is not a time without time zone, such as numpy.datetime64")
    return np.asarray(stamps.as_unit("ns").asi8.astype(object))
