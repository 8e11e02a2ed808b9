"""Join files to arrays by their headers: order them in time, split where they do not agree.

::

    files in time     a a a b b a a a      (a, b: forms and sampling intervals)
    members           |--0--|1|--2--|      each an xdas.DataArray of tiles

Where forms run side by side, such as two interrogators into one folder, every form is one member.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdas import DataArray
from xdas.virtual import TileArray

from dasdist.archive.changes import SAME_STEP, and_more, changes
from dasdist.archive.header import Header, Problem, coordinate_of, tick_of, time_coordinate
from dasdist.archive.headers import NONE, Headers
from dasdist.archive.pieces import Pieces, overlapping, pieces_of
from dasdist.errors import InvalidInput
from dasdist.geometry import Span
from dasdist.sources import checked, open_recording  # noqa: F401 - the engine of indexes
from dasdist.sources.trusted import CHECKED

__all__ = ["Built", "Columns", "build", "columns_of"]

_Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Built:
    """The arrays that files with these headers make.

    Parameters
    ----------
    members : list of xdas.DataArray
        In the order of their first samples.
    places : ndarray of int64, shape (files,)
        Member of each header; -1 for those left out.
    problems : list of Problem
        Files that repeat or overlap others, or differ from most.
    """

    members: list[DataArray]
    places: NDArray[np.int64]
    problems: list[Problem]


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Columns of headers, shape (files,): times in nanoseconds, and what agrees by a number."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]
    step: NDArray[np.float64]
    kind: NDArray[np.int64]


def build(headers: Sequence[Header]) -> Built:
    """Join files to arrays.

    Parameters
    ----------
    headers : sequence of Header
        Of readable files, sorted by path.

    Returns
    -------
    Built
    """
    headers = Headers.of(headers)
    table = columns_of(headers)
    kept, problems = overlapping(headers, table.kind, table.first, table.last, table.step)
    lost = [i for i, spans in kept.items() if not spans]
    used = np.setdiff1d(np.arange(len(headers)), np.array(lost, dtype=np.int64))
    used = used[np.lexsort((used, table.first[used]))]
    paths = np.array(list(headers.paths()), dtype=object)
    members: list[DataArray] = []
    held: list[NDArray[np.int64]] = []
    for files in _stretches(table, used):
        member = _member(pieces_of(files, headers, table.first, kept), headers, paths)
        try:
            open_recording(member)
        except InvalidInput as error:
            reason = f"{and_more(len(files))}a run could not use it: {error}"
            problems.append(Problem(headers[files[0]].path, "coordinates", reason))
        else:
            members.append(member)
            held.append(files)
    places = np.full(len(headers), -1, dtype=np.int64)
    for number, files in enumerate(held):
        places[files] = number
    problems += changes(
        [(headers[files[0]], float(table.step[files[0]]), len(files)) for files in held]
    )
    problems += _guesses(headers)
    return Built(members, places, problems)


def _guesses(headers: Headers) -> Iterator[Problem]:
    """Tell once of each guess of an engine, with the first file and how many it is true of."""
    if not any(headers.notes):
        return
    column = headers.column("note")
    found: dict[str, tuple[int, int]] = {}
    for number, notes in enumerate(headers.notes):
        files = np.flatnonzero(column == number)
        for note in notes if files.size else ():
            first, count = found.get(note, (int(files[0]), 0))
            found[note] = min(first, int(files[0])), count + files.size
    for note, (first, count) in sorted(found.items(), key=lambda item: item[1][0]):
        more = f"{count} files: " if count > 1 else ""
        yield Problem(headers[first].path, "guess", f"{more}{note}")


# ---------------------------------------------------------------- what belongs together


def columns_of(headers: Headers) -> Columns:
    """Return the columns that putting files together needs."""
    number = headers.column("form")
    ticks = np.array([tick_of(json.loads(form)) for form in headers.forms], dtype=np.int64)
    tick = ticks[number] if len(headers) else np.empty(0, dtype=np.int64)
    counts, values, starts = headers.ties()
    begins, ends = starts[:-1], starts[1:] - 1
    step = _steps(headers, counts, values, starts)
    first, last = values[begins], values[ends].copy()
    sampled = counts[begins] != 0  # lengths; indices begin with 0
    beyond = np.rint((counts[ends] - 1) * step).astype(np.int64)
    last[sampled] += beyond[sampled]
    first, last, step = first * tick, last * tick, step * tick
    return Columns(first, np.maximum(last, first), step, _kinds(number, step))


def _steps(headers: Headers, counts: _Ints, values: _Ints, starts: _Ints) -> NDArray[np.float64]:
    """Return sampling intervals in ticks: as declared, else those of the longest stretches."""
    pairs = np.column_stack([headers.column("rate_0"), headers.column("rate_1")])
    rates, which = np.unique(pairs, axis=0, return_inverse=True)
    declared = np.array([a / b if b > 0 else np.nan for a, b in rates.tolist()])
    steps = declared[which.reshape(-1)] if len(headers) else np.empty(0)
    two = np.isnan(steps) & (np.diff(starts) == 2)
    begin = starts[:-1][two]
    steps[two] = (values[begin + 1] - values[begin]) / (counts[begin + 1] - counts[begin])
    for i in np.flatnonzero(np.isnan(steps)).tolist():
        part = slice(starts[i], starts[i + 1])
        sizes = np.diff(counts[part])
        longest = int(np.argmax(sizes))
        steps[i] = np.diff(values[part])[longest] / sizes[longest]
    return steps


def _kinds(forms: _Ints, steps: NDArray[np.float64]) -> _Ints:
    """Give files with the same form and sampling interval the same number."""
    kinds = np.zeros(len(forms), dtype=np.int64)
    order = np.lexsort((steps, forms))
    number, form, step = -1, -1, 0.0
    for i in order.tolist():
        if forms[i] != form or steps[i] > step * (1 + SAME_STEP):
            number, form, step = number + 1, forms[i], steps[i]
        kinds[i] = number
    return kinds


def _stretches(table: Columns, used: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the files of each member, in time; ``used`` are sorted by their first sample."""
    if not used.size:
        return
    kinds = table.kind[used]
    changes = np.flatnonzero(np.diff(kinds)) + 1
    ends = np.maximum.accumulate(table.last[used])
    if not changes.size or (table.first[used][changes] > ends[changes - 1]).all():
        yield from np.split(used, changes)
        return
    _, starts = np.unique(kinds, return_index=True)
    for start in np.sort(starts):
        yield used[kinds == kinds[start]]


# ---------------------------------------------------------------- arrays


def _member(pieces: Pieces, headers: Headers, paths: NDArray[Any]) -> DataArray:
    """Return the tiles of files that agree, one after the other."""
    one = headers[int(pieces.files[0])]
    form = json.loads(one.form)
    axis = form["sizes"].index(None)
    name = form["time"]["name"]
    grid = (-1, 1) if axis == 0 else (1, -1)
    sizes: list[Any] = list(form["sizes"])
    sizes[axis] = pieces.sizes
    tiles = TileArray.from_tiles(
        paths[pieces.files].reshape(grid),
        sizes,
        form["dtype"],
        {"name": CHECKED, "engine": form["engine"], "chunk": one.chunk},
        bytes=headers.column("bytes")[pieces.files].reshape(grid),
        modified=headers.column("modified")[pieces.files].reshape(grid),
    )
    if pieces.starts.any():
        starts = (f"tile_{axis}", pieces.starts)
        tiles = TileArray(tiles.dataset.assign({f"starts_{axis}": starts}))
    coords = {key: coordinate_of(encoded) for key, encoded in form["coords"].items()}
    time = _time(form, pieces, headers)
    order = [name, *(key for key in coords)] if axis == 0 else [*coords, name]
    coords[name] = time
    return DataArray(tiles, {key: coords[key] for key in order}, form["dims"], form["name"])


def _time(form: dict[str, Any], pieces: Pieces, headers: Headers) -> Any:
    """Return the time coordinate of pieces of files, one after the other."""
    firsts = np.cumsum(pieces.sizes) - pieces.sizes
    if form["time"]["sampled"]:
        firsts[:] = 0  # lengths do not count from the first file
    whole = pieces.sizes == headers.column("samples")[pieces.files]
    if whole.all():
        counts, values, ties = headers.ties_of(pieces.files)
        counts += np.repeat(firsts, ties)
    else:
        parts = [_ties(form, headers[i], pieces.span(n)) for n, i in enumerate(pieces.files)]
        counts = np.concatenate(
            [count + first for (count, _), first in zip(parts, firsts, strict=True)]
        )
        values = np.concatenate([value for _, value in parts])
    columns = ("rate_0", "rate_1", "tolerance")
    numbers = np.unique([headers.column(c)[pieces.files] for c in columns[:2]], axis=1)
    rate = None if numbers.shape[1] > 1 or numbers[1, 0] < 0 else numbers[:, 0].tolist()
    tolerance = int(headers.column("tolerance")[pieces.files].max())
    together = time_coordinate(form, counts, values, rate, None if tolerance == NONE else tolerance)
    return together.simplify()


def _ties(form: dict[str, Any], header: Header, samples: Span) -> tuple[_Ints, _Ints]:
    """Return counts and values of a file, or of a part of it."""
    if samples.size == header.samples:
        return np.asarray(header.counts), np.asarray(header.values)
    return _part(form, header, samples)


def _part(form: dict[str, Any], header: Header, samples: Span) -> tuple[_Ints, _Ints]:
    """Return counts and values of a part of a file."""
    # xdas checks a declared rate against each part, and may refuse one that it took for the whole
    rate = header.rate if form["time"]["sampled"] else None
    whole = time_coordinate(form, header.counts, header.values, rate, None)
    part = whole[samples.slice]
    counts = part.tie_lengths if form["time"]["sampled"] else part.tie_indices
    return counts, part.tie_values.astype(np.int64)
