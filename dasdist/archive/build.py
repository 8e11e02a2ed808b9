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
from dasdist.archive.header import Header, Problem, coordinate_of, time_coordinate
from dasdist.archive.pieces import Piece, overlapping, pieces_of
from dasdist.errors import InvalidInput
from dasdist.sources import checked, open_recording  # noqa: F401 - the engine of indexes
from dasdist.sources.trusted import CHECKED

__all__ = ["Built", "Columns", "build", "columns_of"]


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

    headers: Sequence[Header]
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
    table = columns_of(headers)
    kept, problems = overlapping(headers, table.kind, table.first, table.last, table.step)
    used = np.array([i for i in range(len(headers)) if kept.get(i, [True])], dtype=np.int64)
    used = used[np.lexsort((used, table.first[used]))]
    members: list[DataArray] = []
    held: list[NDArray[np.int64]] = []
    for files in _stretches(table, used):
        member = _member(pieces_of(files.tolist(), headers, table.first, kept), headers)
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


def _guesses(headers: Sequence[Header]) -> Iterator[Problem]:
    """Tell once of each guess of an engine, with the first file and how many it is true of."""
    found: dict[str, list[Header]] = {}
    for header in headers:
        for note in header.notes:
            found.setdefault(note, []).append(header)
    for note, of_them in found.items():
        more = f"{len(of_them)} files: " if len(of_them) > 1 else ""
        yield Problem(of_them[0].path, "guess", f"{more}{note}")


# ---------------------------------------------------------------- what belongs together


def columns_of(headers: Sequence[Header]) -> Columns:
    """Return the columns that putting files together needs."""
    forms: dict[str, int] = {}
    number = np.array([forms.setdefault(h.form, len(forms)) for h in headers], dtype=np.int64)
    ticks = np.array([_tick(json.loads(form)) for form in forms], dtype=np.int64)
    tick = ticks[number] if len(headers) else np.empty(0, dtype=np.int64)
    first = np.array([h.values[0] for h in headers], dtype=np.int64) * tick
    step = np.array([_step(h) for h in headers], dtype=np.float64) * tick
    last = np.array([_last(h) for h in headers], dtype=np.int64) * tick
    return Columns(headers, first, np.maximum(last, first), step, _kinds(number, step))


def _tick(form: dict[str, Any]) -> int:
    """Return the nanoseconds of a tick of a form's times."""
    delta = np.dtype(form["time"]["dtype"].replace("M8", "m8"))
    return int(np.int64(1).astype(delta).astype("timedelta64[ns]").astype(np.int64))


def _sampled(header: Header) -> bool:
    return header.counts[0] != 0  # lengths; indices begin with 0


def _step(header: Header) -> float:
    """Return the sampling interval in ticks: as declared, else that of the longest stretch."""
    if header.rate is not None:
        return header.rate[0] / header.rate[1]
    sizes = np.diff(header.counts)
    longest = int(np.argmax(sizes))
    return float((header.values[longest + 1] - header.values[longest]) / sizes[longest])


def _last(header: Header) -> int:
    if _sampled(header):
        return header.values[-1] + round((header.counts[-1] - 1) * _step(header))
    return header.values[-1]


def _kinds(forms: NDArray[np.int64], steps: NDArray[np.float64]) -> NDArray[np.int64]:
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


def _member(pieces: Sequence[Piece], headers: Sequence[Header]) -> DataArray:
    """Return the tiles of files that agree, one after the other."""
    of = [headers[piece.file] for piece in pieces]
    form = json.loads(of[0].form)
    axis = form["sizes"].index(None)
    name = form["time"]["name"]
    grid = (-1, 1) if axis == 0 else (1, -1)
    samples = np.array([piece.samples.size for piece in pieces], dtype=np.int64)
    starts = np.array([piece.samples.start for piece in pieces], dtype=np.int64)
    sizes: list[Any] = list(form["sizes"])
    sizes[axis] = samples
    tiles = TileArray.from_tiles(
        np.array([h.path for h in of], dtype=object).reshape(grid),
        sizes,
        form["dtype"],
        {"name": CHECKED, "engine": form["engine"], "chunk": of[0].chunk},
        bytes=np.array([h.bytes for h in of], dtype=np.int64).reshape(grid),
        modified=np.array([h.modified for h in of], dtype=np.int64).reshape(grid),
    )
    if starts.any():
        tiles = TileArray(tiles.dataset.assign({f"starts_{axis}": (f"tile_{axis}", starts)}))
    coords = {key: coordinate_of(encoded) for key, encoded in form["coords"].items()}
    time = _time(form, pieces, headers)
    order = [name, *(key for key in coords)] if axis == 0 else [*coords, name]
    coords[name] = time
    return DataArray(tiles, {key: coords[key] for key in order}, form["dims"], form["name"])


def _time(form: dict[str, Any], pieces: Sequence[Piece], headers: Sequence[Header]) -> Any:
    """Return the time coordinate of pieces of files, one after the other."""
    counts: list[NDArray[np.int64]] = []
    values: list[NDArray[np.int64]] = []
    start = 0
    for piece in pieces:
        header = headers[piece.file]
        count, value = np.asarray(header.counts), np.asarray(header.values)
        if piece.samples.size < header.samples:
            count, value = _part(form, header, piece)
        counts.append(count if form["time"]["sampled"] else count + start)
        values.append(value)
        start += piece.samples.size
    of = [headers[piece.file] for piece in pieces]
    rates = {h.rate for h in of}
    tolerances = [h.tolerance for h in of if h.tolerance is not None]
    together = time_coordinate(
        form,
        np.concatenate(counts),
        np.concatenate(values),
        rates.pop() if len(rates) == 1 else None,
        max(tolerances) if tolerances else None,
    )
    return together.simplify()


def _part(
    form: dict[str, Any], header: Header, piece: Piece
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return counts and values of a part of a file."""
    # xdas checks a declared rate against each part, and may refuse one that it took for the whole
    rate = header.rate if form["time"]["sampled"] else None
    whole = time_coordinate(form, header.counts, header.values, rate, None)
    part = whole[piece.samples.slice]
    counts = part.tie_lengths if form["time"]["sampled"] else part.tie_indices
    return counts, part.tie_values.astype(np.int64)
