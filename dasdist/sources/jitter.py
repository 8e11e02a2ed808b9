"""By how much time stamps jitter, where that is more than the tolerance allows."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from dasdist.geometry import Span
from dasdist.sources.borders import Borders, samples_of
from dasdist.sources.coordinates import Run, Ties

__all__ = ["Jitter", "jitter_of"]

_ENOUGH = 10**6
"""Samples that show how stamps jitter."""

_MOST = 0.98
"""The largest deviation for which a tolerance is advised."""


@dataclass(frozen=True, slots=True)
class Jitter:
    """How time stamps jitter.

    Parameters
    ----------
    rms, peak : float
        Deviation from even spacing, in samples.
    steps : float
        The tolerance that the largest change from one step to another needs.
    cuts : int
        How often it ends a segment where there is no gap.
    rounded : bool
        Whether stamps are rounded so coarsely that some repeat or are left out.
    repeats : bool
        Whether some repeat.
    allowed : float
        The tolerance.
    """

    rms: float
    peak: float
    steps: float
    cuts: int
    rounded: bool
    repeats: bool
    allowed: float

    def __str__(self) -> str:
        what = "are rounded, and so deviate" if self.rounded else "jitter: they deviate"
        text = (
            f"The time stamps {what} from even spacing by {self.rms:.2g} samples (rms) and up to "
            f"{self.peak:.2g}, more than tolerance={self.allowed:g} allows, which cuts the "
            f"recording {self.cuts} times where there is no gap."
        )
        even = "give the samples evenly spaced times"
        if max(self.peak, self.steps) > _MOST:
            return f"{text} Sort the samples by time, or {even}."
        enough = ceil(max(102 * self.peak, 101 * self.steps)) / 100
        return f"{text} Pass tolerance={enough:g} (--set tolerance={enough:g}), or {even}."


def jitter_of(ties: Ties, runs: Sequence[Run], allowed: float) -> Jitter | None:
    """Return how stamps jitter, where it cuts a recording; None where only gaps do.

    Parameters
    ----------
    ties : Ties
        A time coordinate.
    runs : sequence of Run
        What it was cut into.
    allowed : float
        With which tolerance.
    """
    if len(runs) < 2:
        return None
    borders = Borders.of(runs)
    seeming = borders.seeming(runs, ties)
    if not seeming.any():
        return None
    part = _longest(runs, np.flatnonzero(~seeming))
    positions = np.arange(part.start, min(part.stop, part.start + _ENOUGH))
    times = samples_of(ties, positions)
    count = positions - positions.mean()
    slope = float((count * times).sum() / (count**2).sum())
    off = times - times.mean() - slope * count
    steps = np.diff(times)
    usual = float(np.median(steps))
    rounded = borders.rounded(ties)
    return Jitter(
        rms=float(off.std()) / slope,
        peak=float(np.ptp(off)) / 2 / slope,
        steps=float(np.abs(steps - usual).max()) / 2 / usual,
        cuts=int(seeming.sum()),
        rounded=rounded,
        repeats=rounded and bool(borders.early().any()),
        allowed=allowed,
    )


def _longest(runs: Sequence[Run], ends: NDArray[np.int64]) -> Span:
    """Return the most samples without a gap; ``ends`` are the runs before one."""
    first = [0, *(ends + 1).tolist()]
    last = [*ends.tolist(), len(runs) - 1]
    spans = [Span(runs[a].span.start, runs[b].span.stop) for a, b in zip(first, last, strict=True)]
    return max(spans, key=lambda span: span.size)
