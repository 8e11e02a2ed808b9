"""Where in the bytes of an HDF5 file its datasets, its attributes and its texts stand."""

import re
import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import h5py
import numpy as np

from dasdist.archive.template import Hole

__all__ = [
    "Unlearned",
    "attribute_places",
    "dataset_places",
    "modification_places",
    "objects_of",
    "samples_of",
    "text_places",
]

_MOST_OBJECTS = 2000
_MOST_CHUNKS = 200_000
_SHORTEST = 8
"""Bytes of a text that is looked for: a shorter one may stand anywhere by chance."""


class Unlearned(Exception):
    """A file that depends on others, or whose bytes do not tell what they mean."""


def objects_of(file: Any) -> Iterator[Any]:
    """Yield all groups and datasets of a file.

    Raises
    ------
    Unlearned
        If one lies in another file, or there are too many.
    """
    if file.userblock_size:
        raise Unlearned("its addresses do not count from its first byte")
    found: list[Any] = [file]
    seen = set()
    for count, entry in enumerate(found):
        yield entry
        if count > _MOST_OBJECTS:
            raise Unlearned("it has too many objects")
        if isinstance(entry, h5py.Dataset):
            if entry.is_virtual or entry.external:
                raise Unlearned(f"{entry.name} is kept in other files")
            continue
        for name in entry if isinstance(entry, h5py.Group) else ():
            if not isinstance(entry.get(name, getlink=True), h5py.HardLink):
                raise Unlearned(f"{name} is a link")
            address = h5py.h5o.get_info(entry.id, name.encode()).addr
            if address not in seen:  # a group may hold itself
                seen.add(address)
                found.append(entry[name])


def samples_of(dataset: Any) -> list[tuple[int, int]]:
    """Return where the samples of a dataset are, all of which must have been written.

    Raises
    ------
    Unlearned
        If they are packed, so that a file that was damaged cannot be told from a whole one.
    """
    properties = dataset.id.get_create_plist()
    if properties.get_nfilters():
        raise Unlearned(f"{dataset.name} is packed")
    if dataset.chunks is None:
        return [_contiguous(dataset)]
    if dataset.id.get_num_chunks() > _MOST_CHUNKS:
        raise Unlearned(f"{dataset.name} has too many chunks")
    chunks: list[tuple[tuple[int, ...], int, int]] = []
    dataset.id.chunk_iter(
        lambda chunk: chunks.append((chunk.chunk_offset, chunk.byte_offset, chunk.size))
    )
    return [(start, start + size) for _, start, size in sorted(chunks)]


def dataset_places(dataset: Any, name: str) -> list[Hole]:
    """Return the holes of the values of a dataset of one dimension or none, in their order.

    Raises
    ------
    Unlearned
        If they do not lie in the file in this order, or some are in none.
    """
    if dataset.ndim > 1:
        raise Unlearned(f"{dataset.name} has {dataset.ndim} dimensions")
    left = dataset.size * dataset.dtype.itemsize
    holes: list[Hole] = []
    for start, stop in samples_of(dataset):
        used = min(stop - start, left)
        holes += [Hole(start, start + used, name)] * (used > 0)
        holes += [Hole(start + used, stop, "")] * (stop > start + used)
        left -= used
    if left or any(a.start > b.start for a, b in pairwise(holes)):
        raise Unlearned(f"{dataset.name} lies in pieces")
    return holes


def _contiguous(dataset: Any) -> tuple[int, int]:
    start, size = dataset.id.get_offset(), dataset.id.get_storage_size()
    if start is None or size != dataset.size * dataset.dtype.itemsize:
        raise Unlearned(f"{dataset.name} has no place of its own")
    return start, start + size


def attribute_places(content: bytes, attribute: str, hole: str, objects: list[Any]) -> list[Hole]:
    """Return the holes of an attribute on all objects that have it, counted in the content.

    Parameters
    ----------
    content : bytes
        The file, apart from its samples.
    attribute, hole : str
        Name of the attribute, and of its holes.
    objects : list of h5py.Group or h5py.Dataset
        All objects.

    Raises
    ------
    Unlearned
        If the hole has a name, and one of them stands elsewhere than in the header of its object.
    """
    values = [
        np.asarray(entry.attrs[attribute]).tobytes()
        for entry in objects
        if attribute in entry.attrs
    ]
    word = attribute.encode() + b"\0"
    holes = []
    for matched in re.finditer(re.escape(word), content):
        start = _value_of(content, matched.start(), len(word))
        sizes = {len(value) for value in values if content.startswith(value, start)}
        if start and sizes and max(sizes):
            holes.append(Hole(start, start + max(sizes), hole))
    if hole and len(holes) != len(values):
        raise Unlearned(f"{attribute} has {len(values)} values in {len(holes)} places")
    return holes


def _value_of(content: bytes, name: int, size: int) -> int:
    """Return where the value of the attribute is whose name is at a place; 0 if none is there."""
    # version, flags, sizes of name, type and space; then these, and the value
    for version, before, unit in ((1, 8, 8), (2, 8, 1), (3, 9, 1)):
        at = name - before
        if at >= 0 and content[at] == version:
            sizes: tuple[int, ...] = struct.unpack_from("<HHH", content, at + 2)
            if sizes[0] == size:
                return name + sum(-(-part // unit) * unit for part in sizes)
    return 0


def text_places(content: bytes, text: str, hole: str) -> list[Hole]:
    """Return the holes of a text, wherever it stands, counted in the content.

    Raises
    ------
    Unlearned
        If it stands nowhere, or is so short that it may stand anywhere by chance.
    """
    word = text.encode()
    found = [Hole(m.start(), m.end(), hole) for m in re.finditer(re.escape(word), content)]
    if not found or len(word) < _SHORTEST:
        raise Unlearned(f"the text {text!r} was not found")
    return found


def modification_places(content: bytes, objects: list[Any]) -> list[Hole]:
    """Return the holes of the times when objects were last modified: nobody reads them."""
    times = {h5py.h5o.get_info(entry.id).mtime for entry in objects} - {0}
    holes = []
    for time in times:
        # a message of 8 bytes, its flags; version 1, and the seconds since 1970
        message = re.compile(
            b"\x12\\x00\x08\\x00.{4}\x01\\x00{3}" + re.escape(struct.pack("<I", time)), re.DOTALL
        )
        holes += [Hole(m.end() - 4, m.end(), "") for m in message.finditer(content)]
    return holes
