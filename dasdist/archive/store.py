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
from dasdist.errors import InvalidInput
from dasdist.sources.index import ARRAYS, FOLDER, TABLE, Moved, is_index
from dasdist.storage.files import replacing

__all__ = ["VERSION", "asked_of", "load", "load_places", "load_unlooked", "save"]

VERSION = 2
"""Version of the table; an index of another version is made again."""

_NONE = -(2**63)


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
        table = _table(headers, built.places)
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


def load(path: Path) -> list[Header]:
    """Return the headers of an index, with the paths that files have now if both were moved."""
    with h5py.File(path, "r") as file:
        table = file[TABLE]
        columns = {name: table[name][()] for name in table if name in _COLUMNS}
        moved = Moved.of(file, path)
    forms = json.loads(columns.pop("forms").tobytes())
    notes = json.loads(columns.pop("notes").tobytes()) if "notes" in columns else [()]
    noted = columns.get("note", np.zeros(len(columns["form"]), np.int64)).tolist()
    width = columns["paths"].shape[-1] if columns["paths"].size else 1
    paths = columns.pop("paths").reshape(-1, width).view(f"S{width}").ravel()
    where = moved.paths([os.fsdecode(path) for path in paths])
    ends = np.cumsum(columns["ties"])
    counts = np.split(columns.pop("counts"), ends[:-1])
    values = np.split(columns.pop("values"), ends[:-1])
    rows = zip(
        *(columns[name].tolist() for name in ("bytes", "modified", "form", "samples")),
        columns["chunk"].tolist(),
        columns["rate"].tolist(),
        columns["tolerance"].tolist(),
        strict=True,
    )
    return [
        Header(
            path=where[i],
            bytes=size,
            modified=modified,
            form=forms[form],
            chunk=None if chunk[0] < 0 else (chunk[0], chunk[1]),
            samples=samples,
            counts=tuple(counts[i].tolist()),
            values=tuple(values[i].tolist()),
            rate=None if rate[1] < 0 else (rate[0], rate[1]),
            tolerance=None if tolerance == _NONE else tolerance,
            notes=tuple(notes[noted[i]]),
        )
        for i, (size, modified, form, samples, chunk, rate, tolerance) in enumerate(rows)
    ]


_COLUMNS = {
    "paths",
    "bytes",
    "modified",
    "form",
    "samples",
    "chunk",
    "ties",
    "counts",
    "values",
    "rate",
    "tolerance",
    "forms",
    "note",
    "notes",
}


def _table(headers: Sequence[Header], places: NDArray[np.int64]) -> xr.Dataset:
    forms: dict[str, int] = {}
    notes: dict[tuple[str, ...], int] = {}
    noted = [notes.setdefault(h.notes, len(notes)) for h in headers]
    ties = [len(h.counts) for h in headers]
    columns: dict[str, tuple[Any, Any]] = {
        "paths": ("file", np.array([os.fsencode(h.path) for h in headers], dtype="S")),
        "form": ("file", [forms.setdefault(h.form, len(forms)) for h in headers]),
        "member": ("file", places),
        "ties": ("file", ties),
        "counts": ("tie", [count for h in headers for count in h.counts]),
        "values": ("tie", [value for h in headers for value in h.values]),
        "chunk": (("file", "pair"), [h.chunk or (-1, -1) for h in headers]),
        "rate": (("file", "pair"), [h.rate or (-1, -1) for h in headers]),
        "tolerance": ("file", [_NONE if h.tolerance is None else h.tolerance for h in headers]),
    }
    for name in ("bytes", "modified", "samples"):
        columns[name] = ("file", [getattr(h, name) for h in headers])
    shapes = {"chunk": (-1, 2), "rate": (-1, 2)}
    numbers = {
        name: (
            dims,
            values
            if name == "paths"
            else np.asarray(values, dtype=np.int64).reshape(shapes.get(name, (-1,))),
        )
        for name, (dims, values) in columns.items()
    }
    texts = {"forms": ("form_bytes", _text(json.dumps(list(forms))))}
    if any(h.notes for h in headers):
        texts["notes"] = ("note_bytes", _text(json.dumps(list(notes))))
        numbers["note"] = ("file", np.asarray(noted, dtype=np.int64))
    return xr.Dataset({**numbers, **texts})


def _text(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), dtype=np.uint8)
