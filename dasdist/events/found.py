"""Picks as the detector sees them, and an event: where its curves run, and the picks near them."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dasdist.events.curve import Curve

__all__ = ["Found", "P", "Picks", "Rows", "S"]

P, S = 0, 1

Float = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Picks:
    """Picks as columns of equal length.

    Parameters
    ----------
    time, distance : ndarray of float64
        Seconds from anywhere, and metres along the fibre.
    channel : ndarray of int64
        From 0 on.
    phase : ndarray of int8
        `P` or `S`; any other stays out of events.
    """

    time: Float
    distance: Float
    channel: NDArray[np.int64]
    phase: NDArray[np.int8]

    def __getitem__(self, rows: Rows) -> "Picks":
        return Picks(self.time[rows], self.distance[rows], self.channel[rows], self.phase[rows])


@dataclass(frozen=True, slots=True)
class Found:
    """An earthquake.

    Parameters
    ----------
    origin : float
        Seconds.
    ratio : float
        Speed of P over that of S.
    curve : Curve
        Its travel times.
    reach : tuple of float
        Metres from and to which the curve is used.
    p, s : ndarray of int64
        Its picks.
    off_p, off_s : ndarray of float64
        Seconds by which they are later than the curve.
    """

    origin: float
    ratio: float
    curve: Curve
    reach: tuple[float, float]
    p: Rows
    s: Rows
    off_p: Float
    off_s: Float

    @property
    def rows(self) -> Rows:
        """Its picks of both phases."""
        return np.concatenate([self.p, self.s])

    @property
    def off(self) -> Float:
        """What they are off, in the same order."""
        return np.concatenate([self.off_p, self.off_s])

    def off_of(self, picks: Picks) -> Float:
        """Return by how much any picks are later than the curve; endless beyond its reach."""
        off = np.full(picks.time.size, np.inf)
        low, high = self.reach
        inside = (low <= picks.distance) & (picks.distance <= high)
        rows = np.flatnonzero(inside & ((picks.phase == P) | (picks.phase == S)))
        ratio = np.where(picks.phase[rows] == P, 1.0, self.ratio)
        travel = self.curve.travel(picks.distance[rows])
        off[rows] = picks.time[rows] - self.origin - ratio * travel
        return off

    def taking(self, picks: Picks, mine: NDArray[np.bool_], off: Float) -> "Found":
        """Return the event with these picks, given what all are off."""
        p, s = (np.flatnonzero(mine & (picks.phase == phase)) for phase in (P, S))
        return replace(self, p=p, s=s, off_p=off[p], off_s=off[s])
