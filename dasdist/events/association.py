"""The earthquakes among the picks of a few minutes, the clearest first.

::

    picks that line up -> pairs of P and S -> the origin time that most channels name
                                 ^                  |
                                 |                  v
        '---- its picks are taken away <- a curve through them, and all picks near it

Taking away is what keeps earthquakes apart whose waves overlap: what is left names the next.  In
the end every pick goes to the curve that is nearest.
"""

import numpy as np

from dasdist.events.coherence import coherent
from dasdist.events.found import Float, Found, P, Picks, S
from dasdist.events.growing import NEAR, grown
from dasdist.events.options import EventOptions
from dasdist.events.origin_votes import Votes, best_origin, votes_of

__all__ = ["find_events"]

_AGREE = 3  # a third of an event's channels must name its origin time
_EACH = 4  # and a quarter show each phase
_PATIENCE = 10  # origin times in a row that are none, after which weaker ones are none either
_FEWEST = 5  # channels, however few are asked for
_LEAST = 0.3  # seconds from a curve that are near, however little picks scatter
_SIGMAS = 6.0  # of a Poisson count: a curve has many places where it can be tried
_SPAN = 30.0  # seconds: in less, the picks of an event are not those of chance
_AT_ONCE = 0.021  # seconds within which four fifths of the picks are a fault of the interrogator
_LONG = 1000.0  # metres on which no wave arrives within that


def find_events(picks: Picks, options: EventOptions, least: int) -> list[Found]:
    """Find earthquakes, each pick in one of them or in none.

    Parameters
    ----------
    picks : Picks
        All of some minutes, in any order.
    options : EventOptions
        What the detector is told.
    least : int
        Channels of an event, at least.

    Returns
    -------
    list of Found
        The clearest first.
    """
    votes = _votes(picks, options)
    free = (picks.phase == P) | (picks.phase == S)
    events: list[Found] = []
    in_vain = 0
    while in_vain < _PATIENCE:
        count, agreed = best_origin(votes, picks.channel)
        if count < max(_FEWEST, least // _AGREE):
            break
        in_vain += 1
        event = grown(picks, free, votes[agreed], options)
        kept = np.ones(votes.origin.size, dtype=bool)
        kept[agreed] = False
        if event is not None and _is_one(event, picks, least):
            if not any(_is_of(event, other, picks, options) for other in events):
                events.append(event)
                in_vain = 0
            free[event.rows] = False
            kept &= free[votes.p] & free[votes.s]
        votes = votes[kept]
    return _shared_out(events, picks, options)


def _votes(picks: Picks, options: EventOptions) -> Votes:
    """Let the picks vote that line up with others."""
    lines_up = np.zeros(picks.time.size, dtype=bool)
    refined = picks.time.copy()
    for phase in (P, S):
        rows = np.flatnonzero(picks.phase == phase)
        found = coherent(picks.time[rows], picks.distance[rows], options)
        lines_up[rows], refined[rows] = found.is_so, found.time
    p, s = (np.flatnonzero(lines_up & (picks.phase == phase)) for phase in (P, S))
    return votes_of(refined, picks.distance, p, s, options)


def _is_one(event: Found, picks: Picks, least: int) -> bool:
    """Return whether so many channels show it, more than chance has, and it is a wave."""
    channels = np.unique(picks.channel[event.rows]).size
    each = [np.unique(picks.channel[rows]).size for rows in (event.p, event.s)]
    chance = [_by_chance(event, picks, phase) for phase in (P, S)]
    enough = np.maximum(chance, max(_FEWEST, least // _EACH))
    if channels < least or np.any(each < enough):
        return False
    return not any(_at_once(picks.time[rows], picks.distance[rows]) for rows in (event.p, event.s))


def _by_chance(event: Found, picks: Picks, phase: int) -> float:
    """Return how many picks chance alone may put near a curve, of a phase as frequent as it is."""
    low, high = event.reach
    along = picks.distance[picks.phase == phase]
    number = np.count_nonzero((low <= along) & (along <= high))
    expected = number * 2 * NEAR / max(float(np.ptp(picks.time)), _SPAN)
    return float(expected + _SIGMAS * np.sqrt(expected))


def _at_once(time: Float, distance: Float) -> bool:
    early, late = np.quantile(time, [0.1, 0.9])
    return bool(np.ptp(distance) >= _LONG and late - early <= _AT_ONCE)


def _is_of(event: Found, other: Found, picks: Picks, options: EventOptions) -> bool:
    """Return whether an event is what another left: picks that scatter more about its curve."""
    off = other.off_of(picks)
    return bool(np.mean(np.abs(off[event.rows]) <= max(2 * NEAR, options.tolerance / 2)) > 0.5)


def _shared_out(events: list[Found], picks: Picks, options: EventOptions) -> list[Found]:
    """Give every pick to the event whose curve is nearest, if it is as near as its others."""
    if not events:
        return []
    off = np.array([event.off_of(picks) for event in events])
    within = np.full_like(off, np.inf)
    least = min(_LEAST, options.tolerance)
    for row, event in zip(within, events, strict=True):
        for phase, members in ((P, event.off_p), (S, event.off_s)):
            scatter = 1.4826 * float(np.median(np.abs(members)))
            row[picks.phase == phase] = np.clip(6 * scatter, least, options.tolerance)
    nearest = np.argmin(np.abs(off) / within, axis=0)
    return [
        event.taking(picks, (nearest == i) & (np.abs(off[i]) <= within[i]), off[i])
        for i, event in enumerate(events)
    ]
