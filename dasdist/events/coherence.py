"""Which picks line up with their neighbours on the fibre: a Hough transform around each pick.

::

    time   .        x   .            a pick and the lines through it, within the bounds of slowness;
     |       x  x  / .               most picks lie near one of them: it is coherent, and their mean
     |   x  ---[x]----  .            distance from that line tells its time better than it does
     v   .   / .    x  x             itself
         distance ->

The transform is that of Hough (1962, US patent 3069654; Duda and Hart 1972,
https://doi.org/10.1145/361237.361242), of lines through the pick alone; reflection seismics calls
it a local slant stack.  So the work grows with the picks nearby, not with the fibre or with time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dasdist.compiled import compiled
from dasdist.events.options import EventOptions

__all__ = ["Coherent", "coherent"]

_WIDTH = 0.15  # seconds: how far picks of one wave front scatter about a line, either way
_BINS = 8  # in an aperture


@dataclass(frozen=True, slots=True)
class Coherent:
    """Which picks line up, and the times at which the line of each passes its channel.

    Parameters
    ----------
    is_so : ndarray of bool
        Whether enough others line up with a pick.
    time : ndarray of float64
        Seconds; of picks that do not line up, their own.
    """

    is_so: NDArray[np.bool_]
    time: NDArray[np.float64]


def coherent(
    time: NDArray[np.float64], distance: NDArray[np.float64], options: EventOptions
) -> Coherent:
    """Find the picks of one phase that line up with others.

    Parameters
    ----------
    time : ndarray of float64
        Seconds.
    distance : ndarray of float64
        Metres along the fibre.
    options : EventOptions
        Aperture, slowness, and how many others.

    Returns
    -------
    Coherent

    Examples
    --------
    A wave front at 2000 m/s, and a pick by itself:

    >>> distance = 10.0 * np.arange(9)
    >>> found = coherent(np.append(distance / 2000, 7.0), np.append(distance, 40), EventOptions())
    >>> found.is_so.astype(int).tolist()
    [1, 1, 1, 1, 1, 1, 1, 1, 1, 0]
    """
    if not time.size:
        return Coherent(np.empty(0, dtype=bool), time)
    steps = max(1, int(np.ceil(options.max_slowness * options.aperture / _WIDTH)))
    slowness = np.linspace(-options.max_slowness, options.max_slowness, 2 * steps + 1)
    slowness = slowness[np.argsort(np.abs(slowness), kind="stable")]  # of equals the flattest
    bins = np.floor(distance / (options.aperture / _BINS)).astype(np.int64)
    bins -= bins.min()
    rows = np.lexsort((distance, time, bins))
    starts = np.searchsorted(bins[rows], np.arange(bins.max() + 2))
    count, centre = _line_up(
        time[rows], distance[rows], bins[rows], starts, slowness, options.aperture
    )
    enough = np.empty(time.size, dtype=bool)
    refined = np.empty(time.size)
    enough[rows] = count >= options.min_neighbours
    refined[rows] = np.where(enough[rows], time[rows] + centre, time[rows])
    return Coherent(enough, refined)


@compiled
def _line_up(
    time: NDArray[np.float64],
    distance: NDArray[np.float64],
    bins: NDArray[np.int64],
    starts: NDArray[np.int64],
    slowness: NDArray[np.float64],
    aperture: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return for each pick how many lie near its best line, and their mean distance from it."""
    count = np.zeros(time.size, dtype=np.int64)
    centre = np.zeros(time.size)
    reach = np.abs(slowness).max() * aperture + _WIDTH
    number = np.empty(slowness.size, dtype=np.int64)
    total = np.empty(slowness.size)
    last = starts.size - 2
    for i in range(time.size):
        number[:] = 0
        total[:] = 0.0
        for b in range(max(0, bins[i] - _BINS), min(last, bins[i] + _BINS) + 1):
            low, stop = starts[b], starts[b + 1]
            low += np.searchsorted(time[low:stop], time[i] - reach)
            for j in range(low, stop):
                dt = time[j] - time[i]
                if dt > reach:
                    break
                dx = distance[j] - distance[i]
                if dx == 0.0 or abs(dx) > aperture:
                    continue
                for k in range(slowness.size):
                    off = dt - slowness[k] * dx
                    if abs(off) <= _WIDTH:
                        number[k] += 1
                        total[k] += off
        best = 0
        for k in range(1, slowness.size):
            if number[k] > number[best]:
                best = k
        count[i] = number[best]
        centre[i] = total[best] / (number[best] + 1)
    return count, centre
