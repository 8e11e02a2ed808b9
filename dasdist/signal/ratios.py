"""Choose the ratio of small integers by which data are resampled for a model."""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import product

from dasdist.geometry import Ratio

__all__ = ["OFF_RATE", "nearest_ratio"]

# Bounds such as 2 / 30 are rounded; data that sit exactly on them must not fall outside.
_BOUND_SLACK = 1e-9

# Share by which the rate that a model sees may be off its own before longer filters are tried.
OFF_RATE = 0.1

# Distances that agree to this are ties: logarithms of exact ratios still differ in the last digits.
_TIE_SLACK = 1e-9


def nearest_ratio(step: Fraction, allowed: tuple[float, float] | None, limit: int = 10) -> Ratio:
    """Choose the resampling ratio that brings a spacing closest to the model's own.

    Parameters
    ----------
    step : Fraction
        Spacing of the data, in seconds or metres.
    allowed : tuple of float or None
        Smallest and largest spacing the model admits, inclusive, in the unit of `step`. None if
        the model takes data as they are.
    limit : int
        Largest factor to consider, up as well as down, where that leads to within a tenth of the
        model's own spacing; where it does not, finer data are decimated by any whole number `down`.

    Returns
    -------
    Ratio
        The resampled step is ``step * down / up``.

    Raises
    ------
    ValueError
        If no ratio leads into the range, or an argument is not positive.

    Notes
    -----
    The model's own step is taken as the geometric mean of the range, and the nearest ratio is the
    one with the least ``abs(log(resampled / own))``; among equals, the smallest `up`, then the
    smallest `down`. SeisBench (``DASModel._find_range``) instead takes the first admissible ratio
    in that order, however far from the model's own step. Its wrappers admit half to twice the
    training rate, so it leaves data of 200 Hz alone that go to a model trained on 100 Hz, where
    this function decimates them by two. A range without a finite, positive geometric mean (a bound
    of zero or infinity) names no step of its own: there the choice is SeisBench's.

    SeisBench ends at a factor of 10: it refuses 3218 Hz for a model trained on 100 Hz, and has it
    see 200 Hz where the data have 2000 Hz.

    Bounds are widened by one part in 1e9, because 0.5 / 100 and the like are rounded.

    Examples
    --------
    >>> nearest_ratio(Fraction(1, 200), (0.5 / 100, 2 / 100))
    Ratio(up=1, down=2)
    >>> nearest_ratio(Fraction(1, 250), (0.5 / 100, 2 / 100))
    Ratio(up=2, down=5)
    >>> nearest_ratio(Fraction(1, 2000), (0.5 / 100, 2 / 100))
    Ratio(up=1, down=20)
    >>> nearest_ratio(Fraction(1, 250), None)
    Ratio(up=1, down=1)
    """
    if step <= 0:
        raise ValueError(
            f"The spacing is {step}, but only positive spacings can be resampled; sort the data "
            "along this axis first."
        )
    if limit < 1:
        raise ValueError(f"limit is {limit}; use 1 or more.")
    if allowed is None:
        return Ratio(1, 1)

    low, high = allowed
    floor = low - _BOUND_SLACK * abs(low)
    ceiling = high + _BOUND_SLACK * abs(high)

    def admissible(pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        return [
            (u, d) for u, d in pairs if math.gcd(u, d) == 1 and floor <= step * d / u <= ceiling
        ]

    factors = range(1, limit + 1)
    found = admissible(product(factors, factors))
    if low <= 0 or high == math.inf:  # it names no spacing of its own
        if found:
            return Ratio(*found[0])
        raise ValueError(_out_of_reach(step, low, high, limit))

    own_log = (math.log(low) + math.log(high)) / 2

    def distance(pair: tuple[int, int]) -> float:
        return abs(math.log(step * pair[1] / pair[0]) - own_log)

    nearest = min(map(distance, found), default=math.inf)
    factor = math.exp(own_log) / step
    if factor > limit and nearest > math.log1p(OFF_RATE) + _TIE_SLACK:
        found += admissible(_decimations(factor, limit))
        nearest = min(map(distance, found), default=math.inf)
    if not found:
        raise ValueError(_out_of_reach(step, low, high, limit))
    return Ratio(*next(pair for pair in found if distance(pair) <= nearest + _TIE_SLACK))


def _decimations(factor: float, limit: int) -> Iterator[tuple[int, int]]:
    """Yield the ratios next to a decimation by more than the limit, one for each `up`."""
    for up in range(1, limit + 1):
        down = round(up * factor)
        if down > limit:
            yield up, down


def _out_of_reach(step: Fraction, low: float, high: float, limit: int) -> str:
    return (
        f"The data's spacing of {float(step):g} cannot be brought into the model's range of "
        f"{low:g} to {high:g} (seconds or metres) by resampling with factors up to {limit}. "
        "Resample the data beforehand, or widen the model's dt_range or dx_range."
    )
