"""An index as a NetCDF file: the arrays as xdas stores them, and a table of the files beside them.

::

    2024.nc
      archive/0, archive/1, ...   one lazy array each: xdas's own format, manifest of tiles inside
      dasdist                     columns of the files, ties of their times, forms, problems
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xdas import DataSequence

from dasdist.archive.build import Built
from dasdist.archive.header import Header, Problem
from dasdist.archive.headers import NUMBERS, Headers
from dasdist.errors import InvalidInput
from dasdist.sources.index import ARRAYS, FOLDER, TABLE, Moved, is_index
from dasdist.storage.files import replacing

__all__ = ["VERSION", "asked_of", "load", "load_places", "load_unlooked", "save"]

VERSION = 2
"""Version of the table; an index of another version is made again."""


def save(
    path: Path,
    asked: dict[str, Any],
    headers: Sequence[Header],
    built: Built,
    problems: Sequence[Problem],
    unlooked: Mapping[str, int] | None = None,
) -> None:
    """Write an index aside and put it in its place.

    Parameters
    ----------
    path : Path
        Where to.
    asked : dict
        What the scan was asked.
    headers : sequence of Header
        The readable files.
    built : Built
        What they make.
    problems : sequence of Problem
        All of them.
    unlooked : mapping of str to int, optional
        How many files were not looked at, by the endings of their names.
    """
    # one scan at a time makes an index, so that the name aside may be the same each time
    with replacing(path, path.with_name(f".{path.name}.aside")) as aside:
        if built.members:
            DataSequence(built.members, ARRAYS).to_netcdf(str(aside))
        table = _table(Headers.of(headers), built.places)
        table.attrs = {
            "asked": json.dumps(asked),
            FOLDER: os.path.dirname(path),
            "unlooked": json.dumps(dict(unlooked or {})),
            "Conventions": "CF-1.13",
        }
        listed = [[p.path, p.kind, p.reason] for p in problems]
        table["problems"] = ("problem_bytes", _text(json.dumps(listed)))
        packed = {name: {"zlib": True, "complevel": 1} for name in table.variables}
        table.to_netcdf(aside, mode="a", group=TABLE, engine="h5netcdf", encoding=packed)


def asked_of(path: Path) -> dict[str, Any]:
    """Return what the scan that made an index was asked.

    Raises
    ------
    InvalidInput
        If the file is not an index.
    """
    if not is_index(path):
        raise InvalidInput(
            f"{path} exists but is not an index of an archive; choose another name, or an index "
            "that `dasdist index` made."
        )
    with h5py.File(path, "r") as file:
        asked: dict[str, Any] = json.loads(file[TABLE].attrs["asked"])
    return asked


def load_places(path: Path) -> NDArray[np.int64]:
    """Return which array of an index holds each file, in the order of its headers."""
    with h5py.File(path, "r") as file:
        places: NDArray[np.int64] = file[TABLE]["member"][()]
    return places


def load_unlooked(path: Path) -> dict[str, int]:
    """Return how many files were not looked at, by the endings of their names."""
    with h5py.File(path, "r") as file:
        unlooked: dict[str, int] = json.loads(file[TABLE].attrs.get("unlooked", "{}"))
    return unlooked


def load(path: Path) -> Headers:
    """Return the headers of an index, with the paths that files have now if both were moved."""
    with h5py.File(path, "r") as file:
        table = file[TABLE]
        held = {name: table[name][()] for name in table if name in _COLUMNS}
        moved = Moved.of(file, path)
    forms = json.loads(held.pop("forms").tobytes())
    notes = json.loads(held.pop("notes").tobytes()) if "notes" in held else [()]
    width = held["paths"].shape[-1] if held["paths"].size else 1
    paths = held.pop("paths").reshape(-1, width).view(f"S{width}").ravel()
    count = len(held["form"])
    numbers = {
        **{name: held[name] for name in ("bytes", "modified", "form", "samples", "tolerance")},
        **{f"{name}_{i}": held[name].reshape(-1, 2)[:, i] for name in _PAIRS for i in (0, 1)},
        "note": held.get("note", np.zeros(count, np.int64)),
        "ties": np.cumsum(held["ties"]),
    }
    return Headers.of_columns(
        moved.paths([os.fsdecode(path) for path in paths]),
        np.column_stack([numbers[name] for name in NUMBERS[:-1]]),
        (held["counts"], held["values"]),
        forms,
        [tuple(note) for note in notes],
    )


_PAIRS = ("chunk", "rate")
_COLUMNS = {
    *("paths", "bytes", "modified", "form", "samples", "tolerance", "note"),
    *(*_PAIRS, "ties", "counts", "values", "forms", "notes"),
}


def _table(headers: Headers, places: NDArray[np.int64]) -> xr.Dataset:
    counts, values, starts = headers.ties()
    columns: dict[str, tuple[Any, Any]] = {
        "paths": ("file", np.array([os.fsencode(path) for path in headers.paths()], dtype="S")),
        "member": ("file", places),
        "ties": ("file", np.diff(starts)),
        "counts": ("tie", counts),
        "values": ("tie", values),
        "forms": ("form_bytes", _text(json.dumps(headers.forms))),
    }
    for name in ("bytes", "modified", "form", "samples", "tolerance"):
        columns[name] = ("file", headers.column(name))
    for name in _PAIRS:
        pair = np.column_stack([headers.column(f"{name}_{i}") for i in (0, 1)])
        columns[name] = (("file", "pair"), pair)
    if any(headers.notes):
        columns["notes"] = ("note_bytes", _text(json.dumps(headers.notes)))
        columns["note"] = ("file", headers.column("note"))
    return xr.Dataset(columns)


def _text(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), dtype=np.uint8)
