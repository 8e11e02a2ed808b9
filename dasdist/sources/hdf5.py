"""Read rectangles of HDF5 datasets, file by file.

xdas reads a stack of files through a virtual dataset, in which a missing file reads as fill values.
Here each file is opened by itself, so that a missing one is an error.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from dasdist.geometry import Region, Span
from dasdist.sources.chunks import beside, chunk_of
from dasdist.sources.inflate import can_inflate, inflate
from dasdist.sources.selection import file_identity

__all__ = ["Hdf5Source", "Index", "Piece", "box", "linked_files", "read_pieces"]

Index = tuple[slice | int, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """A rectangle of an array that lies in one dataset.

    Parameters
    ----------
    rows, columns : Span
        Where it lies in the array.
    path, name : str
        File and dataset.
    index : tuple of slice or int
        What of the dataset it is: all that is sliced, in order, is rows, then columns.
    """

    rows: Span
    columns: Span
    path: str
    name: str
    index: Index

    def cut(self, rows: Span, columns: Span) -> "Piece | None":
        """Return what lies in these rows and columns, counted from their start."""
        row, column = _common(self.rows, rows), _common(self.columns, columns)
        if row.size <= 0 or column.size <= 0:
            return None
        cuts = iter((row.shift(-self.rows.start), column.shift(-self.columns.start)))
        index = tuple(i if isinstance(i, int) else _within(i, next(cuts)) for i in self.index)
        return Piece(
            row.shift(-rows.start), column.shift(-columns.start), self.path, self.name, index
        )

    @property
    def sliced(self) -> list[int]:
        """Axes of the dataset that are rows and columns."""
        return [axis for axis, entry in enumerate(self.index) if isinstance(entry, slice)]


@dataclass(frozen=True, slots=True)
class Hdf5Source:
    """An array made of pieces of HDF5 datasets; samples in none of them read as missing.

    Parameters
    ----------
    pieces : tuple of Piece
        The pieces.
    bounds : ndarray of int64, shape (4, n)
        Their first row, end of rows, first column and end of columns: one of a million pieces is
        found without asking each.
    shape : tuple of int
        Rows and columns.
    dtype : numpy.dtype
        Type of the values.
    time_axis : int
        Whether rows are samples (0) or channels (1).
    """

    pieces: tuple[Piece, ...]
    bounds: NDArray[np.int64]
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    time_axis: int

    @classmethod
    def of(
        cls, pieces: Sequence[Piece], shape: tuple[int, int], dtype: np.dtype[Any], time_axis: int
    ) -> "Hdf5Source":
        """Return the source of pieces; later ones lie over earlier ones."""
        ends = [(p.rows.start, p.rows.stop, p.columns.start, p.columns.stop) for p in pieces]
        bounds = np.array(ends, dtype=np.int64).reshape(-1, 4).T
        return cls(tuple(pieces), bounds, shape, dtype, time_axis)

    def select(self, region: Region) -> "Hdf5Source":
        """Return the pieces that a region touches, cut to it."""
        rows, columns = region.time, region.distance
        if self.time_axis == 1:
            rows, columns = columns, rows
        top, bottom, left, right = self.bounds
        touched = np.flatnonzero(
            (top < rows.stop)
            & (bottom > rows.start)
            & (left < columns.stop)
            & (right > columns.start)
        )
        cut = (self.pieces[i].cut(rows, columns) for i in touched.tolist())
        shape = (rows.size, columns.size)
        return Hdf5Source.of([p for p in cut if p], shape, self.dtype, self.time_axis)

    def read(self) -> NDArray[Any]:
        """Read file by file."""
        values = read_pieces(self.pieces, self.shape, self.dtype)
        return values if self.time_axis == 0 else values.T

    def files(self) -> Sequence[tuple[Span, str]]:
        """Return the files, or for a file that only links to others, those others."""
        found: list[tuple[Span, str]] = []
        for piece in self.pieces:
            found += linked_files(piece, self.time_axis) or [(self._samples(piece), piece.path)]
        return found

    def identity(self) -> Iterator[bytes]:
        """Yield pieces and their files; links are followed from a single piece only."""
        facts = {path: file_identity(path) for path in {piece.path for piece in self.pieces}}
        for piece in self.pieces:
            yield repr((piece.rows, piece.columns, piece.name, piece.index)).encode()
            yield facts[piece.path]
        if len(self.pieces) == 1:
            for span, path in linked_files(self.pieces[0], self.time_axis):
                yield repr(span).encode() + file_identity(path)

    def origins(self) -> Iterator[tuple[int, str, bytes, bytes]]:
        """Yield the first sample, the file, its state and what is read of it, along time."""
        total = self.shape[self.time_axis]
        ends = [(self._samples(p).start, self._samples(p).stop) for p in self.pieces]
        cuts = sorted({0, total, *(cut for both in ends for cut in both)})
        held: list[list[Piece]] = [[] for _ in cuts]
        where = {cut: number for number, cut in enumerate(cuts)}
        for piece, (start, stop) in zip(self.pieces, ends, strict=True):
            for number in range(where[start], where[stop]):
                held[number].append(piece)
        facts = {path: file_identity(path) for path in {piece.path for piece in self.pieces}}
        links = linked_files(self.pieces[0], self.time_axis) if len(self.pieces) == 1 else []
        form = [repr(span).encode() + file_identity(path) for span, path in links]
        for start, pieces in zip(cuts[:-1], held, strict=False):
            paths = list(dict.fromkeys(piece.path for piece in pieces))
            states = b"\0".join((*form, *(facts[path] for path in paths)))
            parts = [
                (self._samples(p).start - start, self._channels(p), paths.index(p.path))
                for p in pieces
            ]
            known = repr([*parts, *((p.name, p.index) for p in pieces)]).encode()
            yield start, paths[0] if len(paths) == 1 else "", states, known

    def _samples(self, piece: Piece) -> Span:
        return piece.rows if self.time_axis == 0 else piece.columns

    def _channels(self, piece: Piece) -> Span:
        return piece.columns if self.time_axis == 0 else piece.rows

    def chunks(self) -> tuple[int, int] | None:
        """Return the storage chunk of the first piece."""
        if not self.pieces:
            return None
        piece = self.pieces[0]
        try:
            with h5py.File(piece.path, "r") as file:
                chunk = chunk_of(file[piece.name], piece.path)
        except (OSError, KeyError):
            return None
        if chunk is None or len(chunk) != len(piece.index):
            return None
        rows, columns = (chunk[axis] for axis in piece.sliced)
        rows, columns = min(rows, piece.rows.size), min(columns, piece.columns.size)
        return (rows, columns) if self.time_axis == 0 else (columns, rows)


def read_pieces(
    pieces: Sequence[Piece], shape: tuple[int, int], dtype: np.dtype[Any], *, exact: bool = False
) -> NDArray[Any]:
    """Read pieces into one array, each straight to its place where HDF5 can do that.

    What no piece holds reads as missing; of pieces that overlap, the later one counts.

    Raises
    ------
    OSError, KeyError
        If a file or a dataset is missing, or cannot be read.
    ValueError
        If `exact` is set and a dataset is of another type.
    """
    if _stacked(pieces, shape):
        values = np.empty(shape, dtype)
    else:
        values = np.full(shape, np.nan if dtype.kind == "f" else np.iinfo(dtype).min, dtype)
    for path, of_file in groupby(pieces, key=lambda piece: piece.path):
        with h5py.File(path, "r") as file:
            for piece in of_file:
                dataset = file[piece.name]
                if exact and dataset.dtype != dtype:
                    raise ValueError(
                        f"{path} has {dataset.dtype} samples, but {dtype} was expected"
                    )
                if not _holds(dataset.shape, piece.index):  # one row would be spread over all
                    raise ValueError(
                        f"{path} has a dataset of shape {dataset.shape}, too small for "
                        f"{_shown(piece.index)}"
                    )
                place = values[piece.rows.slice, piece.columns.slice]
                if can_inflate(dataset, piece.index):
                    inflate(dataset, piece.index, place)
                elif place.flags.c_contiguous and dataset.dtype == dtype and dataset.ndim == 2:
                    dataset.read_direct(place, piece.index)
                else:
                    place[:] = dataset[piece.index]
    return values


def _holds(shape: tuple[int, ...], index: Index) -> bool:
    last = [entry if isinstance(entry, int) else entry.stop - 1 for entry in index]
    return len(index) == len(shape) and all(
        end < size for end, size in zip(last, shape, strict=True)
    )


def _shown(index: Index) -> str:
    """Write an index as one types it."""
    words = [str(i) if isinstance(i, int) else f"{i.start}:{i.stop}" for i in index]
    return f"[{', '.join(words)}]"


def _stacked(pieces: Sequence[Piece], shape: tuple[int, int]) -> bool:
    """Tell whether pieces hold whole rows, one after the other, from the first to the last."""
    ends = [0, *(piece.rows.stop for piece in pieces)]
    whole = all(piece.columns == Span(0, shape[1]) for piece in pieces)
    starts = [piece.rows.start for piece in pieces]
    return whole and ends[:-1] == starts and ends[-1] == shape[0]


def box(space: Any) -> tuple[slice, ...] | None:
    """Return an HDF5 selection as slices; None if slices cannot describe it."""
    if space.get_select_type() == h5py.h5s.SEL_HYPERSLABS and space.is_regular_hyperslab():
        start, stride, count, block = space.get_regular_hyperslab()
        if all(b == 1 or c == 1 for b, c in zip(block, count, strict=True)):
            return tuple(
                slice(a, a + b) if c == 1 else slice(a, a + (c - 1) * s + 1, s)
                for a, s, c, b in zip(start, stride, count, block, strict=True)
            )
    elif space.get_select_type() == h5py.h5s.SEL_ALL:
        return tuple(slice(0, n) for n in space.get_simple_extent_dims())
    return None


def linked_files(piece: Piece, time_axis: int) -> list[tuple[Span, str]]:
    """Return the files that hold the samples of a piece of a virtual dataset; never raise."""
    entry = piece.index[piece.sliced[time_axis]]
    span = piece.rows if time_axis == 0 else piece.columns
    if not isinstance(entry, slice) or entry.step not in (None, 1):
        return []
    found = []
    try:
        with h5py.File(piece.path, "r") as file:
            dataset = file[piece.name]
            if not dataset.is_virtual:
                return []
            properties = dataset.id.get_create_plist()
            for i in range(properties.get_virtual_count()):
                low, high = properties.get_virtual_vspace(i).get_select_bounds()
                axis = piece.sliced[time_axis]
                held = _common(Span(low[axis], high[axis] + 1), Span(entry.start, entry.stop))
                if held.size > 0 and _meets(piece.index, low, high):
                    link = properties.get_virtual_filename(i)
                    path = piece.path if link == "." else beside(piece.path, link)
                    found.append((held.shift(span.start - entry.start), path))
    except (OSError, KeyError):
        return []
    return found


def _meets(index: Index, low: Sequence[int], high: Sequence[int]) -> bool:
    """Return whether an index reaches into the box from ``low`` to ``high``, both included."""
    return all(
        entry.start <= last and entry.stop > first
        if isinstance(entry, slice)
        else first <= entry <= last
        for entry, first, last in zip(index, low, high, strict=True)
    )


def _common(one: Span, other: Span) -> Span:
    return Span(max(one.start, other.start), min(one.stop, other.stop))


def _within(entry: slice, span: Span) -> slice:
    chosen = range(entry.start, entry.stop, entry.step or 1)[span.slice]
    return slice(chosen.start, chosen.stop, chosen.step)
