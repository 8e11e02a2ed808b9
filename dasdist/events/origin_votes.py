"""Pairs of P and S on a channel vote for origin times; an earthquake is where many channels agree.

A pair that belongs together names the same origin time on every channel, wherever the earthquake
is and however the fibre runs (Wadati 1933)::

    origin = P - (S - P) / (vp / vs - 1)

P of one earthquake and S of another name times that drift along the fibre.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dasdist.compiled import compiled
from dasdist.events.options import EventOptions

__all__ = ["Votes", "best_origin", "votes_of"]

_BESIDE = 50.0  # metres: how far apart P and S of a pair may be
_LEAST = 0.2  # seconds from P to S: less is one arrival that was taken for both
WINDOW = 0.3  # seconds within which origin times agree


@dataclass(frozen=True, slots=True)
class Votes:
    """Origin times, sorted, and the picks that they come from.

    Parameters
    ----------
    origin : ndarray of float64
        Seconds.
    p, s : ndarray of int64
        Indices of the picks of each pair.
    """

    origin: NDArray[np.float64]
    p: NDArray[np.int64]
    s: NDArray[np.int64]

    def __getitem__(self, chosen: NDArray[np.bool_] | slice) -> "Votes":
        return Votes(self.origin[chosen], self.p[chosen], self.s[chosen])


def votes_of(
    time: NDArray[np.float64],
    distance: NDArray[np.float64],
    p: NDArray[np.int64],
    s: NDArray[np.int64],
    options: EventOptions,
) -> Votes:
    """Pair picks of P and S that are beside each other.

    Parameters
    ----------
    time, distance : ndarray of float64
        Seconds and metres of all picks.
    p, s : ndarray of int64
        Which of them to pair.
    options : EventOptions
        Ratio of speeds, and the longest time from P to S.

    Returns
    -------
    Votes
    """
    empty = np.empty(0, dtype=np.int64)
    if not p.size or not s.size:
        return Votes(np.empty(0), empty, empty)
    bins = np.floor(distance / _BESIDE).astype(np.int64)
    least = min(bins[p].min(), bins[s].min())
    bins = bins - least
    rows = p[np.lexsort((distance[p], time[p], bins[p]))]
    starts = np.searchsorted(bins[rows], np.arange(max(bins[p].max(), bins[s].max()) + 2))
    args = (time, distance, bins, rows, starts, s, options.max_s_minus_p)
    size = _pair(*args, empty, empty)
    found_p, found_s = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.int64)
    _pair(*args, found_p, found_s)
    origin = time[found_p] - (time[found_s] - time[found_p]) / (options.vp_vs - 1)
    order = np.lexsort((found_p, found_s, origin))
    return Votes(origin[order], found_p[order], found_s[order])


@compiled
def _pair(
    time: NDArray[np.float64],
    distance: NDArray[np.float64],
    bins: NDArray[np.int64],
    rows: NDArray[np.int64],
    starts: NDArray[np.int64],
    s: NDArray[np.int64],
    longest: float,
    found_p: NDArray[np.int64],
    found_s: NDArray[np.int64],
) -> int:
    """Write pairs where there is room, and return how many there are."""
    count = 0
    last = starts.size - 2
    for i in s:
        for b in range(max(0, bins[i] - 1), min(last, bins[i] + 1) + 1):
            low = starts[b]
            stop = starts[b + 1]
            for k in range(stop - 1, low - 1, -1):
                j = rows[k]
                after = time[i] - time[j]
                if after > longest:
                    break
                if after < _LEAST or abs(distance[i] - distance[j]) > _BESIDE:
                    continue
                if count < found_p.size:
                    found_p[count] = j
                    found_s[count] = i
                count += 1
    return count


def best_origin(votes: Votes, channel: NDArray[np.int64]) -> tuple[int, slice]:
    """Return on how many channels S picks agree on one origin time, and the votes that do.

    Parameters
    ----------
    votes : Votes
        Sorted.
    channel : ndarray of int64
        Of all picks, from 0 on.
    """
    if not votes.origin.size:
        return 0, slice(0, 0)
    of_s = channel[votes.s]
    count, start, stop = _densest(votes.origin, of_s, int(of_s.max()) + 1)
    return count, slice(start, stop)


@compiled
def _densest(
    origin: NDArray[np.float64], channel: NDArray[np.int64], channels: int
) -> tuple[int, int, int]:
    held = np.zeros(channels, dtype=np.int64)
    distinct = best = first = stop = low = 0
    for high in range(origin.size):
        held[channel[high]] += 1
        distinct += held[channel[high]] == 1
        while origin[high] - origin[low] > WINDOW:
            held[channel[low]] -= 1
            distinct -= held[channel[low]] == 0
            low += 1
        if distinct > best:
            best, first, stop = distinct, low, high + 1
    return best, first, stop
