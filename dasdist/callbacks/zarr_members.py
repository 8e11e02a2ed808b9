"""What a store of annotations has besides its root: shards, by block; metadata and coordinates."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zarr.storage import LocalStore

from dasdist.callbacks.zarr_root import open_root
from dasdist.callbacks.zarr_shards import OwnedStore, owned
from dasdist.callbacks.zarr_template import write_values
from dasdist.coordinates import axis_from_attrs
from dasdist.storage.files import write_atomically

__all__ = ["members_mended", "shards_of"]


def shards_of(path: Path) -> Iterator[tuple[int, Path]]:
    """Yield the shards of a store in a folder, with the block that each belongs to."""
    for block, array, name, _ in owned(path):
        yield block, path / array.path / "c" / name


def members_mended(path: Path) -> list[str]:
    """Write metadata and coordinates anew that are damaged; return what was wrong.

    The root holds all metadata, and the axes, from which coordinates are computed.
    """
    root = json.loads((path / "zarr.json").read_bytes())
    told = []
    for name, document in root["consolidated_metadata"]["metadata"].items():
        member = path / name / "zarr.json"
        if not _same(member, document):
            write_atomically(member, json.dumps(document, indent=2))
            told.append(f"{member} was damaged, and is written anew.")
    group = open_root(path)
    for name in json.loads(group.attrs["segments"]) or [""]:
        segment: Any = group[name] if name else group
        for attrs in json.loads(segment.attrs["axes"]):
            axis = axis_from_attrs(attrs)
            if axis.name in segment and not _readable(segment[axis.name]):
                write_values(OwnedStore(LocalStore(path)), segment[axis.name].path, axis)
                told.append(f"{path / segment[axis.name].path} was damaged, and is written anew.")
    return told


def _same(member: Path, document: dict[str, Any]) -> bool:
    try:
        found = json.loads(member.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    if isinstance(found, dict) and document.get("node_type") == "group":
        found.pop("consolidated_metadata", None)
        document = {k: v for k, v in document.items() if k != "consolidated_metadata"}
    return bool(found == document)


def _readable(array: Any) -> bool:
    """Tell whether all chunks of a coordinate are there, with the right checksums."""
    size, piece = array.shape[0], array.chunks[0]
    if array.nchunks_initialized != array.nchunks:
        return False
    try:
        for start in range(0, size, piece):
            array[start : start + piece]
    except (OSError, ValueError, RuntimeError):
        return False
    return True
