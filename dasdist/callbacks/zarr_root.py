"""The root metadata of a store of annotations: read only if they are what was written.

They hold those of all groups and arrays as well.  An attribute has the CRC-32 of the rest, but for
attributes that somebody added, and the journal of a store in a folder has a copy.  Stores of
earlier versions have neither.
"""

import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from dasdist.errors import DasdistError, UnreadableData
from dasdist.storage.files import write_atomically
from dasdist.storage.staging import ROOT_COPY, journal_of

__all__ = ["CHECK", "checked", "keep_copy", "mend", "open_root", "understood", "wrong"]

CHECK = "dasdist_crc32"

_NOT_OURS = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError),
    RuntimeError,  # of which NotImplementedError, RecursionError
)


def checked(data: bytes) -> bytes:
    """Return root metadata with their checksum."""
    document = json.loads(data)
    names = sorted(document["attributes"])
    document["attributes"][CHECK] = " ".join([_sum(document, names), *names])
    return json.dumps(document, indent=2).encode()


def wrong(data: bytes) -> str:
    """Say what is wrong with root metadata; nothing of those that have no checksum, if JSON."""
    try:
        document = json.loads(data)
        told, *names = document["attributes"].get(CHECK, "").split(" ")
    except (ValueError, RecursionError):
        return "is not JSON"
    except (TypeError, KeyError, AttributeError):
        return "is JSON of another kind"
    same = not told or told == _sum(document, names)
    return "" if same else "is not what was written: its checksum differs"


def _sum(document: dict[str, Any], names: list[str]) -> str:
    attributes = document["attributes"]
    covered = {**document, "attributes": {name: attributes.get(name) for name in names}}
    return f"{zlib.crc32(json.dumps(covered, sort_keys=True).encode()):08x}"


def open_root(path: Any, mode: Literal["r", "r+"] = "r") -> Any:
    """Open a store, or an array, that is there.

    Parameters
    ----------
    path : Path, str, or zarr store
        What zarr opens.
    mode : {"r", "r+"}
        Whether it is to be written to.

    Raises
    ------
    FileNotFoundError
        If there is none.
    UnreadableData
        If its metadata are damaged.
    """
    folder = _folder(path)
    there = folder is not None and (folder / "zarr.json").is_file()
    if folder is not None and there:
        _check((folder / "zarr.json").read_bytes(), path)
    try:
        node: Any = zarr.open(path, mode=mode)
    except FileNotFoundError as error:
        if there:
            raise _damaged(path, "is JSON of another kind") from error
        raise
    except _NOT_OURS as error:
        raise _damaged(path, f"cannot be understood ({error})") from error
    if not there and isinstance(node, zarr.Group) and CHECK in node.attrs:
        where = node.store_path
        name = "/".join(filter(None, (where.path, "zarr.json")))
        data = sync(where.store.get(name, default_buffer_prototype()))
        if data is not None:
            _check(data.to_bytes(), path)
    return node


@contextmanager
def understood(path: Any) -> Iterator[None]:
    """Turn errors about metadata without a checksum that are damaged into one that says so."""
    try:
        yield
    except (DasdistError, FileNotFoundError):
        raise
    except _NOT_OURS as error:
        raise _damaged(path, f"cannot be understood ({error})") from error


def keep_copy(path: Path, journal: Path) -> None:
    """Keep a copy of the root metadata in a journal."""
    write_atomically(journal / ROOT_COPY, (path / "zarr.json").read_bytes())


def mend(path: Path, journal: Path) -> str:
    """Put the copy in the place of damaged root metadata; return what was wrong, if anything.

    Raises
    ------
    UnreadableData
        If the copy is damaged, too, or there is none.
    """
    try:
        why = wrong((path / "zarr.json").read_bytes())
    except OSError:
        return ""
    copy = _copy(journal)
    if not why:
        return ""
    if copy is None:
        raise _damaged(path, why)
    write_atomically(path / "zarr.json", copy)
    return f"{path / 'zarr.json'} {why}. Its copy in {journal} takes its place."


def _copy(journal: Path) -> bytes | None:
    """Return the copy, if it is whole."""
    try:
        data = (journal / ROOT_COPY).read_bytes()
    except OSError:
        return None
    return None if wrong(data) else data


def _check(data: bytes, path: Any) -> None:
    why = wrong(data)
    if why:
        raise _damaged(path, why)


def _damaged(path: Any, why: str) -> UnreadableData:
    folder = _folder(path)
    remedy = "Begin it anew with overwrite=True (--overwrite)."
    if folder is not None and _copy(journal_of(folder)) is not None:
        remedy = "dasdist verify, or the same call or command, puts its copy back."
    return UnreadableData(f"{path}/zarr.json {why}. {remedy}")


def _folder(path: Any) -> Path | None:
    if isinstance(path, str) and "://" not in path.removeprefix("file://"):
        return Path(path.removeprefix("file://"))
    return path if isinstance(path, Path) else None
