"""Open the arrays of an archive index."""

import json
import os
import warnings
from collections import Counter
from typing import Any

import h5py
import xdas

from dasdist.errors import DataWarning, InvalidInput
from dasdist.sources.checked import CHECKED
from dasdist.units import count_of

__all__ = [
    "ARRAYS",
    "SEPARATE",
    "TABLE",
    "is_index",
    "read_index",
    "read_problems",
    "warn_of_left_out",
]

ARRAYS = "archive"
"""Group of the arrays in the file."""

SEPARATE = "a separate array in the collection"
"""How the reason of a problem ends whose file is not left out."""

TABLE = CHECKED
"""Group of the table of files."""


def is_index(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is an archive index."""
    try:
        with h5py.File(path, "r") as file:
            return TABLE in file and "asked" in file[TABLE].attrs
    except OSError:
        return False


def read_index(path: str | os.PathLike[str]) -> Any:
    """Return the arrays of an index, lazily.

    Parameters
    ----------
    path : path
        The index.

    Returns
    -------
    xdas.DataArray or xdas.DataSequence
        Several arrays come as a sequence.

    Raises
    ------
    InvalidInput
        If there is no such file, it is not an index, or the index lists no readable file.
    """
    where = os.fspath(path)
    if not os.path.exists(where):
        raise InvalidInput(
            f"There is no file {where!r}. Pass an index that `dasdist index` made, or open data "
            "with xdas.open_mfdataarray or xarray.open_zarr first."
        )
    if os.path.isdir(where):
        name = os.path.basename(os.path.normpath(where)) or "archive"
        raise InvalidInput(
            f"{where!r} is a folder. Index it first, dasdist.index_archive({where!r}, '{name}.nc') "
            f"or `dasdist index {where} -o {name}.nc`, and open '{name}.nc'."
        )
    if not is_index(where):
        raise InvalidInput(
            f"{where!r} is not an index of an archive. Make one with `dasdist index`, or open data "
            "with xdas.open_mfdataarray or xarray.open_zarr first."
        )
    with h5py.File(where, "r") as file:
        if ARRAYS not in file:
            raise InvalidInput(
                f"The index {where!r} lists no readable file; the problems that `dasdist index` "
                "printed say why."
            )
    found = xdas.open_datacollection(where, group=ARRAYS)
    members = [found[key] for key in sorted(found, key=int)] if found.ismapping() else list(found)
    return members[0] if len(members) == 1 else xdas.DataCollection(members, ARRAYS)


def warn_of_left_out(path: str | os.PathLike[str]) -> None:
    """Warn of files that an index leaves out, wholly or in part, if there are any.

    Those that repeat others, and those that make an array of their own, are missed by nobody.
    """
    listed = [
        (file, kind, reason)
        for file, kind, reason in read_problems(path)
        if kind != "repeat" and not reason.endswith(SEPARATE)
    ]
    if not listed:
        return
    kinds = Counter(kind for _, kind, _ in listed)
    name, (first, _, why) = os.fspath(path), listed[0]
    warnings.warn(
        f"{count_of(len(listed), 'file')} of the archive {'is' if len(listed) == 1 else 'are'} "
        "left "
        f"out, wholly or in part, by the index {name} "
        f"({', '.join(f'{count:,} {kind}' for kind, count in kinds.items())}). The first: {first} "
        f"({why}). To list all: dasdist.ArchiveIndex.read({name!r}).problems, `dasdist index` once "
        "more, or the report of a run.",
        DataWarning,
        stacklevel=3,
    )


def read_problems(path: str | os.PathLike[str]) -> list[tuple[str, str, str]]:
    """Return the problems that an index lists: files that are left out, wholly or in part.

    Returns
    -------
    list of (path, kind, reason)
    """
    with h5py.File(path, "r") as file:
        listed = json.loads(file[TABLE]["problems"][()].tobytes())
    return [(file, kind, reason) for file, kind, reason in listed]
