"""Read arrays that xdas opened: tiles, HDF5 stacks, numpy, dask."""

import os
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from xdas import DataArray
from xdas.virtual import TileArray, VirtualLayout, VirtualSource, VirtualStack

from dasdist.errors import InvalidInput
from dasdist.geometry import Span
from dasdist.sources.coordinates import Ties, ties_of_xdas
from dasdist.sources.declared import first_declared
from dasdist.sources.hdf5 import Hdf5Source, Index, Piece, box
from dasdist.sources.headers import STATED, stated_step
from dasdist.sources.labelled import (
    GraphSource,
    Labelled,
    coordinate_in,
    in_memory,
    is_graph,
    unit_in,
)
from dasdist.sources.lengths import METRE, metres
from dasdist.sources.restamp import restamped
from dasdist.sources.selection import Source
from dasdist.sources.stored_axes import as_stored, stored_as
from dasdist.sources.tile_manifest import first_path, first_plain
from dasdist.sources.tiles import tile_source
from dasdist.sources.trusted import check_reader

__all__ = ["labelled_xdas"]


def labelled_xdas(data: DataArray) -> Labelled:
    """Describe an :class:`xdas.DataArray` for opening it.

    Raises
    ------
    InvalidInput
        If its values are of a kind that cannot be sent to a worker, or a part was selected of an
        array whose axes xdas mistook for each other.
    Untrusted
        If its files are to be read by an engine that no file may name, and that no user named.
    """
    if isinstance(data.data, TileArray):
        check_reader(data.data.engine, "The data")
    stored = stored_as(data)
    data = as_stored(data, stored)
    unit = stored.unit if stored else None
    if unit and stored and stored.indexed and metres(unit) is not None:
        unit = METRE  # an index converted them
    values = data.data
    shape = tuple(values.shape)  # once: a long stack adds it up anew each time
    dtype = _dtype(values)
    coordinates, others = {}, {}
    for name, coordinate in data.coords.items():
        if coordinate.dim == name:
            ties = partial(_ties, coordinate, name, values)
            coordinates[name] = coordinate_in(unit, name, np.dtype(coordinate.dtype), ties)
        elif coordinate.dim is not None:
            others[name] = coordinate.dim
    return Labelled(
        dims=tuple(data.dims),
        shape=shape,
        dtype=dtype,
        coordinates=coordinates,
        others=others,
        source=partial(_source, values, shape, dtype),
        graph=values if is_graph(values) else None,
        name=data.name,
        unit=unit_in(data.attrs) or (stored.samples_unit if stored else ""),
    )


def _ties(coordinate: Any, name: str, values: Any) -> Ties:
    """Return ties, of times as the recorder meant them."""
    ties = ties_of_xdas(coordinate, name)
    return restamped(ties, partial(_stated_step, values)) if ties.is_time else ties


def _stated_step(values: Any) -> Fraction | None:
    """Return the sampling interval that the header of the first file states, if xdas does not."""
    path: str | None = None
    if isinstance(values, TileArray):
        engine: Any = values.engine
        if engine["name"] in STATED:
            path = first_path(values)
    elif isinstance(values, VirtualStack | VirtualSource):
        source = values.sources[0] if isinstance(values, VirtualStack) else values
        name = getattr(source, "_vsource", None) and source._vsource.name
        if name and (name.startswith("/Acquisition/") or "/Source1/Zone1/" in name):
            path = os.path.abspath(source._vsource.path)
    return None if path is None else stated_step(path)


def _dtype(values: Any) -> np.dtype[Any]:
    """Return the type of the samples, which the first file may declare to be packed."""
    stored = np.dtype(values.dtype)
    first = _first_dataset(values)
    return stored if first is None else first_declared(*first).dtype(stored)


def _first_dataset(values: Any) -> tuple[str, str] | None:
    """Return file and dataset of the first values, if they are as HDF5 stores them."""
    if isinstance(values, TileArray):
        return first_plain(values)
    while isinstance(values, VirtualStack):
        if not values.sources:
            return None
        values = values.sources[0]
    if isinstance(values, VirtualSource):
        return os.path.abspath(values._vsource.path), values._vsource.name
    if isinstance(values, VirtualLayout):
        links = values._layout.dcpl
        if links.get_virtual_count():
            return os.path.abspath(links.get_virtual_filename(0)), links.get_virtual_dsetname(0)
    return None


def _source(values: Any, shape: tuple[int, int], dtype: np.dtype[Any], time_axis: int) -> Source:
    if is_graph(values):
        return GraphSource(values if time_axis == 0 else values.T)
    if isinstance(values, np.ndarray):
        return in_memory(values, time_axis)
    if isinstance(values, TileArray):
        return tile_source(values, time_axis, dtype)
    if isinstance(values, VirtualStack | VirtualSource | VirtualLayout):
        pieces = list(_pieces(values))
        return Hdf5Source.of(pieces, shape, dtype, time_axis)
    raise InvalidInput(
        f"The values of this xdas.DataArray are a {type(values).__module__}."
        f"{type(values).__qualname__}, but must be a virtual array of xdas, numpy or dask to be "
        "read on a worker. Open files with xdas.open_mfdataarray, or a Zarr store with "
        "xarray.open_zarr."
    )


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
        "This xdas.VirtualLayout has selections with steps or points, which cannot be sent to a "
        "worker. Write it to a file with `to_netcdf(path, virtual=True)` and open that file."
    )
