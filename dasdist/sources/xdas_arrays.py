"""Recordings that xdas opened: tiles, HDF5 stacks, numpy, dask."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdas import DataArray
from xdas.virtual import TileArray, VirtualLayout, VirtualSource, VirtualStack

from dasdist.errors import InvalidInput
from dasdist.geometry import Region, Span
from dasdist.sources.checked import CHECKED, check_size
from dasdist.sources.coordinates import ties_of_xdas
from dasdist.sources.hdf5 import (
    Hdf5Source,
    Index,
    Piece,
    box,
    linked_files,
    read_pieces,
    storage_chunks,
)
from dasdist.sources.labelled import Coordinate, GraphSource, Labelled, in_memory, is_graph
from dasdist.sources.part import Source, file_identity

__all__ = ["TileSource", "labelled_xdas"]


def labelled_xdas(data: DataArray) -> Labelled:
    """Return what opening asks of an :class:`xdas.DataArray`.

    Raises
    ------
    InvalidInput
        If its values are of a kind that could not travel to a worker.
    """
    values = data.data
    shape = tuple(values.shape)  # once: a long stack adds it up anew each time
    coordinates, others = {}, {}
    for name, coordinate in data.coords.items():
        if coordinate.dim == name:
            ties = partial(ties_of_xdas, coordinate, name)
            coordinates[name] = Coordinate(np.dtype(coordinate.dtype), ties)
        elif coordinate.dim is not None:
            others[name] = coordinate.dim
    return Labelled(
        dims=tuple(data.dims),
        shape=shape,
        dtype=np.dtype(values.dtype),
        coordinates=coordinates,
        others=others,
        source=partial(_source, values, shape),
        graph=values if is_graph(values) else None,
    )


def _source(values: Any, shape: tuple[int, int], time_axis: int) -> Source:
    if is_graph(values):
        return GraphSource(values if time_axis == 0 else values.T)
    if isinstance(values, np.ndarray):
        return in_memory(values, time_axis)
    if isinstance(values, TileArray):
        return TileSource(values, time_axis)
    if isinstance(values, VirtualStack | VirtualSource | VirtualLayout):
        pieces = list(_pieces(values))
        return Hdf5Source.of(pieces, shape, np.dtype(values.dtype), time_axis)
    raise InvalidInput(
        f"The values of this xdas.DataArray are a {type(values).__module__}."
        f"{type(values).__qualname__}, which cannot be read piece by piece on a worker; it takes "
        "the virtual arrays of xdas, numpy or dask. Open the files with xdas.open_mfdataarray, or "
        "a Zarr store with xarray.open_zarr."
    )


# ---------------------------------------------------------------- tiles


@dataclass(frozen=True, slots=True)
class TileSource:
    """A tile array of xdas; slices of it are lazy and small."""

    array: TileArray
    time_axis: int

    def select(self, region: Region) -> "TileSource":
        """Return the tiles that a region touches."""
        return TileSource(self.array[self._key(region.time, region.distance)], self.time_axis)

    def read(self) -> NDArray[Any]:
        """Read tile by tile."""
        pieces = _plain_tiles(self.array)
        if pieces is None:
            # from a fresh slice: a tile array keeps what it has read
            values = np.asarray(self.array[:, :])
        else:
            values = read_pieces(pieces, self.array.shape, self.array.dtype, exact=True)
        return values if self.time_axis == 0 else values.T

    def files(self) -> Sequence[tuple[Span, str]]:
        """Return the files, and those behind a single one that only links to others."""
        piece = _single_piece(self.array)
        found = linked_files(piece, self.time_axis) if piece else []
        if found:
            return found
        stop = 0
        for size in self.array.chunks[self.time_axis]:
            span = Span(stop, stop := stop + size)
            found += [(span, path) for path in self._paths(span)]
        return found

    def chunks(self) -> tuple[int, int] | None:
        """Return the storage chunk of the first tile, as the index states it if there is one."""
        (rows, *_), (columns, *_) = self.array.chunks
        if self.array.engine["name"] == CHECKED:
            stated = self.array.engine.get("chunk")
            chunk = (min(stated[0], rows), min(stated[1], columns)) if stated else None
        else:
            first, *_ = _paths(self.array[:rows, :columns])
            chunk = storage_chunks(first, (rows, columns), self.array.dtype)
        return chunk if chunk is None or self.time_axis == 0 else chunk[::-1]

    def identity(self) -> Iterator[bytes]:
        """Yield the manifest, every column written out, and what the files are if it is silent."""
        header = _header(self.array)
        grid = {f"tile_{axis}": count for axis, count in enumerate(header.pop("ntiles"))}
        header.pop("root", None)
        yield json.dumps(header, sort_keys=True).encode()
        piece = _single_piece(self.array)
        for span, path in linked_files(piece, self.time_axis) if piece else ():
            yield repr(span).encode() + file_identity(path)
        columns = self.array.dataset.data_vars
        for name in sorted(map(str, columns)):
            yield name.encode()
            values = columns[name].variable.set_dims(grid).values
            if name != "paths":
                yield values.tobytes()
            elif "bytes" in columns:
                yield b"\0".join(os.path.basename(path) for path in values.flat)
            else:
                paths = [os.path.join(self.array.root, os.fsdecode(path)) for path in values.flat]
                facts = {path: file_identity(path) for path in set(paths)}
                yield b"\0".join(facts[path] for path in paths)

    def _paths(self, span: Span) -> list[str]:
        return _paths(self.array[self._key(span, None)])

    def _key(self, time: Span, distance: Span | None) -> tuple[slice, slice]:
        other = slice(None) if distance is None else distance.slice
        return (time.slice, other) if self.time_axis == 0 else (other, time.slice)


def _paths(array: TileArray) -> list[str]:
    stored = np.unique(array.dataset["paths"].values)
    return [os.path.join(array.root, os.fsdecode(path)) for path in stored.tolist()]


def _single_piece(array: TileArray) -> Piece | None:
    """Return the one tile of an array, if it is a plain rectangle of a file in xdas's format."""
    manifest = array.dataset
    special = {"steps_0", "steps_1"} & set(manifest.variables)
    if array.ntiles > 1 or special or "dataset" not in array.engine or "axes" in _header(array):
        return None
    starts = (manifest[f"starts_{k}"].item() if f"starts_{k}" in manifest else 0 for k in (0, 1))
    index = tuple(
        slice(start, start + size) for start, size in zip(starts, array.shape, strict=True)
    )
    rows, columns = (Span(0, size) for size in array.shape)
    (path,) = _paths(array)
    return Piece(rows, columns, path, array.engine["dataset"], index)


def _plain_tiles(array: TileArray) -> list[Piece] | None:
    """Return the tiles, if all are plain rectangles of files in xdas's own format.

    xdas reads a tile into an array of its own, and copies that: twice the time of reading.
    """
    engine: dict[str, Any] = dict(array.engine)
    checked = engine["name"] == CHECKED
    if checked:
        engine = engine["engine"]
    names = set(array.dataset.variables)
    if engine["name"] != "xdas" or {"steps_0", "steps_1"} & names or "axes" in _header(array):
        return None
    grid = {f"tile_{axis}": len(sizes) for axis, sizes in enumerate(array.chunks)}

    def column(name: str) -> NDArray[Any]:
        values: NDArray[Any] = array.dataset.variables[name].set_dims(grid).values
        return values

    paths = column("paths")
    starts = [column(f"starts_{k}") if f"starts_{k}" in names else None for k in (0, 1)]
    ends = [np.cumsum((0, *sizes)).tolist() for sizes in array.chunks]
    pieces = []
    for tile in np.ndindex(*paths.shape):
        path = os.path.join(array.root, os.fsdecode(bytes(paths[tile])))
        if checked:
            check_size(path, int(column("bytes")[tile]))
        rows, columns = (Span(ends[k][tile[k]], ends[k][tile[k] + 1]) for k in (0, 1))
        firsts = (0 if of is None else int(of[tile]) for of in starts)
        index = tuple(
            slice(first, first + span.size)
            for first, span in zip(firsts, (rows, columns), strict=True)
        )
        pieces.append(Piece(rows, columns, path, engine["dataset"], index))
    return pieces


def _header(array: TileArray) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(array.dataset.attrs["header"])
    return header


# ---------------------------------------------------------------- HDF5


def _pieces(values: Any) -> Iterator[Piece]:
    if isinstance(values, VirtualStack):
        start = 0
        for source in values.sources:
            piece = _piece(source)
            if piece is None:  # xdas leaves one when it slices up to the end of a source
                continue
            size = (piece.rows, piece.columns)[values.axis].size
            if values.axis == 0:
                yield Piece(Span(start, start + size), piece.columns, *_where(piece))
            else:
                yield Piece(piece.rows, Span(start, start + size), *_where(piece))
            start += size
    elif isinstance(values, VirtualSource):
        piece = _piece(values)
        if piece is not None:
            yield piece
    else:
        yield from _pieces_of_layout(values)


def _where(piece: Piece) -> tuple[str, str, Index]:
    return piece.path, piece.name, piece.index


def _piece(source: VirtualSource) -> Piece | None:
    # its public shape and slices build HDF5 selections, 90 us each: too slow for a year of files
    index: Index = source._sel.get_indexer()
    sizes = [len(range(i.stop)[i]) for i in index if isinstance(i, slice)]
    if 0 in sizes:
        return None
    rows, columns = sizes
    # h5py keeps the path as it was given, and workers have directories of their own
    path = os.path.abspath(source._vsource.path)
    return Piece(Span(0, rows), Span(0, columns), path, source._vsource.name, index)


def _pieces_of_layout(layout: VirtualLayout) -> Iterator[Piece]:
    """Yield the links of a layout that has not been written to a file."""
    selected = layout._sel.get_indexer()
    if len(selected) != 2 or any(not isinstance(i, slice) or i.step != 1 for i in selected):
        raise _layout_too_complex()
    rows, columns = (Span(i.start, i.stop) for i in selected)
    links = layout._layout.dcpl
    for i in range(links.get_virtual_count()):
        place, index = box(links.get_virtual_vspace(i)), box(links.get_virtual_srcspace(i))
        if place is None or index is None or any(entry.step not in (None, 1) for entry in place):
            raise _layout_too_complex()
        row, column = (Span(entry.start, entry.stop) for entry in place)
        piece = Piece(
            row,
            column,
            os.path.abspath(links.get_virtual_filename(i)),
            links.get_virtual_dsetname(i),
            _flat(index),
        ).cut(rows, columns)
        if piece is not None:
            yield piece


def _flat(index: tuple[slice, ...]) -> Index:
    """Return an index that leaves two dimensions: those of length one go first."""
    flat: list[slice | int] = list(index)
    for axis, entry in enumerate(index):
        if len(flat) - sum(isinstance(i, int) for i in flat) > 2 and entry.stop - entry.start == 1:
            flat[axis] = entry.start
    return tuple(flat)


def _layout_too_complex() -> InvalidInput:
    return InvalidInput(
        "This xdas.VirtualLayout holds selections with steps or points, which cannot be sent to a "
        "worker piece by piece. Write it to a file with `to_netcdf(path, virtual=True)` and open "
        "that."
    )
