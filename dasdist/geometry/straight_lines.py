"""Straight lines through tie points, exactly: integers of nanoseconds do not fit a float."""

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["allowance", "fitting_slope", "moved", "off_line", "shift", "simplest_fraction", "slope"]


def fitting_slope(
    indices: NDArray[np.int64], values: NDArray[Any], tolerance: float, rounding: float
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
    chord = simplest_fraction(slope(rise[-1], run[-1]), rounding / length)
    off = off_line(run, rise, chord)
    # here slopes are counted from the chord's
    allowed = 2 * allowance(chord, tolerance, rounding)
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


def off_line(run: NDArray[np.int64], rise: NDArray[Any], step: Fraction) -> NDArray[np.float64]:
    """Return how far values lie above the line: small numbers, from large ones without loss."""
    if rise.dtype.kind == "f":
        off: NDArray[np.float64] = rise - run * float(step)
        return off
    whole = step.numerator // step.denominator
    # int64 wraps, and wraps back: the difference is small
    return (rise - run * whole).astype(np.float64) - run * float(step - whole)


def allowance(step: Fraction, tolerance: float, rounding: float) -> float:
    """Return how far a value may lie off a line, in its own unit."""
    return max(tolerance * abs(float(step)), rounding)


def shift(low: Any, high: Any, allowed: float) -> Any:
    """Return by how much to move a line that starts at the first tie: if possible, not at all."""
    return np.where(np.maximum(-low, high) <= allowed, 0.0, (low + high) / 2)


def moved(value: Any, by: float) -> Any:
    """Return the value, moved: an integer stays one."""
    if isinstance(value, int):
        return Fraction(value + round(by))
    return Fraction(value + by)


def slope(rise: Any, run: Any) -> Fraction:
    """Return a slope, exactly."""
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
