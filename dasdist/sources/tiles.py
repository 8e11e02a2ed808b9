"""Read recordings of many files that xdas opened as a tile array.

::

    tiles      0 .. 31 | 32 .. 63 | 64 .. 95 | ...      of the whole recording
    window                [.....]                       of a block; cut where it is read
    sent               | 32 .. 63 |                     with the window, to a worker

xdas takes the better part of a millisecond to cut an array, or to unpickle one, however small.  A
client that did so for every block would keep few workers busy.  It cuts and pickles a section once,
for all blocks within it, and a worker unpickles it once.
"""

import json
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdas.virtual import TileArray

from dasdist.geometry import Region, Span
from dasdist.sources import tile_manifest
from dasdist.sources.absence import Absence, Reading
from dasdist.sources.chunks import storage_chunks
from dasdist.sources.dascore_files import whole_traces
from dasdist.sources.declared import Declared, first_declared
from dasdist.sources.foreign import foreign
from dasdist.sources.hdf5 import Piece, linked_files, read_pieces, turned
from dasdist.sources.selection import file_identity
from dasdist.sources.trusted import CHECKED, allow, beyond, check_reader

__all__ = ["TileSource", "tile_source"]

_TOGETHER = 32
"""Tiles along time of a section: their paths are sent with every block, some 50 bytes each."""


def tile_source(
    array: TileArray, time_axis: int, dtype: np.dtype[Any] | None = None
) -> "TileSource":
    """Return the source of a tile array; its samples may be of another type than is stored."""
    check_reader(array.engine, "The data")
    time, distance = array.shape[time_axis], array.shape[1 - time_axis]
    window = Region(Span(0, time), Span(0, distance))
    named = beyond(array.engine)
    return TileSource(_Tiles(array, time_axis), window, dtype or np.dtype(array.dtype), named)


class _Tiles:
    """A tile array, and the section of it that was asked for last.

    Parameters
    ----------
    array : TileArray
        The tiles.
    time_axis : int
        Which of its axes is time.
    """

    def __init__(self, array: TileArray, time_axis: int) -> None:
        self.array = array
        self.time_axis = time_axis
        self._last: tuple[Span, _Tiles] | None = None

    @cached_property
    def packed(self) -> bytes:
        """The array, pickled."""
        return pickle.dumps(self.array)

    @cached_property
    def plain(self) -> "list[tuple[Piece, int | None]] | None":
        """The tiles, and the sizes of their files, if all are plain rectangles of datasets."""
        return tile_manifest.plain_tiles(self.array)

    @cached_property
    def _stops(self) -> NDArray[np.int64]:
        return np.cumsum(self.array.chunks[self.time_axis])

    def cut(self, window: Region) -> TileArray:
        """Return a window, lazily; what is read through it is kept by it alone."""
        key = (window.time.slice, window.distance.slice)
        return self.array[key if self.time_axis == 0 else key[::-1]]

    def section(self, time: Span) -> tuple[int, "_Tiles"]:
        """Return the section around some samples, and where it starts."""
        if len(self._stops) <= 2 * _TOGETHER:  # it is one
            return 0, self
        around = self._around(time)
        last = self._last
        if last is None or last[0] != around:
            channels = Span(0, self.array.shape[1 - self.time_axis])
            last = around, _Tiles(self.cut(Region(around, channels)), self.time_axis)
            self._last = last
        return around.start, last[1]

    def _around(self, time: Span) -> Span:
        stops = self._stops
        first, last = np.searchsorted(stops, [time.start, time.stop - 1], side="right")
        low = first // _TOGETHER * _TOGETHER
        high = min((last // _TOGETHER + 1) * _TOGETHER, len(stops))
        return Span(int(stops[low - 1]) if low else 0, int(stops[high - 1]))


@dataclass(frozen=True, slots=True)
class TileSource:
    """A window of a tile array.

    Parameters
    ----------
    tiles : _Tiles
        The array.
    window : Region
        Its samples and channels.
    dtype : numpy.dtype
        Type of the samples.
    named : tuple of str
        Engines that no file may name and the user named.
    """

    tiles: _Tiles
    window: Region
    dtype: np.dtype[Any]
    named: tuple[str, ...] = ()

    def __reduce__(self) -> tuple[Callable[..., "TileSource"], tuple[Any, ...]]:
        start, section = self.tiles.section(self.window.time)
        window = Region(self.window.time.shift(-start), self.window.distance)
        return _travelled, (section.packed, section.time_axis, window, self.dtype, self.named)

    def select(self, region: Region) -> "TileSource":
        """Return a window of this one."""
        time = region.time.shift(self.window.time.start)
        channels = region.distance.shift(self.window.distance.start)
        return TileSource(self.tiles, Region(time, channels), self.dtype, self.named)

    def read(self) -> NDArray[Any]:
        """Read tile by tile."""
        return self.reading().values

    def reading(self) -> Reading:
        """Read tile by tile, and tell what was never written, or is declared missing."""
        # not where it is unpickled: an error there ends the worker's connection
        check_reader(self.tiles.array.engine, "The data", named=self.named)
        start, section = self.tiles.section(self.window.time)
        rows, columns = self.window.time.shift(-start), self.window.distance
        if section.plain is None:
            values = np.asarray(section.cut(Region(rows, columns)))
            return self._told(values if section.time_axis == 0 else values.T)
        if section.time_axis == 1:
            rows, columns = columns, rows
        pieces = list(tile_manifest.touched(section.plain, rows, columns))
        reading = read_pieces(pieces, (rows.size, columns.size), self.dtype, exact=True)
        return turned(reading, section.time_axis)

    def _told(self, stored: NDArray[Any]) -> Reading:
        """Return what xdas read, unpacked, and which of it is missing."""
        reading = foreign(stored, self.files)
        first = tile_manifest.first_plain(self.tiles.array)
        declared = Declared() if first is None else first_declared(*first)
        if not declared.anything:
            return reading
        found = Absence.of_mask(declared.mask(stored), declared.what)
        return Reading(declared.unpacked(stored), (*reading.absences, *found), own=True)

    def files(self) -> Sequence[tuple[Span, str]]:
        """Return the files, or for a single file that only links to others, those others."""
        array, time_axis = self.tiles.cut(self.window), self.tiles.time_axis
        piece = tile_manifest.single_piece(array)
        found = linked_files(piece, time_axis) if piece else []
        if found:
            return found
        stop = 0
        for size in array.chunks[time_axis]:
            span = Span(stop, stop := stop + size)
            key = (span.slice, slice(None))
            found += [
                (span, path)
                for path in tile_manifest.paths(array[key if time_axis == 0 else key[::-1]])
            ]
        return found

    def chunks(self) -> tuple[int, int] | None:
        """Return the storage chunk of the first tile, from the index if there is one."""
        array = self.tiles.cut(self.window)
        (rows, *_), (columns, *_) = array.chunks
        if array.engine["name"] == CHECKED:
            stated = array.engine.get("chunk")
            chunk = (min(stated[0], rows), min(stated[1], columns)) if stated else None
        elif whole_traces(array.engine):
            chunk = (int(rows), 1) if self.tiles.time_axis == 0 else (1, int(columns))
        else:
            first, *_ = tile_manifest.paths(array[:rows, :columns])
            chunk = storage_chunks(first, (rows, columns), array.dtype)
        return chunk if chunk is None or self.tiles.time_axis == 0 else chunk[::-1]

    def identity(self) -> Iterator[bytes]:
        """Yield the table of tiles, and the identity of files whose size it does not state."""
        array = self.tiles.cut(self.window)
        header = tile_manifest.header(array)
        grid = {f"tile_{axis}": count for axis, count in enumerate(header.pop("ntiles"))}
        header.pop("root", None)
        yield json.dumps(header, sort_keys=True).encode()
        piece = tile_manifest.single_piece(array)
        for span, path in linked_files(piece, self.tiles.time_axis) if piece else ():
            yield repr(span).encode() + file_identity(path)
        columns = array.dataset.data_vars
        for name in sorted(map(str, columns)):
            yield name.encode()
            values = columns[name].variable.set_dims(grid).values
            if name != "paths":
                yield values.tobytes()
            elif "bytes" in columns:
                yield b"\0".join(os.path.basename(path) for path in values.flat)
            else:
                paths = [os.path.join(array.root, os.fsdecode(path)) for path in values.flat]
                facts = {path: file_identity(path) for path in set(paths)}
                yield b"\0".join(facts[path] for path in paths)

    def origins(self) -> Iterator[tuple[int, str, bytes, bytes]]:
        """Yield the first sample, the file, its state and what is read of it, tile by tile."""
        array, time_axis = self.tiles.cut(self.window), self.tiles.time_axis
        header = tile_manifest.header(array)
        grid = {f"tile_{axis}": count for axis, count in enumerate(header.pop("ntiles"))}
        root = header.pop("root", "")
        header["engine"] = {k: v for k, v in array.engine.items() if k != "chunk"}
        form = json.dumps(header, sort_keys=True).encode()
        piece = tile_manifest.single_piece(array)
        for span, path in linked_files(piece, time_axis) if piece else ():
            form += repr(span).encode() + file_identity(path)
        columns = {
            str(name): np.moveaxis(column.variable.set_dims(grid).values, time_axis, 0)
            for name, column in sorted(array.dataset.data_vars.items())
        }
        paths = columns.pop("paths").reshape(len(array.chunks[time_axis]), -1)
        rows = {name: column.reshape(len(paths), -1) for name, column in columns.items()}
        stated = [rows.pop(name) for name in ("bytes", "modified") if name in rows]
        states = _states(root, paths, np.hstack(stated) if stated else None)
        usual = [_usual(name, values) for name, values in rows.items()]
        starts = np.cumsum(np.append(0, array.chunks[time_axis])).tolist()
        alone = paths.shape[1] == 1
        for i, (start, state) in enumerate(zip(starts[:-1], states, strict=True)):
            path = os.path.join(root, os.fsdecode(paths[i, 0])) if alone else ""
            parts = [name + row[i].tobytes() for name, row, tell in usual if tell[i]]
            yield start, path, state, b"\0".join((form, *parts))


def _usual(name: str, rows: NDArray[Any]) -> tuple[bytes, NDArray[Any], NDArray[np.bool_]]:
    """Return a column of the table with its name, and in which rows it says anything.

    A tile that begins with its file says so by a 0, or not at all where all others do.
    """
    nothing = {"starts": 0, "steps": 1}.get(name.partition("_")[0])
    tell = np.ones(len(rows), dtype=bool) if nothing is None else (rows != nothing).any(axis=1)
    return name.encode(), np.ascontiguousarray(rows), tell


def _states(root: str, paths: NDArray[Any], stated: NDArray[Any] | None) -> Iterator[bytes]:
    """Yield names and states of the files in each row, as a table states them or as they are."""
    if stated is not None:
        facts = np.ascontiguousarray(stated)
        for row, names in zip(facts, paths.tolist(), strict=True):
            yield b"\0".join((*map(os.path.basename, names), row.tobytes()))
        return
    full = {path: os.path.join(root, os.fsdecode(path)) for path in set(paths.ravel().tolist())}
    known = {path: file_identity(name) for path, name in full.items()}
    for names in paths.tolist():
        yield b"\0".join(known[path] for path in names)


def _travelled(
    packed: bytes, time_axis: int, window: Region, dtype: np.dtype[Any], named: tuple[str, ...]
) -> TileSource:
    for engine in named:
        allow(engine)
    return TileSource(_unpacked(packed, time_axis), window, dtype, named)


@lru_cache(maxsize=16)
def _unpacked(packed: bytes, time_axis: int) -> _Tiles:
    """Return a section; blocks that follow each other share it."""
    return _Tiles(pickle.loads(packed), time_axis)
