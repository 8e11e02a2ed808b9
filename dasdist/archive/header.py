"""Headers of files, as text that is sent between processes and stored in an index.

Files of one acquisition differ only in their names, sizes and times.  All else is their *form*, one
text that many files share: dimensions, type, engine, channel axis.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from xdas import DataArray
from xdas.coordinates import Coordinate, DenseCoordinate, SampledCoordinate

from dasdist.errors import InvalidInput
from dasdist.sources.coordinates import Ties, ties_of_xdas
from dasdist.sources.headers import STATED, stated_step
from dasdist.sources.restamp import restamped

__all__ = [
    "FORM_KEYS",
    "Header",
    "Problem",
    "coordinate_of",
    "header_of",
    "is_current",
    "tick_of",
    "ties_of",
    "time_coordinate",
]

_STAMPS = 1000
"""Nanoseconds to which recorders round their stamps."""

FORM_KEYS = {"dims", "sizes", "dtype", "engine", "name", "time", "coords"}
"""What every form states."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A file, or the first of several, that an index lists as a problem, and why.

    Parameters
    ----------
    path : str
        The file or folder.
    kind : str
        One of a few words: see :func:`dasdist.index_archive`.
    reason : str
        What is wrong, and what was done about it, in one line.
    details : str
        All that there is to say, such as what each engine said; it is not kept.
    """

    path: str
    kind: str
    reason: str
    details: str = ""


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a readable file.

    Parameters
    ----------
    path : str
        The file.
    bytes, modified : int
        Its size, and when it was last modified in nanoseconds since 1970.
    form : str
        JSON: what it shares with other files.
    chunk : tuple of int, or None
        Samples and channels of a storage chunk, or the other way round as the dimensions are.
    samples : int
        Samples in time.
    counts, values : tuple of int
        Ties of its time coordinate: indices or lengths, and times in the unit of the form.
    rate : tuple of int, or None
        Declared sampling interval, numerator and denominator, in the same unit.
    tolerance : int or None
        Declared jitter of the times.
    notes : tuple of str
        What the engine guessed, a sentence each.
    """

    path: str
    bytes: int
    modified: int
    form: str
    chunk: tuple[int, int] | None
    samples: int
    counts: tuple[int, ...]
    values: tuple[int, ...]
    rate: tuple[int, int] | None
    tolerance: int | None
    notes: tuple[str, ...] = ()


def header_of(
    data: DataArray,
    path: str,
    size: int,
    modified: int,
    chunk: tuple[int, int] | None,
    notes: tuple[str, ...] = (),
) -> Header:
    """Return the header of an opened file.

    Parameters
    ----------
    data : xdas.DataArray
        The file, opened as one tile.
    path : str
        Where it is.
    size, modified : int
        As the file system says.
    chunk : tuple of int, or None
        Its storage chunk.
    notes : tuple of str
        What the engine guessed.

    Raises
    ------
    InvalidInput
        If it is not a plain rectangle of samples and channels with times.
    """
    times = [dim for dim in data.dims if data.coords[dim].dtype.kind == "M"]
    time = "time" if "time" in times else times[0]
    coordinate = data.coords[time]
    if isinstance(coordinate, DenseCoordinate):
        every = {"tie_indices": np.arange(len(coordinate)), "tie_values": coordinate.values}
        coordinate = Coordinate["interpolated"](every, time).simplify()
    array = data.data
    meant = _as_meant(coordinate, time, array.engine["name"], path)
    coordinate = coordinate if meant is None else meant
    ties = coordinate.data
    sampled = isinstance(coordinate, SampledCoordinate)
    stored = json.loads(array.dataset.attrs["header"])
    special = {"axes"} & set(stored) or set(array.dataset.data_vars) - {
        "paths",
        "sizes_0",
        "sizes_1",
    }
    if array.ntiles != 1 or special:
        raise InvalidInput(f"its values are not a plain rectangle of one file ({sorted(special)})")
    form: dict[str, Any] = {
        "dims": list(data.dims),
        "sizes": [None if dim == time else data.sizes[dim] for dim in data.dims],
        "dtype": str(data.dtype),
        "engine": array.engine,
        "name": data.name,
        "time": {"name": time, "dtype": ties["tie_values"].dtype.str, "sampled": sampled},
        "coords": {
            name: {"dim": coord.dim, "data": _encoded(coord.data)}
            for name, coord in data.coords.items()
            if name != time
        },
    }
    numerator, denominator = ties["sampling_numerator"], ties["sampling_denominator"]
    rate = None if numerator is None else (_ticks(numerator), int(denominator))
    if sampled:  # such coordinates join only if they agree exactly
        form["time"]["rate"] = rate
    if array.engine["name"] in STATED:
        form["time"]["stamps"] = "as meant"
    tolerance = ties.get("tolerance")
    if rate is not None and rate[1] != 1 and not sampled:
        # or xdas could not slice it: what lies between two ticks is rounded to one
        tolerance = max(np.int64(0 if tolerance is None else _ticks(tolerance)), np.int64(1))
    return Header(
        path=path,
        bytes=size,
        modified=modified,
        form=json.dumps(form, sort_keys=True),
        chunk=chunk,
        samples=int(data.sizes[time]),
        counts=tuple(ties["tie_lengths" if sampled else "tie_indices"].tolist()),
        values=tuple(ties["tie_values"].astype(np.int64).tolist()),
        rate=rate,
        tolerance=None if tolerance is None else _ticks(tolerance),
        notes=notes,
    )


def is_current(form: Mapping[str, Any]) -> bool:
    """Return whether a header with this form was read with the times as they are meant.

    Those that older versions read were not, where files state more than xdas tells.
    """
    return form["engine"]["name"] not in STATED or "stamps" in form["time"]


def _as_meant(coordinate: Coordinate, name: str, engine: str, path: str) -> Coordinate | None:
    """Return the times as the recorder meant them; None where they are as xdas has them."""
    stated = partial(stated_step, path) if engine in STATED else lambda: None
    ties = ties_of_xdas(coordinate, name)
    meant = restamped(ties, stated)
    if meant is ties or meant.step is None:
        return None
    data = {
        "tie_indices": meant.indices,
        "tie_values": meant.values.astype("M8[ns]"),
        "sampling_numerator": np.timedelta64(meant.step.numerator, "ns"),
        "sampling_denominator": meant.step.denominator,
        "tolerance": np.timedelta64(_STAMPS, "ns"),
    }
    return Coordinate["interpolated"](data, name)


def time_coordinate(
    form: Mapping[str, Any],
    counts: Any,
    values: Any,
    rate: tuple[int, int] | None,
    tolerance: int | None,
) -> Coordinate:
    """Return the time coordinate for the ties of a :class:`Header`."""
    time = form["time"]
    dtype = np.dtype(time["dtype"])
    delta = np.dtype(time["dtype"].replace("M8", "m8"))
    sampled = time["sampled"]
    data: dict[str, Any] = {
        "tie_lengths" if sampled else "tie_indices": np.asarray(counts, dtype=np.int64),
        "tie_values": np.asarray(values, dtype=np.int64).astype(dtype),
    }
    if rate is not None:
        data["sampling_numerator"] = np.int64(rate[0]).astype(delta)
        data["sampling_denominator"] = rate[1]
        if tolerance is not None and not sampled:
            data["tolerance"] = np.int64(tolerance).astype(delta)
    return Coordinate["sampled" if sampled else "interpolated"](data, time["name"])


def tick_of(form: Mapping[str, Any]) -> int:
    """Return the nanoseconds of a tick of the times of a form."""
    delta = np.dtype(form["time"]["dtype"].replace("M8", "m8"))
    return int(np.int64(1).astype(delta).astype("timedelta64[ns]").astype(np.int64))


def ties_of(header: Header) -> Ties:
    """Return the ties of a header's times, in nanoseconds."""
    form = json.loads(header.form)
    coordinate = time_coordinate(form, header.counts, header.values, header.rate, header.tolerance)
    return ties_of_xdas(coordinate, form["time"]["name"])


def coordinate_of(encoded: Mapping[str, Any]) -> Coordinate:
    """Return a coordinate other than time from its entry in a form."""
    return Coordinate(_decoded(encoded["data"]), encoded["dim"])


def _ticks(delta: Any) -> int:
    return int(np.asarray(delta).astype(np.int64))


def _encoded(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {"mapping": {key: _encoded(value) for key, value in data.items()}}
    if data is None or isinstance(data, bool | int | float | str):
        return data
    values = np.asarray(data)
    numbers = values.astype(np.int64) if values.dtype.kind in "mM" else values
    return {"dtype": values.dtype.str, "values": numbers.tolist()}


def _decoded(data: Any) -> Any:
    if not isinstance(data, Mapping):
        return data
    if "mapping" in data:
        decoded = {key: _decoded(value) for key, value in data["mapping"].items()}
        return {key: value for key, value in decoded.items() if value is not None}
    values = np.asarray(data["values"], dtype=np.int64 if data["dtype"][1] in "mM" else None)
    return values.astype(data["dtype"])[()]
