"""Resample by a ratio of small integers, one span of a signal at a time.

A span of the resampled signal needs a slightly longer span of the input, and nothing else::

    input      first                                                 last
      |----------[=======|=================================|=======]---------| n
                   reach            the span itself          reach
    resampled            [---------------------------------)
                       start                              stop

`dasdist.geometry.Ratio` says which samples to read, `resample_span` turns them into exactly the
numbers that resampling the whole signal would have given.
"""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import scipy  # its parts load when they are used, which takes a second: most workers need none
from numpy.typing import NDArray

from dasdist.geometry import Ratio

# Bounds such as 2 / 30 are rounded; data that sit exactly on them must not fall outside.
_BOUND_SLACK = 1e-9

# Distances that agree to this are ties: logarithms of exact ratios still differ in the last digits.
_TIE_SLACK = 1e-9

# Values per slab: 8 MB in float64, so that scipy's copies stay in the cache and do not scale with
# the number of channels.
_SLAB_VALUES = 2**20


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
        Largest factor to consider, up as well as down.

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

    Bounds are widened by one part in 1e9, because 0.5 / 100 and the like are rounded.

    Examples
    --------
    >>> nearest_ratio(Fraction(1, 200), (0.5 / 100, 2 / 100))
    Ratio(up=1, down=2)
    >>> nearest_ratio(Fraction(1, 250), (0.5 / 100, 2 / 100))
    Ratio(up=2, down=5)
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
    admissible = [
        (up, down)
        for up in range(1, limit + 1)
        for down in range(1, limit + 1)
        if math.gcd(up, down) == 1 and floor <= step * down / up <= ceiling
    ]
    if not admissible:
        raise ValueError(
            f"The data's spacing of {float(step):g} cannot be brought into the model's range of "
            f"{low:g} to {high:g} (seconds or metres) by resampling with factors up to {limit}. "
            "Resample the data beforehand, or widen the model's dt_range or dx_range."
        )
    if low <= 0 or high == math.inf:
        return Ratio(*admissible[0])

    own_log = (math.log(low) + math.log(high)) / 2

    def distance(ratio: tuple[int, int]) -> float:
        up, down = ratio
        return abs(math.log(step * down / up) - own_log)

    nearest = min(map(distance, admissible))
    return Ratio(*next(pair for pair in admissible if distance(pair) <= nearest + _TIE_SLACK))


def resample_span(
    x: NDArray[Any], start: int, stop: int, first: int, ratio: Ratio, axis: int = 0
) -> NDArray[Any]:
    """Resample one span of a signal, from only the input that it needs.

    Parameters
    ----------
    x : ndarray, shape (samples,) or two-dimensional
        Real input samples ``first, first + 1, ...`` along `axis`, at least up to the end of
        ``ratio.needs(start, stop, n)``. That end depends on the length of the whole
        input, which is not known here, so that missing samples at the end read as the zeros that
        `scipy.signal.resample_poly` sees beyond a signal.
    start, stop : int
        Half-open span of resampled samples.
    first : int
        Index of the first sample of `x`, from `ratio.needs`.
    ratio : Ratio
        Resampling factors.
    axis : int
        Axis of the samples.

    Returns
    -------
    ndarray
        Resampled samples ``[start, stop)`` along `axis`, equal bit for bit to
        ``scipy.signal.resample_poly(full, up, down, axis)`` cut to the span. Floats keep their
        type (float16 becomes float32), integers become float64. With a ratio of one, a view of
        `x`, whatever its type.

    Raises
    ------
    ValueError
        If `x` does not cover the span, or its shape, or `first` does not fit.

    Notes
    -----
    scipy sums the products of one resampled sample in the order of the input, starting at the
    oldest that the filter reaches. Where a span starts does not change this order, hence the equal
    bits. Temporary memory is a few slabs of 8 MB (or of one signal along `axis`, if that is longer)
    besides the result.

    Examples
    --------
    >>> x = np.sin(np.arange(1000) / 20)
    >>> first, last = Ratio(2, 5).needs(100, 200, x.size)
    >>> part = resample_span(x[first:last], 100, 200, first, Ratio(2, 5))
    >>> np.array_equal(part, scipy.signal.resample_poly(x, 2, 5)[100:200])
    True
    """
    up, down = ratio.up, ratio.down
    if x.ndim not in (1, 2):
        raise ValueError(
            f"x has {x.ndim} dimensions, but must have 1 or 2; pass one array at a time."
        )
    if not 0 <= start <= stop:
        raise ValueError(f"The span from {start} to {stop} is not valid; use 0 <= start <= stop.")
    signals = np.moveaxis(x, axis, -1)
    _check_cover(first, signals.shape[-1], start, stop, ratio)

    if ratio.is_identity:
        return np.moveaxis(signals[..., start - first : stop - first], -1, axis)

    skip = start - first // down * up
    shape = list(x.shape)
    shape[axis] = stop - start
    out = np.empty(shape, dtype=_resampled_dtype(x.dtype))
    if out.size == 0:
        return out
    # Writing through views leaves the result contiguous in the caller's order of axes.
    sources = np.atleast_2d(signals)
    targets = np.atleast_2d(np.moveaxis(out, axis, -1))
    width = max(1, _SLAB_VALUES // sources.shape[1])
    for low in range(0, sources.shape[0], width):
        slab = np.ascontiguousarray(sources[low : low + width])
        resampled = scipy.signal.resample_poly(slab, up, down, axis=1)
        targets[low : low + width] = resampled[:, skip : skip + stop - start]
    return out


def _check_cover(first: int, length: int, start: int, stop: int, ratio: Ratio) -> None:
    up, down = ratio.up, ratio.down
    if first < 0 or first % down:
        raise ValueError(
            f"x starts at sample {first}, but must start at one of the multiples of {down} from 0; "
            "pass the samples that Ratio.needs returns."
        )
    needed = start if ratio.is_identity else ratio.first_needed(start)
    available = first // down * up + ratio.size(length)
    if first > needed or (start < stop and stop > available):
        raise ValueError(
            f"x has input samples {first} to {first + length} (end excluded), but resampled "
            f"samples {start} to {stop} at {up}/{down} need them from {needed}, and x ends at "
            f"resampled sample {available}. Pass the samples that Ratio.needs returns."
        )


def _resampled_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.kind in "fc":
        return np.result_type(dtype, np.float32)
    return np.dtype(np.float64)
