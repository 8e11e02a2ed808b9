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

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.amplitude import is_wide
from dasdist.geometry import Ratio
from dasdist.signal.polyphase import Band, band_of
from dasdist.signal.spread import Spread

__all__ = ["mirrored", "resample_span"]

_SLAB_CHANNELS = 512
_SLAB_VALUES = 2**18
"""Input values that are resampled at once: what they need stays in a core's own cache."""


def resample_span(
    x: NDArray[Any],
    start: int,
    stop: int,
    first: int,
    ratio: Ratio,
    axis: int = 0,
    spread: Spread = map,
) -> NDArray[Any]:
    """Resample one span of a signal, from only the input that it needs.

    Parameters
    ----------
    x : ndarray, shape (samples,) or two-dimensional
        Finite input samples ``first, first + 1, ...`` along `axis`, at least up to the end of
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
    spread : callable
        Applies a function to each of many pieces, as :class:`map` does, perhaps on several cores.

    Returns
    -------
    ndarray of float32 or float64
        Resampled samples ``[start, stop)`` along `axis`, equal bit for bit to those of the whole
        input, whatever the span; float64 where float32 cannot hold the samples of `x`. Equal to
        ``scipy.signal.resample_poly(full, up, down, axis, window=taps_of(ratio),
        padtype="reflect")`` in double precision but for rounding: to 1e-6 of the largest sample in
        single precision. With a ratio of one, a view of `x`, whatever its type.

    Raises
    ------
    ValueError
        If `x` does not cover the span, or its shape, or `first` does not fit.

    Notes
    -----
    A banded matrix product (`dasdist.signal.polyphase`) in place of scipy's sums along each signal,
    in slabs that stay in the cache. Besides the result it takes about a megabyte for each piece.
    NaN would spoil neighbours that its filter does not reach; sources leave its windows out.

    Examples
    --------
    >>> x = np.sin(np.arange(1000) / 20)
    >>> first, last = Ratio(2, 5).needs(100, 200, x.size)
    >>> part = resample_span(x[first:last], 100, 200, first, Ratio(2, 5))
    >>> np.array_equal(part, resample_span(x, 0, 400, 0, Ratio(2, 5))[100:200])
    True
    """
    if x.ndim not in (1, 2):
        raise ValueError(
            f"x has {x.ndim} dimensions, but must have 1 or 2; pass one array at a time."
        )
    if not 0 <= start <= stop:
        raise ValueError(f"The span from {start} to {stop} is not valid; use 0 <= start <= stop.")
    signals = np.moveaxis(x, axis, 0)
    _check_cover(first, len(signals), start, stop, ratio)
    if ratio.is_identity:
        return np.moveaxis(signals[start - first : stop - first], 0, axis)

    shape = list(x.shape)
    shape[axis] = stop - start
    out: NDArray[Any] = np.empty(shape, dtype=np.float64 if is_wide(x.dtype) else np.float32)
    # Writing through a view leaves the result contiguous in the caller's order of axes.
    target = np.moveaxis(out, axis, 0)
    if x.ndim == 1:
        signals, target = signals[:, np.newaxis], target[:, np.newaxis]
    band = band_of(ratio, out.dtype)

    def fill(piece: tuple[range, slice]) -> None:
        groups, channels = piece
        low = groups.start * band.inputs + band.before - first
        slab = _rows(signals[:, channels], low, low + band.rows(len(groups)), out.dtype)
        found = np.empty((len(groups) * band.outputs, slab.shape[1]), out.dtype)
        band.apply(slab, found)
        begin = groups.start * band.outputs
        own = slice(max(start, begin), min(stop, groups.stop * band.outputs))
        target[own.start - start : own.stop - start, channels] = found[
            own.start - begin : own.stop - begin
        ]

    for _ in spread(fill, _pieces(start, stop, target.shape[1], band)):
        pass
    return out


def _pieces(start: int, stop: int, channels: int, band: Band) -> Iterator[tuple[range, slice]]:
    """Yield groups of resampled samples, and the channels of a slab."""
    if start == stop or channels == 0:
        return
    first, last = start // band.outputs, -(-stop // band.outputs)
    width = min(channels, _SLAB_CHANNELS)
    many = max(1, (_SLAB_VALUES // width - band.rows(1)) // band.inputs + 1)
    for group in range(first, last, many):
        for channel in range(0, channels, width):
            yield range(group, min(last, group + many)), slice(channel, channel + width)


def _rows(signals: NDArray[Any], low: int, high: int, dtype: Any) -> NDArray[Any]:
    """Return a range of samples, which may reach beyond the ends, as contiguous floats."""
    inside = 0 <= low and high <= len(signals)
    place: Any = slice(low, high) if inside else mirrored(low, high, len(signals))
    return np.ascontiguousarray(signals[place], dtype=dtype)


def mirrored(low: int, high: int, length: int) -> NDArray[np.int64]:
    """Return the indices of a range that goes on as a mirror image beyond the ends of a signal.

    Examples
    --------
    >>> mirrored(-2, 6, 4).tolist()
    [2, 1, 0, 1, 2, 3, 2, 1]
    """
    period = max(1, 2 * (length - 1))
    place = np.arange(low, high) % period
    return np.minimum(place, period - place) if length > 1 else np.zeros_like(place)


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
