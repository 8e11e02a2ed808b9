"""Tie points of coordinates, and the evenly spaced runs between gaps.

Coordinates stay what they are, a few ties for many samples: a year at 1 kHz is never written out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.errors import InvalidInput
from dasdist.geometry import Axis, Span, uniform_stretches
from dasdist.geometry.axis import DAYS
from dasdist.geometry.straight_lines import simplest_fraction

__all__ = ["Run", "Ties", "runs_of", "ties_of_values", "ties_of_xdas"]


@dataclass(frozen=True, slots=True)
class Run:
    """Samples or channels of a recording that are evenly spaced, and their axis."""

    span: Span
    axis: Axis


@dataclass(frozen=True, slots=True)
class Ties:
    """A coordinate, linear between tie points.

    Parameters
    ----------
    indices : ndarray of int64, shape (n,)
        Positions of the ties.
    values : ndarray of int64 or float64, shape (n,)
        Nanoseconds since 1970 of a time coordinate, else the coordinate's own unit.
    is_time : bool
        Whether it is a time coordinate.
    step : Fraction or None
        Spacing that the coordinate declares.
    rounding : float
        Precision of the values.
    """

    indices: NDArray[np.int64]
    values: NDArray[Any]
    is_time: bool
    step: Fraction | None
    rounding: float


def runs_of(ties: Ties, name: str, tolerance: float) -> tuple[Run, ...]:
    """Cut a coordinate into uniform runs.

    Parameters
    ----------
    ties : Ties
        The coordinate.
    name : str
        Its name.
    tolerance : float
        Largest deviation from uniform spacing within a run, in samples.

    Returns
    -------
    tuple of Run
        In the order of the indices; together they hold every index once.

    Raises
    ------
    InvalidInput
        If values are missing, or times do not increase from one sample to the next.  Positions may
        repeat: such a run has a step of 0.
    """
    if ties.values.dtype.kind == "f" and not np.isfinite(ties.values).all():
        raise InvalidInput(
            f"The {name!r} coordinate has NaN or infinite values; give every sample or channel a "
            "finite one."
        )
    stretches = uniform_stretches(
        ties.indices, ties.values, tolerance, step=ties.step, rounding=ties.rounding
    )
    if ties.is_time and stretches[-1].stop == 1:
        raise InvalidInput(
            f"The recording has only one sample, so its {name!r} coordinate has no sampling rate; "
            "pass two samples or more."
        )
    runs = []
    for stretch in stretches:
        size = stretch.stop - stretch.start
        axis = Axis(name, stretch.first, stretch.step, size, ties.is_time)
        if stretch.step <= 0 and ties.is_time:
            what = "decreases" if stretch.step < 0 else "stays the same"
            raise InvalidInput(
                f"The {name!r} coordinate {what} from {axis.value(0)} on, for {size} samples; it "
                "must increase from each one to the next. Drop or sort these (in xdas with "
                "`trim_overlaps` and `sortby`), or correct the coordinate, where it is rounded "
                "too coarsely."
            )
        runs.append(Run(Span(stretch.start, stretch.stop), axis))
    return tuple(runs)


def ties_of_values(values: NDArray[Any], name: str) -> Ties:
    """Return the ties of a coordinate whose values are all written out, shape (n,)."""
    numbers, rounding = _numbers(values, name)
    indices = np.arange(numbers.size)
    if numbers.size > 2 and numbers.dtype.kind == "i":
        # few of them say something: drop those between two steps of the usual size
        steps = np.diff(numbers)
        usual = steps == np.partition(steps, steps.size // 2)[steps.size // 2]
        kept = np.concatenate(([True], ~(usual[1:] & usual[:-1]), [True]))
        indices, numbers = indices[kept], numbers[kept]
    return Ties(indices, numbers, values.dtype.kind == "M", None, rounding)


def ties_of_xdas(coordinate: Any, name: str) -> Ties:
    """Return the ties of an xdas coordinate of any kind: interpolated, sampled, dense."""
    if hasattr(coordinate, "tie_lengths"):
        return _ties_of_sampled(coordinate, name)
    if hasattr(coordinate, "tie_indices"):
        values, rounding = _numbers(coordinate.tie_values, name)
        indices = np.asarray(coordinate.tie_indices, dtype=np.int64)
        step = _declared_step(coordinate.data)
        return Ties(indices, values, coordinate.dtype.kind == "M", step, rounding)
    return ties_of_values(np.asarray(coordinate.values), name)


def _ties_of_sampled(coordinate: Any, name: str) -> Ties:
    values, rounding = _numbers(coordinate.tie_values, name)
    steps = np.asarray(coordinate.tie_lengths, dtype=np.int64) - 1
    step = _declared_step(coordinate.data)
    if step is None:  # an empty coordinate
        return Ties(steps, values, coordinate.dtype.kind == "M", None, rounding)
    if values.dtype.kind == "f":
        lasts = values + steps * float(step)
    else:
        whole = step.numerator // step.denominator
        lasts = values + steps * whole + np.rint(steps * float(step - whole)).astype(np.int64)
    firsts = np.cumsum(steps + 1) - (steps + 1)
    longer = np.stack([np.ones(steps.size, dtype=bool), steps > 0], axis=1)
    indices = np.stack([firsts, firsts + steps], axis=1)[longer]
    ends = np.stack([values, lasts], axis=1)[longer]
    return Ties(indices, ends, coordinate.dtype.kind == "M", step, rounding)


def _declared_step(data: Mapping[str, Any]) -> Fraction | None:
    numerator, denominator = data.get("sampling_numerator"), data.get("sampling_denominator")
    if numerator is None or denominator is None:
        return None
    if isinstance(numerator, np.timedelta64):
        return Fraction(int(numerator.astype("timedelta64[ns]").astype(np.int64)), int(denominator))
    if isinstance(numerator, np.floating | float):
        # a float stands for the simplest fraction that it could have been rounded from
        step = float(numerator) / int(denominator)
        return simplest_fraction(Fraction(step), float(np.spacing(abs(step))))
    return Fraction(int(numerator), int(denominator))


def _numbers(values: NDArray[Any], name: str) -> tuple[NDArray[Any], float]:
    """Return values as integer nanoseconds, integers or doubles, and their precision."""
    values = np.asarray(values)
    kind = values.dtype.kind
    if kind == "M":
        if np.isnat(values).any():
            raise InvalidInput(
                f"The {name!r} coordinate has missing times (NaT); give every sample a time."
            )
        _check_range(values, name)
        unit, count = np.datetime_data(values.dtype)
        tick = np.ones((), f"timedelta64[{count}{unit}]").astype("timedelta64[ns]").astype(np.int64)
        return values.astype("datetime64[ns]").astype(np.int64), float(tick)
    if kind in "iu":
        return values.astype(np.int64), 1.0
    finite = np.abs(values[np.isfinite(values)])
    # what adding up a few of them loses
    precision = 4 * float(np.spacing(finite.max())) if finite.size else 0.0
    return values.astype(np.float64), precision


def _check_range(values: NDArray[Any], name: str) -> None:
    """Refuse times that nanoseconds cannot count: libraries wrap them without a word."""
    if not values.size:
        return
    low, high = values.min(), values.max()
    if low.astype("M8[D]") < DAYS[0] or high.astype("M8[D]") > DAYS[1]:
        raise InvalidInput(
            f"The {name!r} coordinate begins at {values[0]} and goes from {low} to {high}. Times "
            "are counted in nanoseconds, which reach from 1677 to 2262; those beyond wrap into "
            f"others, so that {DAYS[0]} to {DAYS[1]} is taken. Was the clock set when this was "
            "recorded? Give the samples their right times, such as with `assign_coords`."
        )
