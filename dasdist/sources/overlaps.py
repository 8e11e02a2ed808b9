"""Samples of a time that earlier ones hold already: files that overlap, files given twice.

::

    run 0    |-------------------|
    run 1                   |xxxx|---------------|      x: left out
    run 2          |xxxxxxx|                            wholly

Of two runs the one that starts first counts, then the one that comes first.  So an index says it,
too.  Without this an arrival in an overlap is picked twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.geometry import Span
from dasdist.sources.borders import Borders
from dasdist.sources.coordinates import Run, Ties

__all__ = ["Overlap", "without_overlaps"]

_Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Overlap:
    """Samples that are left out, for earlier ones have the same time.

    Parameters
    ----------
    samples : Span
        Which.
    start, stop : numpy.datetime64
        Times of the first and the last of them.
    """

    samples: Span
    start: Any
    stop: Any


def without_overlaps(runs: Sequence[Run], ties: Ties) -> tuple[list[Span], list[Overlap]]:
    """Return the samples that count, by time, and those that do not.

    Parameters
    ----------
    runs : sequence of Run
        Of a time coordinate.
    ties : Ties
        That coordinate.

    Returns
    -------
    kept : list of Span
        All samples but those left out; empty where none is.
    overlaps : list of Overlap
    """
    if len(runs) < 2:
        return [], []
    borders = Borders.of(runs)
    if not _early(borders.starts, borders.ends, borders.steps).any():
        return [], []
    # what only jitter parts is one
    first = np.flatnonzero(np.concatenate(([True], ~borders.seeming(runs, ties))))
    last = np.append(first[1:], len(runs)) - 1
    starts, ends, steps = borders.starts[first], borders.ends[last], borders.steps[first]
    if not _early(starts, ends, steps).any():
        return [], []
    spans = [
        Span(runs[a].span.start, runs[b].span.stop)
        for a, b in zip(first.tolist(), last.tolist(), strict=True)
    ]
    kept: list[Span] = []
    overlaps: list[Overlap] = []
    end = int(starts.min()) - 2 * int(steps.max())
    for i in np.argsort(starts, kind="stable").tolist():
        span, count = spans[i], 0
        if starts[i] - end < 0.5 * steps[i]:
            count = min(int((end - starts[i]) / steps[i] + 0.5) + 1, span.size)
            overlaps.append(_overlap(span, count, runs[first[i]]))
        rest = Span(span.start + count, span.stop)
        if kept and count == 0 and kept[-1].stop == rest.start:
            kept[-1] = Span(kept[-1].start, rest.stop)
        elif rest.size:
            kept.append(rest)
        end = max(end, int(ends[i]))
    return kept, overlaps


def _early(starts: _Ints, ends: _Ints, steps: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which runs but the first, by time, begin before the earlier ones have ended."""
    order = np.argsort(starts, kind="stable")
    reached = np.maximum.accumulate(ends[order])
    return np.asarray(starts[order][1:] - reached[:-1] < 0.5 * steps[order][1:])


def _overlap(span: Span, count: int, run: Run) -> Overlap:
    lost = Span(span.start, span.start + count)
    return Overlap(lost, run.axis.value(0), run.axis.value(count - 1))
