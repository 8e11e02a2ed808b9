"""Cut a coordinate into stretches of uniform spacing, at gaps and changes.

A coordinate is given by its *tie points*, the way xdas keeps it: between two ties it is linear::

    value
      |                 .-----   a gap: one index further, many steps later
      |                 |
      |        .--------'
      |    .---'   <- ties at both ends of every file
      +----|--------||-------- index

A gap, an overlap (time going back), a jump or another spacing ends a stretch.  Jitter does not: a
stretch is a straight line from which no tie, hence no index, deviates by more than ``tolerance``
samples.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.geometry.straight_lines import (
    allowance,
    fitting_slope,
    moved,
    off_line,
    shift,
    simplest_fraction,
    slope,
)

__all__ = ["Stretch", "uniform_stretches"]

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Indices ``start`` to ``stop`` (exclusive) of a coordinate, evenly spaced from ``first``."""

    start: int
    stop: int
    first: Fraction
    step: Fraction


def uniform_stretches(
    indices: NDArray[np.int64],
    values: NDArray[Any],
    tolerance: float = 0.25,
    *,
    step: Fraction | None = None,
    rounding: float | None = None,
) -> list[Stretch]:
    """Cut a piecewise linear coordinate into uniformly spaced stretches.

    A stretch takes the spacing that is usual in the whole coordinate if its ties allow that, else
    the simplest fraction that its own ties allow within their rounding (so 3 samples a second come
    out as 10**9 / 3 ns).  It starts at the value of its first tie, unless jitter of that very tie
    would push others out of the tolerance.

    Parameters
    ----------
    indices : ndarray of int64, shape (n,)
        Increasing positions of the tie points; the first is 0, the last the size minus one.
    values : ndarray of int64 or float64, shape (n,)
        Values there: nanoseconds or metres.
    tolerance : float
        Largest deviation from uniform spacing, in samples; less than a half.
    step : Fraction, optional
        Spacing that the coordinate declares, in the unit of `values`; it is then the usual one.
    rounding : float, optional
        Precision of `values`, in their unit.  Default: one for integers, else that of float64.

    Returns
    -------
    list of Stretch
        In the order of the indices; together they hold every index exactly once.  A step may be
        zero or negative: what that means is for the caller to say.  A lone sample has the usual
        step, and 1 where there is none.

    Examples
    --------
    >>> ties = np.array([0, 99, 100, 199])
    >>> values = np.array([0, 990, 5000, 5990])
    >>> for stretch in uniform_stretches(ties, values):
    ...     print(stretch.start, stretch.stop, stretch.first, stretch.step)
    0 100 0 10
    100 200 5000 10
    """
    if rounding is None:
        rounding = 1.0 if values.dtype.kind in "iu" else float(np.spacing(np.abs(values).max()))
    usual = _usual_step(indices, values, rounding) if step is None else step
    starts = np.concatenate(([0], _jumps(indices, values, float(usual), tolerance) + 1))
    counts = np.diff(starts, append=indices.size)
    stops = indices[starts + counts - 1] + 1
    if step is None:
        longest = int(np.argmax(stops - indices[starts]))
        ties = slice(starts[longest], starts[longest] + counts[longest])
        usual = _refined(usual, indices[ties], values[ties], rounding)

    # every run between two jumps against the usual spacing, all at once
    run, rise = indices.copy(), values.copy()
    run -= np.repeat(indices[starts], counts)
    rise -= np.repeat(values[starts], counts)
    off = off_line(run, rise, usual)
    low, high = np.minimum.reduceat(off, starts), np.maximum.reduceat(off, starts)
    fits = high - low <= 2 * allowance(usual, tolerance, rounding)
    by_each = shift(low, high, allowance(usual, tolerance, rounding))

    found: list[Stretch] = []
    for start, stop, first, by, tie, count, fit in zip(
        indices[starts].tolist(),
        stops.tolist(),
        values[starts].tolist(),
        by_each.tolist(),
        starts.tolist(),
        counts.tolist(),
        fits.tolist(),
        strict=True,
    ):
        if fit:
            found.append(Stretch(start, stop, moved(first, by), usual))
        else:
            ties = slice(tie, tie + count)
            found += _lines(indices[ties], values[ties], usual, tolerance, rounding)
    return found


# ---------------------------------------------------------------- where a stretch must end


def _usual_step(indices: _Ints, values: NDArray[Any], rounding: float) -> Fraction:
    """Return the spacing that most samples share: the median over them, the lower if between."""
    if indices.size < 2:
        return Fraction(1)
    span, rise = np.diff(indices), np.diff(values)
    order = np.argsort(rise / span, kind="stable")
    weight = np.cumsum(span[order])
    median = order[np.searchsorted(2 * weight, weight[-1])]
    return simplest_fraction(slope(rise[median], span[median]), rounding / int(span[median]))


def _refined(usual: Fraction, indices: _Ints, values: NDArray[Any], rounding: float) -> Fraction:
    """Return the step that all ties tell, if it differs from the usual one.

    Many ties say what a single piece between two of them cannot: that 333333333 ns is a third of a
    second, or the rate of stamps that jitter, where the usual step is that between two neighbours
    and its error adds up to the tolerance.  Where there is but one piece, the usual step is as
    good, and common to all.
    """
    if indices.size <= 2:
        return usual
    chord = fitting_slope(indices, values, 0.0, rounding)
    return _without_drift(usual, indices, values) if chord is None else chord


def _without_drift(usual: Fraction, indices: _Ints, values: NDArray[Any]) -> Fraction:
    """Return the usual step, unless ties drift away from it by more than half of their jitter.

    Then it is the simplest fraction that jitter cannot tell from the line of least squares.
    """
    run, rise = indices - indices[0], values - values[0]
    chord = slope(rise[-1], run[-1])
    off = off_line(run, rise, chord)
    about = run - run.mean()
    turn = float(about @ off / (about @ about))
    jitter = float(np.ptp(off - turn * run))
    if np.ptp(off_line(run, rise, usual)) <= 1.5 * jitter:
        return usual
    return simplest_fraction(chord + Fraction(turn), jitter / int(run[-1]))


def _jumps(indices: _Ints, values: NDArray[Any], usual: float, tolerance: float) -> _Ints:
    """Find the ties after which the next index does not follow at a spacing of its neighbours.

    Only where ties have adjacent indices can the coordinate jump.  Such a step is regular if it
    agrees with the usual spacing or with that of a file before or after it.  Any other is a jump
    beside a regular one (one sample may lie between two gaps), and else if it stands alone (steps
    that agree with each other are a stretch with a spacing of its own).
    """
    span = np.diff(indices)
    slope = np.diff(values) / span
    if slope.size < 2:
        return np.empty(0, dtype=np.int64)
    single = span == 1
    like_next, like_last = (
        np.append(_agree(slope[:-1], slope[1:], tolerance), False),
        np.append(False, _agree(slope[1:], slope[:-1], tolerance)),
    )
    file_next, file_last = np.append(~single[1:], False), np.append(False, ~single[:-1])
    regular = (
        ~single
        | _agree(slope, usual, tolerance)
        | (like_next & file_next)
        | (like_last & file_last)
    )
    beside = np.append(regular[1:], False) | np.append(False, regular[:-1])
    return np.flatnonzero(~regular & (beside | ~(like_next | like_last)))


def _agree(slope: _Floats, other: _Floats | float, tolerance: float) -> NDArray[np.bool_]:
    # both ends of a step may be off by the tolerance
    agree: NDArray[np.bool_] = np.abs(slope - other) <= 2 * tolerance * np.abs(other)
    return agree


# ---------------------------------------------------------------- straight lines through ties


def _lines(
    indices: _Ints, values: NDArray[Any], usual: Fraction, tolerance: float, rounding: float
) -> list[Stretch]:
    """Cover ties that have no jump with straight lines, each as long as it can be.

    One line is the rule; drifting clocks and changing rates need more.
    """
    lines: list[Stretch] = []
    indices, values = indices.copy(), values.copy()
    whole = True
    while indices.size:
        count = _reach(indices, values, tolerance, rounding, whole)
        whole = False
        lines.append(_line(indices[:count], values[:count], usual, tolerance, rounding))
        if count < indices.size and indices[count] - indices[count - 1] > 1:
            # the next stretch begins inside a linear piece, just after the tie that ended this one
            last = count - 1
            rise_of_one = slope(values[count] - values[last], indices[count] - indices[last])
            indices[last] += 1
            values[last] = moved(values[last].item(), float(rise_of_one))
            indices, values = indices[last:], values[last:]
        else:
            indices, values = indices[count:], values[count:]
    return lines


def _reach(
    indices: _Ints, values: NDArray[Any], tolerance: float, rounding: float, whole: bool
) -> int:
    """Return how many ties from the first one on lie on one straight line."""

    def fits(count: int) -> bool:
        return fitting_slope(indices[:count], values[:count], tolerance, rounding) is not None

    if indices.size <= 2 or (whole and fits(indices.size)):
        return indices.size
    good, bad = 2, 4
    while bad <= indices.size and fits(bad):
        good, bad = bad, 2 * bad
    bad = min(bad, indices.size + (not whole))
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    return good


def _line(
    indices: _Ints, values: NDArray[Any], usual: Fraction, tolerance: float, rounding: float
) -> Stretch:
    """Return the stretch along ties that lie on one straight line."""
    start, stop = int(indices[0]), int(indices[-1]) + 1
    run, rise = indices - indices[0], values - values[0]
    step, allowed = usual, allowance(usual, tolerance, rounding)
    off = off_line(run, rise, step)
    if np.ptp(off) > 2 * allowed:
        own = fitting_slope(indices, values, tolerance, rounding)
        assert own is not None, "these ties were found to lie on a line"
        step, allowed = own, allowance(own, tolerance, rounding)
        off = off_line(run, rise, step)
    by = shift(off.min(), off.max(), allowed)
    return Stretch(start, stop, moved(values[0].item(), float(by)), step)
