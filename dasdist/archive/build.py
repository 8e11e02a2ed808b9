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
from dasdist.errors import InvalidInput
from dasdist.sources import open_recording
from dasdist.sources.checked import CHECKED

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
    problems: list[Problem] = []
    skipped = _overlaps(table, problems)
    used = np.flatnonzero(skipped >= 0)
    used = used[np.lexsort((used, table.first[used]))]
    members: list[DataArray] = []
    kept: list[NDArray[np.int64]] = []
    for files in _stretches(table, used):
        member = _member([headers[i] for i in files], skipped[files])
        try:
            open_recording(member)
        except InvalidInput as error:
            reason = f"{and_more(len(files))}a run could not use it: {error}"
            problems.append(Problem(headers[files[0]].path, "coordinates", reason))
        else:
            members.append(member)
            kept.append(files)
    places = np.full(len(headers), -1, dtype=np.int64)
    for number, files in enumerate(kept):
        places[files] = number
    problems += changes(
        [(headers[files[0]], float(table.step[files[0]]), len(files)) for files in kept]
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


def _overlaps(table: Columns, problems: list[Problem]) -> NDArray[np.int64]:
    """Return how many samples at the start of each file an earlier one has too; -1 for all.

    Of two files the one that starts first counts, then the one that comes first by name.
    """
    headers = table.headers
    skipped = np.zeros(len(headers), dtype=np.int64)
    order = np.lexsort((np.arange(len(headers)), table.first, table.kind))
    end, before, kind = 0, -1, -1
    for i in order.tolist():
        if table.kind[i] != kind:
            kind, end, before = table.kind[i], table.last[i], i
            continue
        step = float(table.step[i])
        if table.first[i] - end < 0.5 * step:
            other = headers[before]
            count = int((end - table.first[i]) / step + 0.5) + 1
            if table.first[i] == table.first[before] and headers[i].samples == other.samples:
                skipped[i] = -1
                reason = f"it has the same samples as {other.path}; it is left out"
                problems.append(Problem(headers[i].path, "repeat", reason))
            elif count >= headers[i].samples or len(headers[i].counts) > 2:
                skipped[i] = -1
                reason = f"its samples lie within the time of {other.path}; it is left out"
                problems.append(Problem(headers[i].path, "overlap", reason))
            else:
                skipped[i] = count
                reason = (
                    f"it starts before {other.path} ends; its first {count} of "
                    f"{headers[i].samples} samples are left out"
                )
                problems.append(Problem(headers[i].path, "overlap", reason))
        if skipped[i] >= 0 and table.last[i] > end:
            end, before = table.last[i], i
    return skipped


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


def _member(headers: Sequence[Header], skipped: NDArray[np.int64]) -> DataArray:
    """Return the tiles of files that agree, ``skipped`` samples of each left out at its start."""
    form = json.loads(headers[0].form)
    axis = form["sizes"].index(None)
    name = form["time"]["name"]
    grid = (-1, 1) if axis == 0 else (1, -1)
    samples = np.array([h.samples for h in headers], dtype=np.int64) - skipped
    sizes: list[Any] = list(form["sizes"])
    sizes[axis] = samples
    tiles = TileArray.from_tiles(
        np.array([h.path for h in headers], dtype=object).reshape(grid),
        sizes,
        form["dtype"],
        {"name": CHECKED, "engine": form["engine"], "chunk": headers[0].chunk},
        bytes=np.array([h.bytes for h in headers], dtype=np.int64).reshape(grid),
        modified=np.array([h.modified for h in headers], dtype=np.int64).reshape(grid),
    )
    if skipped.any():
        tiles = TileArray(tiles.dataset.assign({f"starts_{axis}": (f"tile_{axis}", skipped)}))
    coords = {key: coordinate_of(encoded) for key, encoded in form["coords"].items()}
    time = _time(form, headers, skipped, samples)
    order = [name, *(key for key in coords)] if axis == 0 else [*coords, name]
    coords[name] = time
    return DataArray(tiles, {key: coords[key] for key in order}, form["dims"], form["name"])


def _time(
    form: dict[str, Any],
    headers: Sequence[Header],
    skipped: NDArray[np.int64],
    samples: NDArray[np.int64],
) -> Any:
    """Return the time coordinate of files, one after the other."""
    counts = [h.counts for h in headers]
    values = [h.values for h in headers]
    for i in np.flatnonzero(skipped).tolist():
        header = headers[i]
        whole = time_coordinate(form, header.counts, header.values, header.rate, header.tolerance)
        rest = whole[int(skipped[i]) :]
        ties = rest.tie_lengths if form["time"]["sampled"] else rest.tie_indices
        counts[i] = tuple(ties.tolist())
        values[i] = tuple(rest.tie_values.astype(np.int64).tolist())
    flat = np.concatenate([np.asarray(c, dtype=np.int64) for c in counts])
    if not form["time"]["sampled"]:
        lengths = [len(c) for c in counts]
        flat = flat + np.repeat(np.cumsum(samples) - samples, lengths)
    rates = {h.rate for h in headers}
    tolerances = [h.tolerance for h in headers if h.tolerance is not None]
    together = time_coordinate(
        form,
        flat,
        np.concatenate([np.asarray(v, dtype=np.int64) for v in values]),
        rates.pop() if len(rates) == 1 else None,
        max(tolerances) if tolerances else None,
    )
    return together.simplify()
