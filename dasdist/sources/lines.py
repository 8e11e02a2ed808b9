"""Coordinates of xdas from what a file says of its axes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdas.coordinates import Coordinate

__all__ = ["even_times", "line", "times"]

_SECOND = 10**9


def times(values: NDArray[np.int64], name: str) -> Coordinate:
    """Return a time coordinate with these nanoseconds since 1970, exactly.

    Only samples where the step changes become ties.
    """
    steps = np.diff(values)
    bends = np.flatnonzero(steps[1:] != steps[:-1]) + 1
    ties = np.unique([0, *bends, *(bends + 1), len(values) - 1]) if len(values) > 1 else [0]
    indices = np.asarray(ties, dtype=np.int64)
    return _interpolated(indices, values[indices].astype("datetime64[ns]"), name)


def even_times(start: int, step: int, size: int, name: str) -> Coordinate:
    """Return the times of samples ``step`` nanoseconds apart, a step that was rounded to those.

    Where it is that of a whole number of Hz, that is the rate: 333333 ns are 3000 Hz.  Else an hour
    of 3000 Hz would end 4 ms early, and the next hour begin after a gap.
    """
    rate = round(_SECOND / step) if step > 0 else 0
    if rate == 0 or abs(_SECOND / rate - step) > 1:
        numerator, denominator = step, 1
    else:
        numerator, denominator = _SECOND, rate
    last = start + (numerator * (size - 1) + denominator // 2) // denominator
    if size == 1:
        return _interpolated(np.array([0]), np.array([start], "datetime64[ns]"), name)
    data = {
        "tie_indices": np.array([0, size - 1]),
        "tie_values": np.array([start, last]).astype("datetime64[ns]"),
        "sampling_numerator": np.timedelta64(numerator, "ns"),
        "sampling_denominator": denominator,
        "tolerance": np.timedelta64(1, "ns"),  # of rounding the last
    }
    return Coordinate["interpolated"](data, name)


def line(values: NDArray[Any], name: str) -> Coordinate:
    """Return a coordinate of positions or numbers: two ties where they are evenly spaced."""
    if len(values) < 2:
        return Coordinate(values, name)
    even = np.linspace(values[0], values[-1], len(values))
    room = 1e-9 * max(abs(float(values[0])), abs(float(values[-1])), 1.0)
    if not np.allclose(values, even, rtol=0, atol=room):
        return Coordinate(values, name)
    ends = np.array([values[0], values[-1]], dtype=np.float64)
    return _interpolated(np.array([0, len(values) - 1]), ends, name)


def _interpolated(indices: Any, values: Any, name: str) -> Coordinate:
    return Coordinate["interpolated"]({"tie_indices": indices, "tie_values": values}, name)
