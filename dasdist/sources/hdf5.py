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
from dasdist.sources.absence import Absence, Reading
from dasdist.sources.chunks import beside, chunk_of
from dasdist.sources.declared import declared_by
from dasdist.sources.inflate import can_inflate, inflate
from dasdist.sources.selection import file_identity
from dasdist.sources.unwritten import unwritten

__all__ = ["Hdf5Source", "Index", "Piece", "box", "linked_files", "read_pieces", "turned"]

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
        return self.reading().values

    def reading(self) -> Reading:
        """Read file by file, and tell what is in no file, or declared missing in one."""
        return turned(read_pieces(self.pieces, self.shape, self.dtype), self.time_axis)

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
        steps = (entry.step or 1 for entry in piece.index if isinstance(entry, slice))
        rows, columns = (-(-chunk[i] // by) for i, by in zip(piece.sliced, steps, strict=True))
        rows, columns = min(rows, piece.rows.size), min(columns, piece.columns.size)
        return (rows, columns) if self.time_axis == 0 else (columns, rows)


def read_pieces(
    pieces: Sequence[Piece], shape: tuple[int, int], dtype: np.dtype[Any], *, exact: bool = False
) -> Reading:
    """Read pieces into one array, each straight to its place where HDF5 can do that.

    What no piece holds is missing; of pieces that overlap, the later one counts.

    Raises
    ------
    OSError, KeyError
        If a file or a dataset is missing, or cannot be read.
    ValueError
        If a dataset is of another type, where `exact` is set or its numbers are packed.
    """
    absences: list[Absence] = []
    if _stacked(pieces, shape):
        values = np.empty(shape, dtype)
    else:
        values = np.zeros(shape, dtype)
        absences += Absence.of_mask(_outside(pieces, shape), "are in no file")
    for path, of_file in groupby(pieces, key=lambda piece: piece.path):
        with h5py.File(path, "r") as file:
            for piece in of_file:
                dataset = file[piece.name]
                declared = declared_by(dataset)
                kind = declared.dtype(dataset.dtype)
                if (exact or declared.is_packed) and kind != dtype:
                    raise ValueError(f"{path} has {kind} samples, but {dtype} was expected")
                if not _holds(dataset.shape, piece.index):  # one row would be spread over all
                    raise ValueError(
                        f"{path} has a dataset of shape {dataset.shape}, too small for "
                        f"{_shown(piece.index)}"
                    )
                place = values[piece.rows.slice, piece.columns.slice]
                stored = np.empty(place.shape, dataset.dtype) if declared.is_packed else place
                _fill(dataset, piece.index, stored)
                found = unwritten(dataset, piece.index, stored)
                found += Absence.of_mask(declared.mask(stored), declared.what, path)
                absences += (a.shift(piece.rows.start, piece.columns.start) for a in found)
                if declared.is_packed:
                    place[:] = declared.unpacked(stored)
    return Reading(values, absences, own=True)


def _fill(dataset: Any, index: Index, target: NDArray[Any]) -> None:
    """Read a selection of a dataset into an array."""
    if can_inflate(dataset, index):
        inflate(dataset, index, target)
    elif target.flags.c_contiguous and dataset.dtype == target.dtype and dataset.ndim == 2:
        dataset.read_direct(target, index)
    else:
        target[:] = dataset[index]


def turned(reading: Reading, time_axis: int) -> Reading:
    """Return what was read with samples first, wherever time was."""
    return reading if time_axis == 0 else reading.turned()


def _outside(pieces: Sequence[Piece], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return what of an array no piece holds."""
    outside = np.ones(shape, dtype=np.bool_)
    for piece in pieces:
        outside[piece.rows.slice, piece.columns.slice] = False
    return outside


def _holds(shape: tuple[int, ...], index: Index) -> bool:
    last = [entry if isinstance(entry, int) else _chosen(entry)[-1] for entry in index]
    return len(index) == len(shape) and all(
        end < size for end, size in zip(last, shape, strict=True)
    )


def _shown(index: Index) -> str:
    """Write an index as one types it."""
    words = [str(i) if isinstance(i, int) else f"{i.start}:{i.stop}" + _every(i) for i in index]
    return f"[{', '.join(words)}]"


def _every(entry: slice) -> str:
    return f":{entry.step}" if entry.step not in (None, 1) else ""


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
    if not isinstance(entry, slice):
        return []
    step = entry.step or 1
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
                first, end = (-((entry.start - n) // step) for n in (low[axis], high[axis] + 1))
                held = _common(Span(first, end), Span(0, span.size))
                if held.size > 0 and _meets(piece.index, low, high):
                    link = properties.get_virtual_filename(i)
                    path = piece.path if link == "." else beside(piece.path, link)
                    found.append((held.shift(span.start), path))
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
    chosen = _chosen(entry)[span.slice]
    return slice(chosen.start, chosen[-1] + 1, chosen.step)


def _chosen(entry: slice) -> range:
    return range(entry.start, entry.stop, entry.step or 1)
