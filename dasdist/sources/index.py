"""Open the arrays of an archive index."""

import json
import os
from typing import Any

import h5py
import xdas

from dasdist.errors import InvalidInput
from dasdist.sources.checked import CHECKED
from dasdist.sources.stored_axes import check_indexed

__all__ = ["ARRAYS", "TABLE", "is_index", "read_index", "read_problems"]

ARRAYS = "archive"
"""Group of the arrays in the file."""

TABLE = CHECKED
"""Group of the table of files."""

_ASKED = 2
"""Version from which files were asked for the order and the unit of their axes."""


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
        If there is no such file, it is not an index, or the index lists no readable file; if it is
        an old one that took channels for samples, or another unit for metres.
    """
    where = os.fspath(path)
    if not os.path.exists(where):
        raise InvalidInput(
            f"There is no file {where!r}. Pass an index that `dasdist index` made, or open data "
            "with xdas.open_mfdataarray or xarray.open_zarr first."
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
        version = json.loads(file[TABLE].attrs["asked"]).get("version", 0)
    found = xdas.open_datacollection(where, group=ARRAYS)
    members = [found[key] for key in sorted(found, key=int)] if found.ismapping() else list(found)
    if version < _ASKED:
        for member in members:
            check_indexed(member, where)
    return members[0] if len(members) == 1 else xdas.DataCollection(members, ARRAYS)


def read_problems(path: str | os.PathLike[str]) -> list[tuple[str, str, str]]:
    """Return the problems that an index lists: files that are left out, wholly or in part.

    Returns
    -------
    list of (path, kind, reason)
    """
    with h5py.File(path, "r") as file:
        listed = json.loads(file[TABLE]["problems"][()].tobytes())
    return [(file, kind, reason) for file, kind, reason in listed]
