"""Resample by a ratio of small integers, one span of a signal at a time.

A span of the resampled signal needs a slightly longer span of the input, and nothing else::

    input      first                                                 last
      |----------[=======|=================================|=======]---------| n
                   reach            the span itself          reach
    resampled            [---------------------------------)
                       start                              stop

`dasdist.geometry.Ratio` says which samples to read, `resample_span` turns them into exactly the
numbers that resampling the whole signal would have given.

Beyond its ends a signal goes on as its mirror image, not as the zeros of
:func:`scipy.signal.resample_poly`: a step to zero is as high as the static offset of the data, and
rings in the first and the last ten resampled samples, on both sides of every gap.  And a constant
comes out as that constant: where ``up`` is above 1 the taps of each phase are scaled to add up to
1.  scipy's add up to 1 only on the average of all phases, and to up to 7e-4 more or less in each:
an offset of 1e5 would become an oscillation of 70.
"""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import scipy  # its parts load when they are used, which takes a second: most workers need none
from numpy.typing import NDArray

from dasdist.geometry import Ratio

# Bounds such as 2 / 30 are rounded; data that sit exactly on them must not fall outside.
_BOUND_SLACK = 1e-9

# Share by which the rate that a model sees may be off its own before longer filters are tried.
OFF_RATE = 0.1

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


@lru_cache(maxsize=16)
def taps_of(ratio: Ratio) -> NDArray[np.float64]:
    """Return the low-pass filter of a ratio, over its sum; that of each phase is the same.

    It is that of :func:`scipy.signal.resample_poly`: a Kaiser window with beta 5, and ten steps of
    the coarser grid to either side; its phases are scaled as the module says.
    """
    longest = max(ratio.up, ratio.down)
    taps: NDArray[np.float64] = scipy.signal.firwin(
        20 * longest + 1, 1 / longest, window=("kaiser", 5.0)
    )
    for phase in range(ratio.up if ratio.up > 1 else 0):
        taps[phase :: ratio.up] /= ratio.up * taps[phase :: ratio.up].sum()
    taps.setflags(write=False)
    return taps


def resample_span(
    x: NDArray[Any], start: int, stop: int, first: int, ratio: Ratio, axis: int = 0
) -> NDArray[Any]:
    """Resample one span of a signal, from only the input that it needs.

    Parameters
    ----------
    x : ndarray, shape (samples,) or two-dimensional
        Real input samples ``first, first + 1, ...`` along `axis`, at least up to the end of
        ``ratio.needs(start, stop, n)``. That end depends on the length ``n`` of the whole input,
        which is not known here: where samples are missing, the input is taken to end.
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
        Resampled samples ``[start, stop)`` along `axis`, equal bit for bit to those of the whole
        input, whatever the span: to ``scipy.signal.resample_poly(full, up, down, axis,
        window=taps_of(ratio), padtype="reflect")``. Floats keep their type (float16 becomes
        float32), integers become float64. With a ratio of one, a view of `x`, whatever its type.

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
    >>> whole = scipy.signal.resample_poly(x, 2, 5, window=taps_of(Ratio(2, 5)), padtype="reflect")
    >>> np.array_equal(part, whole[100:200])
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

    before, after = _beyond(first, signals.shape[-1], start, stop, ratio)
    skip = start - (first - before) // down * up
    shape = list(x.shape)
    shape[axis] = stop - start
    out = np.empty(shape, dtype=_resampled_dtype(x.dtype))
    if out.size == 0:
        return out
    # Writing through views leaves the result contiguous in the caller's order of axes.
    sources = np.atleast_2d(signals)
    targets = np.atleast_2d(np.moveaxis(out, axis, -1))
    width = max(1, _SLAB_VALUES // sources.shape[1])
    # in the type that scipy gives its own filter, hence the result
    taps = taps_of(ratio).astype(x.dtype if x.dtype.kind == "f" else np.float64)
    for low in range(0, sources.shape[0], width):
        slab = np.ascontiguousarray(sources[low : low + width])
        if before or after:
            slab = np.pad(slab, ((0, 0), (before, after)), mode="reflect")
        resampled = scipy.signal.resample_poly(slab, up, down, axis=1, window=taps.copy())
        targets[low : low + width] = resampled[:, skip : skip + stop - start]
    return out


def _beyond(first: int, length: int, start: int, stop: int, ratio: Ratio) -> tuple[int, int]:
    """Return how many samples before and after those given are to be mirrored."""
    low, high = ratio.reached(start, stop)
    return max(0, first - low) if first == 0 else 0, max(0, high - first - length)


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
