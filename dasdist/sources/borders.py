"""Where runs of samples follow one another: in time, too late, too early, or only seemingly so.

A gap stays: from it on, all samples are late.  Jitter does not, the samples around one that is off
lie where they should::

    off the line (samples)      gap    _______          jitter    .    .      '
                               _______|                        _.'_._.__'.__.__.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dasdist.sources.coordinates import Run, Ties

__all__ = ["Borders", "samples_of"]

_NEAR = 2.5
"""Samples by which a run may follow another too late or too early, if jitter parted them."""

_LOOKED_AT = 32
"""Samples on either side of a border, of which the median says where they lie."""

_APART = 1000
"""Samples between stamps that repeat: less far apart, stamps are rounded; else files overlap."""


@dataclass(frozen=True, slots=True, eq=False)
class Borders:
    """Columns of runs along time, and how the following one begins.

    Parameters
    ----------
    starts, ends : ndarray of int64, shape (n,)
        First and last time of each run, in nanoseconds.
    steps : ndarray of float64, shape (n,)
        Their sampling intervals.
    sizes : ndarray of int64, shape (n,)
        Their samples.
    step : float
        The sampling interval of the longest.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    steps: NDArray[np.float64]
    sizes: NDArray[np.int64]
    step: float

    @classmethod
    def of(cls, runs: Sequence[Run]) -> "Borders":
        """Return the columns of runs."""
        starts = np.array([int(run.axis.start) for run in runs], dtype=np.int64)
        steps = np.array([float(run.axis.step) for run in runs])
        sizes = np.array([run.axis.size for run in runs], dtype=np.int64)
        ends = starts + np.rint((sizes - 1) * steps).astype(np.int64)
        return cls(starts, ends, steps, sizes, float(steps[np.argmax(sizes)]))

    def near(self) -> NDArray[np.bool_]:
        """Tell which runs, but the last, are followed at once: shape (n - 1,)."""
        lag = (self.starts[1:] - self.ends[:-1]) / self.step - 1
        return np.asarray(np.abs(lag) <= _NEAR)

    def early(self) -> NDArray[np.bool_]:
        """Tell which runs, but the first, begin before the one before has ended."""
        return np.asarray(self.starts[1:] - self.ends[:-1] < 0.5 * self.steps[1:])

    def rounded(self, ties: Ties) -> bool:
        """Tell whether stamps are rounded so coarsely that they repeat or leave some out."""
        near = self.near()
        if near.sum() < 3 or self.sizes.sum() > _APART * near.sum():
            return False
        return bool(np.gcd.reduce(np.diff(ties.values)) > self.step / 2)

    def seeming(self, runs: Sequence[Run], ties: Ties) -> NDArray[np.bool_]:
        """Tell which runs, but the last, go on in the next one, and only jitter parts them."""
        near = self.near()
        if not near.any() or self.rounded(ties):
            return near
        places = np.array([run.span.start for run in runs], dtype=np.int64)[1:][near]
        around = np.arange(_LOOKED_AT)
        last = int(ties.indices[-1])
        before, after = (
            np.median(_off(ties, np.clip(at, 0, last), self.step), axis=1)
            for at in (places[:, None] - 1 - around, places[:, None] + around)
        )
        near[near] = np.abs(after - before) < 0.5 * self.step
        return near


def samples_of(ties: Ties, positions: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return times at some samples, in nanoseconds since the first."""
    since = (ties.values - ties.values[0]).astype(np.float64)
    times: NDArray[np.float64] = np.interp(positions, ties.indices, since)
    return times


def _off(ties: Ties, positions: NDArray[np.int64], step: float) -> NDArray[np.float64]:
    return samples_of(ties, positions) - positions * step
