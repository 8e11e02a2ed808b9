"""Open the arrays of an archive index."""

import os
from typing import Any

import h5py
import xdas

from dasdist.errors import InvalidInput
from dasdist.sources.checked import CHECKED

__all__ = ["ARRAYS", "TABLE", "is_index", "read_index"]

ARRAYS = "archive"
"""Group of the arrays in the file."""

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
        If there is no such file, if it is no index, or if the index holds no arrays.
    """
    where = os.fspath(path)
    if not os.path.exists(where):
        raise InvalidInput(f"There is no file {where!r}; make an index with `index_archive`.")
    if not is_index(where):
        raise InvalidInput(
            f"{where!r} is no index of an archive; make one with `index_archive`, or open data "
            "with xdas.open_mfdataarray or xarray.open_zarr first."
        )
    with h5py.File(where, "r") as file:
        if ARRAYS not in file:
            raise InvalidInput(f"The index {where!r} holds no readable file; its problems say why.")
    found = xdas.open_datacollection(where, group=ARRAYS)
    members = [found[key] for key in sorted(found, key=int)] if found.ismapping() else list(found)
    return members[0] if len(members) == 1 else xdas.DataCollection(members, ARRAYS)
