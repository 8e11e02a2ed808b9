"""From the pairs that name an origin time to an event: its curve, its picks and its origin time."""

import numpy as np
from numpy.typing import NDArray

from dasdist.events.curve import fit
from dasdist.events.found import Float, Found, Picks, Rows
from dasdist.events.options import EventOptions
from dasdist.events.origin_votes import Votes

__all__ = ["NEAR", "grown"]

NEAR = 0.2  # seconds from a curve that is still being fitted
_ROUNDS = 5
_BEYOND = 500.0  # metres beyond the picks of a curve, where the next round looks for more
_SHARE = 0.25  # or this share of its length
_BIN = 500.0  # metres whose picks have one median
_POINT = 100.0  # likewise, for the curve: within it no arrival changes by more than picks scatter
_MANY = 10  # picks, whose median is as good as that of more
_UNEVEN = 0.05  # seconds by which the medians of stretches are off


def grown(
    picks: Picks, free: NDArray[np.bool_], votes: Votes, options: EventOptions
) -> Found | None:
    """Fit a curve to the pairs of an origin time, and to all picks near it, until it has them.

    Parameters
    ----------
    picks : Picks
        All.
    free : ndarray of bool
        Which of them are in no event yet.
    votes : Votes
        The pairs.
    options : EventOptions
        Ratio of speeds, and how near is near.

    Returns
    -------
    Found or None
        None if too few picks come after the origin time.
    """
    p, s = np.unique(votes.p), np.unique(votes.s)
    origin, ratio = float(np.median(votes.origin)), options.vp_vs
    event = None
    for _ in range(_ROUNDS):
        p, s = p[picks.time[p] > origin], s[picks.time[s] > origin]
        if p.size < 3 or s.size < 3:
            return None
        along = picks.distance[np.concatenate([p, s])]
        more = max(_BEYOND, _SHARE * float(np.ptp(along)))
        low, high = float(along.min()) - more, float(along.max()) + more
        curve = fit(*_points(picks, p, s, origin, ratio), low, high)
        bare = Found(origin, ratio, curve, (low, high), p, s, np.empty(0), np.empty(0))
        off = bare.off_of(picks)
        event = bare.taking(picks, free & (np.abs(off) <= min(NEAR, options.tolerance)), off)
        if np.array_equal(p, event.p) and np.array_equal(s, event.s):
            break
        p, s = event.p, event.s
        origin, ratio = _origin(event, picks, options)
    return event


def _origin(event: Found, picks: Picks, options: EventOptions) -> tuple[float, float]:
    """Return the origin time, and the ratio of speeds, that an event's picks tell.

    The times from P to S against those of P lie on a line that begins at the origin time and has a
    slope of vp/vs - 1 (Wadati 1933).  Where P arrives at about the same time everywhere, that slope
    is the stated one; the more its time varies, the more the picks have their say.
    """
    place_p, late_p, count_p = _medians(picks.distance[event.p], event.off_p, _BIN)
    place_s, late_s, count_s = _medians(picks.distance[event.s], event.off_s, _BIN)
    place, of_p, of_s = np.intersect1d(place_p, place_s, return_indices=True)
    if not place.size:
        return event.origin, event.ratio
    # the curve, and not single picks: what is wrong with them must not look like a moveout
    middles = np.asarray((place + 0.5) * _BIN, dtype=np.float64)
    travel = event.curve.travel(middles)
    late = late_p[of_p]
    apart = (event.ratio - 1) * travel + late_s[of_s] - late
    weight = np.minimum(np.minimum(count_p[of_p], count_s[of_s]), _MANY) / _MANY
    varies, stated = travel - np.average(travel, weights=weight), options.vp_vs - 1
    trust = (_UNEVEN / options.vp_vs_spread) ** 2
    slope = float((weight * varies @ apart + stated * trust) / (weight * varies @ varies + trust))
    slope = max(slope, stated / 2)
    origin = np.average(travel + late - apart / slope, weights=weight)
    return event.origin + float(origin), slope + 1


def _points(
    picks: Picks, p: Rows, s: Rows, origin: float, ratio: float
) -> tuple[Float, Float, Rows]:
    """Return distances and travel times of P for a curve to run through, and their weights."""
    parts = []
    for rows, slower in ((p, 1.0), (s, ratio)):
        distance, travel = picks.distance[rows], (picks.time[rows] - origin) / slower
        place, middle, count = _medians(distance, travel, _POINT)
        sums = np.bincount(np.searchsorted(place, np.floor(distance / _POINT)), distance)
        parts.append((sums / count, middle, count))
    distance, travel, count = (np.concatenate(column) for column in zip(*parts, strict=True))
    return distance, travel, count


def _medians(distance: Float, values: Float, length: float) -> tuple[Rows, Float, Rows]:
    """Return stretches of the fibre, the median of what lies in each, and how many do."""
    place = np.floor(distance / length).astype(np.int64)
    order = np.lexsort((values, place))
    places, starts, counts = np.unique(place[order], return_index=True, return_counts=True)
    low, high = starts + (counts - 1) // 2, starts + counts // 2
    return places, (values[order][low] + values[order][high]) / 2, counts
