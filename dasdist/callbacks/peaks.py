"""Peaks of probability curves, and which of several close picks to keep.

The two loops that every sample and every pick of an archive goes through, compiled, and free of the
interpreter lock so that the threads of a worker share its cores.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.compiled import compiled

__all__ = ["find_peaks", "half_widths", "survivors"]


def find_peaks(
    values: Any, height: float, distance: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Find the peaks along the samples of every channel.

    A peak is a sample above both neighbours, or the middle of a plateau above both (rounded down);
    the first and the last sample never are.

    Parameters
    ----------
    values : ndarray of float32 or DeviceCurves, shape (samples, channels)
        Probability curves, in any memory layout; fastest where the samples of a channel lie next to
        each other.  Curves on a GPU (`dasdist.inference.device_curves`) find their local maxima
        there.
    height : float
        Least value of a peak.  As in scipy, values are compared in double precision.
    distance : int
        Least number of samples between two peaks of a channel: the highest is kept first, of equal
        ones the later.  At most 1 keeps all.

    Returns
    -------
    samples, channels : ndarray of int64, shape (n,)
        Where the peaks are, sorted by channel, then sample.
    heights : ndarray of float32, shape (n,)
        Their values.

    Notes
    -----
    The peaks of each channel are those of :func:`scipy.signal.find_peaks`, NaN included (no peak
    touches one), but for the choice among peaks of exactly equal height, which scipy leaves to its
    sorting routine.

    Examples
    --------
    >>> values = np.array([[0, 1, 0, 2, 2, 0], [3, 0, 0, 9, 0, 0]], dtype=np.float32).T
    >>> samples, channels, heights = find_peaks(values, height=1.0, distance=1)
    >>> samples.tolist(), channels.tolist(), heights.tolist()
    ([1, 3, 3], [0, 0, 1], [1.0, 2.0, 9.0])
    """
    if hasattr(values, "local_maxima"):
        samples, channels, heights = values.local_maxima(height)
    else:
        values = np.asarray(values, dtype=np.float32)
        if values.strides[0] == values.itemsize:
            curves = np.ascontiguousarray(values.T)
        else:
            curves = _transposed(values)
        samples, channels = _maxima_of_all(curves, float(height))
        heights = curves[channels, samples]
    if distance > 1:
        kept = _far_apart(samples, channels, heights, int(distance))
        samples, channels, heights = samples[kept], channels[kept], heights[kept]
    return samples, channels, heights


def half_widths(
    values: Any,
    samples: NDArray[np.int64],
    channels: NDArray[np.int64],
    heights: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Return for how many samples each peak is above half of its height.

    Parameters
    ----------
    values : ndarray of float32 or DeviceCurves, shape (samples, channels)
        As for :func:`find_peaks`.
    samples, channels, heights
        What that returned.

    Returns
    -------
    ndarray of float64, shape (n,)
        As :func:`scipy.signal.peak_widths` at half of the height; NaN where a curve ends above it.

    Examples
    --------
    >>> values = np.array([[0, 0, 2, 4, 2, 1, 0]], dtype=np.float32).T
    >>> at, heights = np.array([3]), np.array([4.0], dtype=np.float32)
    >>> half_widths(values, at, np.array([0]), heights).tolist()
    [2.0]
    """
    if hasattr(values, "local_maxima"):
        chosen, channels = np.unique(channels, return_inverse=True)
        values = values.on_host(chosen)
    return _half_widths(np.asarray(values, dtype=np.float32), samples, channels, heights)


def survivors(
    position: NDArray[np.int64],
    channel: NDArray[np.int64],
    confidence: NDArray[np.float32],
    separation: int,
) -> NDArray[np.bool_]:
    """Tell which picks no better pick is close to.

    A pick survives unless another pick of its channel, at most ``separation`` away, has a higher
    confidence; of equal confidences the later pick survives, of equal positions as well the one
    that comes later in the input.

    Parameters
    ----------
    position : ndarray of int64, shape (n,)
        Where the picks are in time.
    channel : ndarray of int64, shape (n,)
        Their channels.
    confidence : ndarray of float32, shape (n,)
        Their confidences.
    separation : int
        Greatest distance, in units of ``position``, at which picks compete; inclusive.

    Returns
    -------
    ndarray of bool, shape (n,)

    Notes
    -----
    This is what SeisBench's ``DASPickingCallback.finalize`` does, but that it keeps all of several
    equal neighbours, so that an arrival in two overlapping patches can be picked twice.  Whether a
    pick survives depends on its neighbours alone, so blocks can decide it on their own.

    Examples
    --------
    >>> position, channel = np.array([10, 12, 40, 12]), np.array([0, 0, 0, 1])
    >>> confidence = np.array([0.5, 0.8, 0.5, 0.1], dtype=np.float32)
    >>> survivors(position, channel, confidence, separation=2).tolist()
    [False, True, True, True]
    """
    order = np.lexsort((position, channel))
    alive = np.empty(position.size, dtype=np.bool_)
    alive[order] = _unbeaten(position[order], channel[order], confidence[order], int(separation))
    return alive


@compiled
def _transposed(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Copy to (channels, samples) a few channels at a time, as many as share a cache line."""
    samples, channels = values.shape
    curves = np.empty((channels, samples), dtype=np.float32)
    for first in range(0, channels, 16):
        last = min(first + 16, channels)
        for sample in range(samples):
            for channel in range(first, last):
                curves[channel, sample] = values[sample, channel]
    return curves


@compiled
def _maxima_of_all(
    curves: NDArray[np.float32], height: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    total = 0
    samples = np.empty(1024, dtype=np.int64)
    channels = np.empty(1024, dtype=np.int64)
    of_channel = np.empty(curves.shape[1] // 2 + 1, dtype=np.int64)
    for channel in range(curves.shape[0]):
        count = _local_maxima(curves[channel], height, of_channel)
        if total + count > samples.size:
            grown = 2 * (total + count)
            samples = np.append(samples[:total], np.empty(grown - total, dtype=np.int64))
            channels = np.append(channels[:total], np.empty(grown - total, dtype=np.int64))
        samples[total : total + count] = of_channel[:count]
        channels[total : total + count] = channel
        total += count
    return samples[:total].copy(), channels[:total].copy()


@compiled
def _far_apart(
    samples: NDArray[np.int64],
    channels: NDArray[np.int64],
    heights: NDArray[np.float32],
    distance: int,
) -> NDArray[np.bool_]:
    """Tell which peaks are kept, of all channels; they are sorted by channel, then sample."""
    keep = np.ones(samples.size, dtype=np.bool_)
    first = 0
    while first < samples.size:
        last = first + 1
        while last < samples.size and channels[last] == channels[first]:
            last += 1
        keep[first:last] = _kept(heights[first:last], samples[first:last], distance)
        first = last
    return keep


@compiled
def _local_maxima(curve: NDArray[np.float32], height: float, peaks: NDArray[np.int64]) -> int:
    """Write the local maxima of at least ``height`` to ``peaks`` and return their number."""
    count = 0
    last = curve.size - 1
    i = 1
    while i < last:
        if curve[i] >= height and curve[i - 1] < curve[i]:
            end = i + 1
            while end < last and curve[end] == curve[i]:
                end += 1
            if curve[end] < curve[i]:
                peaks[count] = (i + end - 1) // 2
                count += 1
            i = end
        else:
            i += 1
    return count


@compiled
def _kept(
    heights: NDArray[np.float32], peaks: NDArray[np.int64], distance: int
) -> NDArray[np.bool_]:
    """Tell which peaks of a channel are not too close to a higher one that is kept."""
    keep = np.ones(peaks.size, dtype=np.bool_)
    by_height = np.argsort(heights, kind="mergesort")  # stable: the later of equals is last
    for best in by_height[::-1]:
        if not keep[best]:
            continue
        other = best - 1
        while other >= 0 and peaks[best] - peaks[other] < distance:
            keep[other] = False
            other -= 1
        other = best + 1
        while other < peaks.size and peaks[other] - peaks[best] < distance:
            keep[other] = False
            other += 1
    return keep


@compiled
def _half_widths(
    values: NDArray[np.float32],
    samples: NDArray[np.int64],
    channels: NDArray[np.int64],
    heights: NDArray[np.float32],
) -> NDArray[np.float64]:
    widths = np.full(samples.size, np.nan)
    last = values.shape[0] - 1
    for i in range(samples.size):
        channel, half = channels[i], np.float64(heights[i]) / 2
        left = right = samples[i]
        while left > 0 and values[left, channel] > half:
            left -= 1
        while right < last and values[right, channel] > half:
            right += 1
        below, above = np.float64(values[left, channel]), np.float64(values[right, channel])
        if below <= half and above <= half and left < samples[i] < right:
            start = left + (half - below) / (values[left + 1, channel] - below)
            stop = right - (half - above) / (values[right - 1, channel] - above)
            widths[i] = stop - start
    return widths


@compiled
def _unbeaten(
    position: NDArray[np.int64],
    channel: NDArray[np.int64],
    confidence: NDArray[np.float32],
    separation: int,
) -> NDArray[np.bool_]:
    """Tell which picks survive; they are sorted by channel, then position, then input order."""
    alive = np.ones(position.size, dtype=np.bool_)
    for i in range(position.size):
        earlier = i - 1
        while (
            alive[i]
            and earlier >= 0
            and channel[earlier] == channel[i]
            and position[i] - position[earlier] <= separation
        ):
            alive[i] = not confidence[earlier] > confidence[i]
            earlier -= 1
        later = i + 1
        while (
            alive[i]
            and later < position.size
            and channel[later] == channel[i]
            and position[later] - position[i] <= separation
        ):
            alive[i] = not confidence[later] >= confidence[i]
            later += 1
    return alive
