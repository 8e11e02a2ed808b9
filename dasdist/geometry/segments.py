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

__all__ = ["Stretch", "simplest_fraction", "uniform_stretches"]

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
    off = _off_line(run, rise, usual)
    low, high = np.minimum.reduceat(off, starts), np.maximum.reduceat(off, starts)
    fits = high - low <= 2 * _allowance(usual, tolerance, rounding)
    shift = _shift(low, high, _allowance(usual, tolerance, rounding))

    found: list[Stretch] = []
    for start, stop, first, by, tie, count, fit in zip(
        indices[starts].tolist(),
        stops.tolist(),
        values[starts].tolist(),
        shift.tolist(),
        starts.tolist(),
        counts.tolist(),
        fits.tolist(),
        strict=True,
    ):
        if fit:
            found.append(Stretch(start, stop, _moved(first, by), usual))
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
    return simplest_fraction(_slope(rise[median], span[median]), rounding / int(span[median]))


def _refined(usual: Fraction, indices: _Ints, values: NDArray[Any], rounding: float) -> Fraction:
    """Return the step that all ties tell, if it differs from the usual one.

    Many ties say what a single piece between two of them cannot: that 333333333 ns is a third of a
    second, or the rate of stamps that jitter, where the usual step is that between two neighbours
    and its error adds up to the tolerance.  Where there is but one piece, the usual step is as
    good, and common to all.
    """
    if indices.size <= 2:
        return usual
    chord = _fit(indices, values, 0.0, rounding)
    return _without_drift(usual, indices, values) if chord is None else chord


def _without_drift(usual: Fraction, indices: _Ints, values: NDArray[Any]) -> Fraction:
    """Return the usual step, unless ties drift away from it by more than half of their jitter.

    Then it is the simplest fraction that jitter cannot tell from the line of least squares.
    """
    run, rise = indices - indices[0], values - values[0]
    chord = _slope(rise[-1], run[-1])
    off = _off_line(run, rise, chord)
    about = run - run.mean()
    turn = float(about @ off / (about @ about))
    jitter = float(np.ptp(off - turn * run))
    if np.ptp(_off_line(run, rise, usual)) <= 1.5 * jitter:
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
            slope = _slope(values[count] - values[last], indices[count] - indices[last])
            indices[last] += 1
            values[last] = _moved(values[last].item(), float(slope))
            indices, values = indices[last:], values[last:]
        else:
            indices, values = indices[count:], values[count:]
    return lines


def _reach(
    indices: _Ints, values: NDArray[Any], tolerance: float, rounding: float, whole: bool
) -> int:
    """Return how many ties from the first one on lie on one straight line."""

    def fits(count: int) -> bool:
        return _fit(indices[:count], values[:count], tolerance, rounding) is not None

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
    step, allowed = usual, _allowance(usual, tolerance, rounding)
    off = _off_line(run, rise, step)
    if np.ptp(off) > 2 * allowed:
        own = _fit(indices, values, tolerance, rounding)
        assert own is not None, "these ties were found to lie on a line"
        step, allowed = own, _allowance(own, tolerance, rounding)
        off = _off_line(run, rise, step)
    by = _shift(off.min(), off.max(), allowed)
    return Stretch(start, stop, _moved(values[0].item(), float(by)), step)


def _fit(
    indices: _Ints, values: NDArray[Any], tolerance: float, rounding: float
) -> Fraction | None:
    """Return a slope with which a line passes all ties within the tolerance, if there is one.

    By how much the spread of the ties about a line exceeds what is allowed (a share of its slope)
    is convex in the slope, and each slope tried gives a line below that function; the next one to
    try is where the two nearest of these meet (Kelley's cutting planes), until the excess is gone
    or provably stays.
    """
    if indices.size < 2:
        return Fraction(1)
    run, rise = indices - indices[0], values - values[0]
    length = int(run[-1])
    chord = simplest_fraction(_slope(rise[-1], run[-1]), rounding / length)
    off = _off_line(run, rise, chord)
    # here slopes are counted from the chord's
    allowed = 2 * _allowance(chord, tolerance, rounding)
    share = 2 * tolerance * float(np.sign(float(chord))) if allowed > 2 * rounding else 0.0
    turn = 0.0
    left, right = (-length - share, -allowed), (length - share, -allowed)  # slope, offset
    for _ in range(64):
        now = off - turn * run
        high, low = int(now.argmax()), int(now.argmin())
        excess = float(now[high] - now[low]) - allowed - share * turn
        if excess <= 0:
            return simplest_fraction(chord + Fraction(turn), rounding / length) if turn else chord
        fall = float(run[low] - run[high]) - share
        if fall < 0:
            left = (fall, excess - fall * turn)
        elif fall > 0:
            right = (fall, excess - fall * turn)
        else:
            return None
        turn = (right[1] - left[1]) / (left[0] - right[0])
        if left[0] * turn + left[1] > 0:
            return None
    return None


# ---------------------------------------------------------------- exact arithmetic


def _off_line(run: _Ints, rise: NDArray[Any], step: Fraction) -> _Floats:
    """Return how far values lie above the line: small numbers, from large ones without loss."""
    if rise.dtype.kind == "f":
        off: _Floats = rise - run * float(step)
        return off
    whole = step.numerator // step.denominator
    # int64 wraps, and wraps back: the difference is small
    return (rise - run * whole).astype(np.float64) - run * float(step - whole)


def _allowance(step: Fraction, tolerance: float, rounding: float) -> float:
    return max(tolerance * abs(float(step)), rounding)


def _shift(low: Any, high: Any, allowed: float) -> Any:
    """Return by how much to move a line that starts at the first tie: if possible, not at all."""
    return np.where(np.maximum(-low, high) <= allowed, 0.0, (low + high) / 2)


def _moved(value: Any, by: float) -> Any:
    """Return the value, moved: an integer stays one."""
    if isinstance(value, int):
        return Fraction(value + round(by))
    return Fraction(value + by)


def _slope(rise: Any, run: Any) -> Fraction:
    return Fraction(rise.item()) / int(run)


def simplest_fraction(value: Fraction, width: float) -> Fraction:
    """Return the fraction with the smallest denominator within half of ``width`` of a value.

    Examples
    --------
    >>> simplest_fraction(Fraction(0.1), 1e-16)
    Fraction(1, 10)
    """
    half = Fraction(width) / 2
    denominator = _simplest_between(value - half, value + half).denominator
    return Fraction(round(value * denominator), denominator)


def _simplest_between(low: Fraction, high: Fraction) -> Fraction:
    whole = low.numerator // low.denominator
    if low in (whole, high):
        return low
    if whole + 1 <= high:
        return Fraction(whole + 1)
    return whole + 1 / _simplest_between(1 / (high - whole), 1 / (low - whole))
