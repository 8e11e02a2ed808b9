"""Which samples of each file count, where files overlap in time.

::

    a.nc    |-------------------|
    b.nc                        x---------|     |---------|     its first sample is in a.nc, too
    c.nc                                   |---|                lies in the gap of b.nc
    pieces  |--------a----------|----b----||-c-||----b----|

Of two stretches the one that starts first counts, then the one whose file comes first by name.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dasdist.archive.header import Header, Problem, ties_of
from dasdist.archive.headers import Headers
from dasdist.geometry import Span
from dasdist.sources.coordinates import Ties, runs_of
from dasdist.sources.kept import value_at
from dasdist.sources.overlaps import without_overlaps

__all__ = ["Pieces", "overlapping", "pieces_of"]

_Ints = NDArray[np.int64]
_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """Samples of files that follow one another in an array.

    Parameters
    ----------
    files, starts, sizes : ndarray of int64, shape (pieces,)
        Number of the header of each, its first sample in that file, and how many it has.
    """

    files: _Ints
    starts: _Ints
    sizes: _Ints

    def span(self, number: int) -> Span:
        """Return which samples of its file a piece is."""
        start = int(self.starts[number])
        return Span(start, start + int(self.sizes[number]))


def overlapping(
    headers: Sequence[Header], kind: _Ints, first: _Ints, last: _Ints, step: _Floats
) -> tuple[dict[int, list[Span]], list[Problem]]:
    """Find files that overlap others, and what of them counts.

    Parameters
    ----------
    headers : sequence of Header
        The files.
    kind : ndarray of int64, shape (files,)
        What agrees has the same number; only such files overlap.
    first, last : ndarray of int64, shape (files,)
        Times of their first and last samples, in nanoseconds.
    step : ndarray of float64, shape (files,)
        Their sampling intervals.

    Returns
    -------
    kept : dict of int to list of Span
        Samples that count, by time, of each file that lies among others; all count of the rest.
    problems : list of Problem
        Files of which samples do not count.
    """
    kept: dict[int, list[Span]] = {}
    problems: list[Problem] = []
    for files in _clusters(kind, first, last, step):
        spans, lost = _sweep([headers[i] for i in files])
        kept |= {files[n]: held for n, held in spans.items()}
        before = _before(last[files])
        for n, count in sorted(lost.items()):
            other = files[before[n]]
            twin = first[files[n]] == first[other] and last[files[n]] == last[other]
            problems.append(
                _problem(headers[files[n]], headers[other], spans[n], count, twin=bool(twin))
            )
    return kept, problems


def _clusters(kind: _Ints, first: _Ints, last: _Ints, step: _Floats) -> Iterator[list[int]]:
    """Yield files that overlap one another, by their first sample, then by name."""
    order = np.lexsort((np.arange(len(kind)), first, kind))
    bounds = np.flatnonzero(np.diff(kind[order], prepend=-1, append=-1))
    for low, high in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        files = order[low:high]
        reached = np.maximum.accumulate(last[files])
        early = first[files][1:] - reached[:-1] < 0.5 * step[files][1:]
        for some in np.split(files, np.flatnonzero(~early) + 1):
            if len(some) > 1:
                yield some.tolist()


def _before(last: _Ints) -> list[int]:
    """Return for each file, by their first samples, which earlier one ends last."""
    found = [1]  # what the first loses, another one has that starts in its gap
    for n in range(1, len(last)):
        far = found[-1] if n > 1 else 0
        found.append(n - 1 if last[n - 1] > last[far] else far)
    return found


def _sweep(headers: Sequence[Header]) -> tuple[dict[int, list[Span]], dict[int, int]]:
    """Return what counts of each of some files, and how many samples do not of which."""
    starts = np.cumsum([0, *(h.samples for h in headers)])
    each = [ties_of(header) for header in headers]
    together = Ties(
        np.concatenate([t.indices + s for t, s in zip(each, starts, strict=False)]),
        np.concatenate([t.values for t in each]),
        is_time=True,
        step=each[0].step,
        rounding=max(t.rounding for t in each),
    )
    kept, overlaps = without_overlaps(runs_of(together, "time", 0.25), together)
    spans: dict[int, list[Span]] = {n: [] for n in range(len(headers))}
    for n, span in _by_file(kept or [Span(0, int(starts[-1]))], starts):
        spans[n].append(span)
    lost: dict[int, int] = {}
    for n, span in _by_file([overlap.samples for overlap in overlaps], starts):
        lost[n] = lost.get(n, 0) + span.size
    return spans, lost


def _by_file(spans: Sequence[Span], starts: _Ints) -> Iterator[tuple[int, Span]]:
    """Yield the parts of spans in each file, counted from its first sample."""
    for span in spans:
        n = int(np.searchsorted(starts, span.start, side="right")) - 1
        while starts[n] < span.stop:
            held = Span(max(span.start, int(starts[n])), min(span.stop, int(starts[n + 1])))
            yield n, held.shift(-int(starts[n]))
            n += 1
            if n == len(starts) - 1:
                break


def _problem(
    header: Header, other: Header, held: Sequence[Span], count: int, *, twin: bool
) -> Problem:
    if not held and twin:
        reason = f"it has the same samples as {other.path}; it is left out"
        return Problem(header.path, "repeat", reason)
    if not held:
        reason = f"its samples lie within the time of {other.path}; it is left out"
    elif len(held) == 1 and held[0].start == count:
        reason = (
            f"it starts before {other.path} ends; its first {count} of {header.samples} samples "
            "are left out"
        )
    else:
        reason = (
            f"{count} of its {header.samples} samples overlap those of {other.path} in time, and "
            "are left out"
        )
    return Problem(header.path, "overlap", reason)


def pieces_of(
    files: _Ints, headers: Headers, first: _Ints, kept: Mapping[int, Sequence[Span]]
) -> Pieces:
    """Return the pieces of an array, by time.

    Parameters
    ----------
    files : ndarray of int64
        The files of the array, by time.
    headers : Headers
        Of all files.
    first : ndarray of int64
        Their first times.
    kept : mapping of int to sequence of Span
        What counts of those files that do not count as a whole.
    """
    samples = headers.column("samples")
    cut = [i for i in files.tolist() if i in kept] if kept else []
    if not cut:
        return Pieces(files, np.zeros_like(files), samples[files])
    whole = np.setdiff1d(files, np.array(cut))
    rows = [(int(first[i]), int(i), 0, int(samples[i])) for i in whole]
    for i in cut:
        for span in kept[i]:
            start = int(first[i]) if span.start == 0 else value_at(ties_of(headers[i]), span.start)
            rows.append((start, i, span.start, span.size))
    return Pieces(*np.array(sorted(rows), dtype=np.int64)[:, 1:].T)
