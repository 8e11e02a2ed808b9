"""Affine axes: sample or channel *i* lies at ``start + i * step``, exactly.

Positions are rational numbers, so that resampling, output grids and slices compose without any
rounding; a value is rounded once, when it is asked for::

    index      0        1        2              size - 1
               |--------|--------|---- ... ----|
    value    start    +step   +2 step

Time axes count integer nanoseconds since 1970, distance axes the units of their coordinate
(metres).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.errors import InvalidInput

__all__ = ["DAYS", "Axis", "axis_attrs", "axis_from_attrs"]

DAYS = (np.datetime64("1900-01-01"), np.datetime64("2262-04-10"))
"""First and last day of recordings.  64 bits of nanoseconds hold 1677-09-21 to 2262-04-11; what
lies beyond, libraries wrap into it without a word, such as year 1 into 1754."""

_INT64_SAFE = 2**62


@dataclass(frozen=True, slots=True)
class Axis:
    """A coordinate with uniform spacing, exact as rational numbers.

    Parameters
    ----------
    name : str
        Dimension and coordinate name, e.g. ``"time"`` or ``"distance"``.
    start, step : Fraction
        First value and spacing: nanoseconds since 1970 for a time axis, else the coordinate's unit.
    size : int
        Number of samples or channels.
    is_time : bool
        Whether values are ``datetime64[ns]`` (rounded to the nearest nanosecond) or ``float64``.

    Examples
    --------
    >>> axis = Axis("time", Fraction(0), Fraction(10**9, 3), size=4, is_time=True)
    >>> axis.values().astype("int64").tolist()
    [0, 333333333, 666666667, 1000000000]
    >>> axis.transform(offset=Fraction(1, 2), stride=Fraction(2), size=2).values().astype(
    ...     int
    ... ).tolist()
    [166666667, 833333333]
    """

    name: str
    start: Fraction
    step: Fraction
    size: int
    is_time: bool

    @property
    def sampling_rate(self) -> float:
        """Samples per second of a time axis, channels per unit of another."""
        return float(self._units_per_step / self.step)

    @property
    def spacing(self) -> Fraction:
        """Distance between neighbours: seconds for a time axis, else the coordinate's unit."""
        return self.step / self._units_per_step

    @property
    def _units_per_step(self) -> int:
        return 10**9 if self.is_time else 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return np.dtype("datetime64[ns]" if self.is_time else "float64")

    def transform(self, *, offset: Fraction | int, stride: Fraction | int, size: int) -> "Axis":
        """Return the axis whose element *i* sits at this axis' position ``offset + i * stride``."""
        start = self.start + self.step * offset
        return Axis(self.name, start, self.step * stride, size, self.is_time)

    def slice(self, start: int, stop: int) -> "Axis":
        """Return the elements ``start`` to ``stop`` (exclusive) as an axis of their own."""
        return self.transform(offset=start, stride=1, size=stop - start)

    def value(self, position: Fraction | int) -> Any:
        """Return the value at a (possibly fractional) position, as a numpy scalar."""
        exact = self.start + self.step * position
        if self.is_time:
            return np.datetime64(_round_half_up(exact.numerator, exact.denominator), "ns")
        return np.float64(exact.numerator / exact.denominator)

    def values(self, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Return the values of the elements ``start`` to ``stop`` (exclusive; default: all)."""
        return self.values_at(np.arange(start, self.size if stop is None else stop))

    def values_at(self, positions: NDArray[np.int64], denominator: int = 1) -> NDArray[Any]:
        """Return the values at the positions ``positions / denominator``.

        Parameters
        ----------
        positions : ndarray of int64, shape (n,)
            Numerators of the positions.
        denominator : int
            Their common denominator.

        Returns
        -------
        ndarray of datetime64[ns] or float64, shape (n,)
        """
        slope = self.step / denominator
        common = self.start.denominator * slope.denominator
        intercept = int(self.start * common)
        rise = int(slope * common)
        if self.is_time:
            return _affine_rounded(positions, intercept, rise, common).view("datetime64[ns]")
        exact = [(intercept + int(p) * rise) / common for p in positions]
        return np.array(exact, dtype=np.float64)


def _round_half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


def _affine_rounded(
    positions: NDArray[np.int64], intercept: int, rise: int, common: int
) -> NDArray[np.int64]:
    """Round ``(intercept + positions * rise) / common`` half up, without ever losing a digit.

    Whole steps and remainders are kept apart relative to the first position, so that int64 holds
    them for any time of this era; should it not, Python's own integers do the same sum.
    """
    if positions.size == 0:
        return np.empty(0, dtype=np.int64)
    anchor = int(positions.min())
    # half up is the floor of a value half a unit higher, hence everything is doubled
    whole, rest = divmod(2 * (intercept + anchor * rise) + common, 2 * common)
    step, fraction = divmod(rise, common)
    offset = positions - anchor
    if (int(offset.max()) + 1) * 2 * common < _INT64_SAFE:
        return whole + offset * step + (rest + offset * (2 * fraction)) // (2 * common)
    exact = offset.astype(object)
    rounded = whole + exact * step + (rest + exact * (2 * fraction)) // (2 * common)
    return np.asarray(rounded, dtype=np.int64)


def axis_attrs(axis: Axis) -> dict[str, Any]:
    """Return an axis as values that JSON keeps exactly.

    Examples
    --------
    >>> axis = Axis("time", Fraction(0), Fraction(10**9, 3), size=4, is_time=True)
    >>> axis_attrs(axis)
    {'name': 'time', 'start': '0', 'step': '1000000000/3', 'size': 4, 'is_time': True}
    >>> axis_from_attrs(axis_attrs(axis)) == axis
    True
    """
    exact = {"start": str(axis.start), "step": str(axis.step)}
    return {"name": axis.name, **exact, "size": int(axis.size), "is_time": axis.is_time}


def axis_from_attrs(attrs: Mapping[str, Any]) -> Axis:
    """Return the axis that :func:`axis_attrs` described; `InvalidInput` if there is none."""
    try:
        start, step, size = Fraction(attrs["start"]), Fraction(attrs["step"]), int(attrs["size"])
        return Axis(str(attrs["name"]), start, step, size, is_time=bool(attrs["is_time"]))
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise InvalidInput(
            f"{attrs!r} does not describe an axis ({error!r}); it needs name, start, step, size "
            "and is_time, as dasdist.geometry.axis.axis_attrs writes them."
        ) from error
