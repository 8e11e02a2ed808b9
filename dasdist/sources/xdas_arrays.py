"""Read arrays that xdas opened: tiles, HDF5 stacks, numpy, dask."""

import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from xdas import DataArray
from xdas.virtual import TileArray, VirtualLayout, VirtualSource, VirtualStack

from dasdist.errors import InvalidInput
from dasdist.geometry import Span
from dasdist.sources.coordinates import ties_of_xdas
from dasdist.sources.hdf5 import Hdf5Source, Index, Piece, box
from dasdist.sources.labelled import Coordinate, GraphSource, Labelled, in_memory, is_graph
from dasdist.sources.selection import Source
from dasdist.sources.tiles import tile_source

__all__ = ["labelled_xdas"]


def labelled_xdas(data: DataArray) -> Labelled:
    """Describe an :class:`xdas.DataArray` for opening it.

    Raises
    ------
    InvalidInput
        If its values are of a kind that cannot be sent to a worker.
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
        name=data.name,
    )


def _source(values: Any, shape: tuple[int, int], time_axis: int) -> Source:
    if is_graph(values):
        return GraphSource(values if time_axis == 0 else values.T)
    if isinstance(values, np.ndarray):
        return in_memory(values, time_axis)
    if isinstance(values, TileArray):
        return tile_source(values, time_axis)
    if isinstance(values, VirtualStack | VirtualSource | VirtualLayout):
        pieces = list(_pieces(values))
        return Hdf5Source.of(pieces, shape, np.dtype(values.dtype), time_axis)
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
