"""A stretch of time of a recording: its samples from one time on and before another.

The libraries that open recordings cut them by time, too, but not all of them: xdas cannot where
files overlap, nor where a declared interval disagrees with the ties by less than a nanosecond.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.geometry import Span
from dasdist.sources.coordinates import Ties

__all__ = ["TimeRange", "spans_between"]


@dataclass(frozen=True, slots=True, eq=False)
class TimeRange:
    """Data of which only some time counts; it is cut when it is opened.

    Parameters
    ----------
    data : object
        What :func:`~dasdist.sources.open_recording` takes.
    start, stop : numpy.datetime64 or None
        The first is in, the second is not.
    """

    data: Any
    start: "np.datetime64 | None" = None
    stop: "np.datetime64 | None" = None

    def __str__(self) -> str:
        start, stop = (str(time).removesuffix("." + 9 * "0") for time in (self.start, self.stop))
        return (
            f"from {'the start' if self.start is None else start} "
            f"to {'the end' if self.stop is None else stop}"
        )


def spans_between(
    ties: Ties, start: "np.datetime64 | None", stop: "np.datetime64 | None"
) -> list[Span]:
    """Return the samples from one time on and before another.

    Parameters
    ----------
    ties : Ties
        Of a time coordinate, in whatever order its times come.
    start, stop : numpy.datetime64 or None
        The first is in, the second is not.

    Returns
    -------
    list of Span
        In the order of the samples; most often one.
    """
    low, high = (
        None if time is None else int(time.astype("M8[ns]").astype(np.int64))
        for time in (start, stop)
    )
    values = ties.values
    inside = np.ones(values.size, dtype=bool)
    if low is not None:
        inside &= values >= low
    if high is not None:
        inside &= values < high
    # between two ties, samples are inside if both are, else up to where the line crosses a bound
    firsts, stops = ties.indices[:-1].copy(), ties.indices[1:].copy()
    both = inside[:-1] & inside[1:]
    outside = _one_side(values, low, high)
    stops[~both & outside] = firsts[~both & outside]
    for k in np.flatnonzero(~both & ~outside).tolist():
        firsts[k], stops[k] = _crossing(ties, k, low, high)
    last = int(ties.indices[-1])
    firsts, stops = np.append(firsts, last), np.append(stops, last + int(inside[-1]))
    some = stops > firsts
    firsts, stops = firsts[some], stops[some]
    if not firsts.size:
        return []
    breaks = np.flatnonzero(firsts[1:] != stops[:-1])
    begins, ends = np.append(0, breaks + 1), np.append(breaks, firsts.size - 1)
    return [Span(int(firsts[a]), int(stops[b])) for a, b in zip(begins, ends, strict=True)]


def _one_side(values: NDArray[Any], low: int | None, high: int | None) -> NDArray[np.bool_]:
    """Tell between which ties all is too early, or all too late."""
    found = np.zeros(values.size - 1, dtype=bool)
    if low is not None:
        found |= (values[:-1] < low) & (values[1:] < low)
    if high is not None:
        found |= (values[:-1] >= high) & (values[1:] >= high)
    return found


def _crossing(ties: Ties, k: int, low: int | None, high: int | None) -> tuple[int, int]:
    """Return the samples inside, of those from tie ``k`` to before the next one."""
    start, stop = ties.indices[k : k + 2].tolist()
    first, last = ties.values[k : k + 2].tolist()
    step = Fraction(last - first, stop - start)
    # sample start + i is at first + i * step, rounded half up
    after = [
        None if bound is None else (Fraction(2 * bound - 1, 2) - first) / step
        for bound in (low, high)
    ]
    if step < 0:
        begin = 0 if after[1] is None else after[1] // 1 + 1
        end = stop - start if after[0] is None else after[0] // 1 + 1
    else:
        begin = 0 if after[0] is None else -(-after[0] // 1)
        end = stop - start if after[1] is None else -(-after[1] // 1)
    return start + max(int(begin), 0), start + min(int(end), stop - start)
