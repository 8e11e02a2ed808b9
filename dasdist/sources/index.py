"""Open the arrays of an archive index, also where both were moved together."""

import json
import os
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import xdas
from xdas.virtual import TileArray

from dasdist.errors import DataWarning, InvalidInput
from dasdist.sources import checked  # noqa: F401 - the engine that indexes name
from dasdist.sources.stored_axes import check_indexed
from dasdist.sources.trusted import CHECKED, allow, check_reader, unregistered
from dasdist.sources.unopened import why_not
from dasdist.units import count_of

__all__ = [
    "ARRAYS",
    "FOLDER",
    "SEPARATE",
    "TABLE",
    "Moved",
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

_ASKED = 2
"""Version from which files were asked for the order and the unit of their axes."""

FOLDER = "folder"
"""Attribute of the table: the folder of the index when it was written."""

_LOOKED_FOR = 100  # files, to see whether an archive was moved


@dataclass(frozen=True, slots=True)
class Moved:
    """Where an index was written, and where it is now: files below it may have moved with it.

    Parameters
    ----------
    before, now : str
        Its folder; of an index that does not say where it was, both are the same.
    """

    before: str
    now: str

    @classmethod
    def of(cls, file: Any, path: str | os.PathLike[str]) -> "Moved":
        """Return what an open index says; ``path`` is where it is."""
        now = os.path.dirname(os.path.abspath(path))
        return cls(str(file[TABLE].attrs.get(FOLDER, now)), now)

    def paths(self, paths: Sequence[str]) -> list[str]:
        """Return paths as they are now, if any of the first that lay below the index is there."""
        moved = [self._moved(path) for path in paths]
        pairs = zip(paths, moved, strict=True)
        changed = [new for old, new in pairs if new != old][:_LOOKED_FOR]
        return moved if any(map(os.path.exists, changed)) else list(paths)

    def array(self, array: TileArray) -> TileArray:
        """Return tiles with their files where they are now."""
        root = self._moved(array.root)
        if root == array.root:
            return array
        names = array.dataset["paths"].values.ravel()[:_LOOKED_FOR].tolist()
        if not any(os.path.exists(os.path.join(root, os.fsdecode(name))) for name in names):
            return array
        header = {**json.loads(array.dataset.attrs["header"]), "root": root}
        return TileArray(array.dataset.assign_attrs(header=json.dumps(header)))

    def _moved(self, path: str) -> str:
        if path != self.before and not path.startswith(os.path.join(self.before, "")):
            return path
        return os.path.normpath(os.path.join(self.now, os.path.relpath(path, self.before)))


def is_index(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is an archive index.

    Raises
    ------
    InvalidInput
        If it is there, but may not be read or is locked.
    """
    try:
        with h5py.File(path, "r") as file:
            return TABLE in file and "asked" in file[TABLE].attrs
    except (BlockingIOError, PermissionError) as error:
        raise InvalidInput(f"{os.fspath(path)!r} cannot be opened: {why_not(error)}.") from error
    except OSError:
        return False


def read_index(path: str | os.PathLike[str], engine: str | None = None) -> Any:
    """Return the arrays of an index, lazily.

    Parameters
    ----------
    path : path
        The index.
    engine : str, optional
        Engine that the index may name although no file may, because the user named it now.

    Returns
    -------
    xdas.DataArray or xdas.DataSequence
        Several arrays come as a sequence.

    Raises
    ------
    InvalidInput
        If there is no such file, it is not an index, or the index lists no readable file; if it is
        an old one that took channels for samples, or another unit for metres.
    Untrusted
        If it names another engine that no file may name.
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
        version = json.loads(file[TABLE].attrs["asked"]).get("version", 0)
        moved = Moved.of(file, where)
    try:
        found = xdas.open_datacollection(where, group=ARRAYS)
    except KeyError as error:
        raise unregistered(error, f"The index {where}") or error from error
    members = [found[key] for key in sorted(found, key=int)] if found.ismapping() else list(found)
    for member in members:
        check_reader(member.data.engine, f"The index {where}", named=(engine,))
    allow(engine)
    members = [_where_it_is(member, moved) for member in members]
    if version < _ASKED:
        for member in members:
            check_indexed(member, where)
    return members[0] if len(members) == 1 else xdas.DataCollection(members, ARRAYS)


def _where_it_is(member: Any, moved: Moved) -> Any:
    tiles = moved.array(member.data)
    if tiles is member.data:
        return member
    return xdas.DataArray(tiles, member.coords, member.dims, member.name, member.attrs)


def warn_of_left_out(path: str | os.PathLike[str]) -> None:
    """Warn of files that an index leaves out, wholly or in part, if there are any.

    Those that repeat others, and those that make an array of their own, are missed by nobody.
    """
    listed = [
        (file, kind, reason)
        for file, kind, reason in read_problems(path)
        if kind not in ("repeat", "guess") and not reason.endswith(SEPARATE)
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
        moved = Moved.of(file, path)
    paths = moved.paths([file for file, _, _ in listed])
    return [(path, kind, reason) for path, (_, kind, reason) in zip(paths, listed, strict=True)]
