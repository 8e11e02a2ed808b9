"""Find what of an HDF5 dataset was never written, or links to nothing: it reads as a fill value.

Storage is looked at only where samples are the fill value at the corner of a storage chunk, which
costs ordinary data next to nothing.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from dasdist.sources.absence import NEVER_WRITTEN, Absence
from dasdist.sources.chunks import beside

__all__ = ["lacks_chunks", "starts_of", "unwritten"]

Index = Sequence[slice | int]
Bounds = tuple[Sequence[int], Sequence[int]]


def unwritten(dataset: Any, index: Index, values: NDArray[Any]) -> list[Absence]:
    """Return which values of a selection are in no storage.

    Parameters
    ----------
    dataset : h5py.Dataset
        The dataset.
    index : sequence of slice or int
        What was read of it.
    values : ndarray, of two dimensions
        What came back, as stored.
    """
    if dataset.is_virtual:
        return _unlinked(dataset, index, values)
    return Absence.of_mask(_unstored(dataset, index, values), NEVER_WRITTEN, dataset.file.filename)


def _unstored(dataset: Any, index: Index, values: NDArray[Any]) -> NDArray[np.bool_] | None:
    if dataset.chunks is None:
        # it is allocated as a whole, or not at all; what is in other files says nothing of this
        return np.ones(values.shape, dtype=np.bool_) if lacks_chunks(dataset) else None
    rows, columns = (
        np.arange(entry.start, entry.stop, entry.step or 1) // size
        for entry, size in zip(index, dataset.chunks, strict=True)
        if isinstance(entry, slice)
    )
    starts = starts_of(rows), starts_of(columns)
    suspicious = np.argwhere(_are(values[np.ix_(*starts)], dataset.fillvalue))
    if not len(suspicious) or not lacks_chunks(dataset):
        return None
    mask = np.zeros(values.shape, dtype=np.bool_)
    for i, j in suspicious.tolist():
        row, column = rows[starts[0][i]], columns[starts[1][j]]
        wanted = iter((int(row), int(column)))
        corner = tuple(
            size * (next(wanted) if isinstance(entry, slice) else entry // size)
            for entry, size in zip(index, dataset.chunks, strict=True)
        )
        if dataset.id.get_chunk_info_by_coord(corner).byte_offset is None:
            mask[np.ix_(rows == row, columns == column)] = True
    return mask


def lacks_chunks(dataset: Any) -> bool:
    """Return whether some storage of a dataset was never written."""
    if dataset.is_virtual or dataset.external or dataset.size == 0:
        return False
    if dataset.chunks is None:
        return bool(dataset.id.get_storage_size() == 0)
    parts = zip(dataset.shape, dataset.chunks, strict=True)
    return bool(dataset.id.get_num_chunks() < prod(-(-size // chunk) for size, chunk in parts))


def starts_of(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each run of equal numbers begins.

    Examples
    --------
    >>> starts_of(np.array([3, 3, 4, 4, 4, 5])).tolist()
    [0, 2, 5]
    """
    return np.concatenate([[0], np.flatnonzero(np.diff(numbers)) + 1])


def _are(values: NDArray[Any], fill: Any) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.isnan(values) if fill != fill else values == fill
    return found


# ---------------------------------------------------------------- virtual datasets


def _unlinked(dataset: Any, index: Index, values: NDArray[Any]) -> list[Absence]:
    """Return which values of a virtual dataset come from no file, or from nothing in one."""
    if not _are(values, dataset.fillvalue).any():
        return []
    box = [slice(i, i + 1) if isinstance(i, int) else _around(i) for i in index]
    steps = [
        np.arange(1 if isinstance(i, int) else len(range(i.start, i.stop, i.step or 1)))
        * (1 if isinstance(i, int) else (i.step or 1))
        for i in index
    ]
    steps = [step - min(step[0], step[-1]) for step in steps]
    shape = values.shape
    numbers, links = _of_links(dataset, box)
    numbers = numbers[np.ix_(*steps)].reshape(shape)
    found: list[Absence] = []
    for number in np.unique(numbers[numbers > 0]).tolist():
        lost = Absence.of_mask(numbers == number, NEVER_WRITTEN, dataset.file.filename)
        path = links[number]
        if path is not None and not os.path.exists(path):
            what = "cannot be read (FileNotFoundError: no such file)"
            error = FileNotFoundError(path)
            lost = [replace(absence, what=what, path=path, error=error) for absence in lost]
        elif path is not None:
            lost = [replace(absence, path=path) for absence in lost]
        found += lost
    return found


def _around(entry: slice) -> slice:
    chosen = range(entry.start, entry.stop, entry.step or 1)
    return slice(min(chosen), max(chosen) + 1)


def _of_links(
    dataset: Any, box: Sequence[slice]
) -> tuple[NDArray[np.int64], dict[int, str | None]]:
    """Return by number what fails to fill each element of a box, and the file of each number.

    0 is nothing, 1 that no link is there, others are links.
    """
    numbers = np.ones([span.stop - span.start for span in box], dtype=np.int64)
    paths: dict[int, str | None] = {1: None}
    properties = dataset.id.get_create_plist()
    for i in range(properties.get_virtual_count()):
        low, high = _bounds(properties.get_virtual_vspace(i)) or _all_of(dataset)
        common = [
            slice(max(span.start, a), min(span.stop, b + 1))
            for span, a, b in zip(box, low, high, strict=True)
        ]
        if any(part.start >= part.stop for part in common):
            continue
        here = tuple(
            slice(part.start - span.start, part.stop - span.start)
            for part, span in zip(common, box, strict=True)
        )
        link, name = properties.get_virtual_filename(i), properties.get_virtual_dsetname(i)
        path = dataset.file.filename if link == "." else beside(dataset.file.filename, link)
        source = _bounds(properties.get_virtual_srcspace(i))
        paths[i + 2] = path
        missing = _of_link(path, name, common, low, source)
        numbers[here] = np.where(missing, i + 2, 0)  # of links that overlap, the later one counts
    return numbers, paths


def _bounds(space: Any) -> Bounds | None:
    """Return the first and the last element of a selection; None if it is of all there is."""
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        return None
    first, last = space.get_select_bounds()
    return first, last


def _all_of(dataset: Any) -> Bounds:
    return (0,) * dataset.ndim, tuple(size - 1 for size in dataset.shape)


def _of_link(
    path: str,
    name: str,
    common: Sequence[slice],
    low: Sequence[int],
    source: Bounds | None,
) -> bool | NDArray[np.bool_]:
    """Return what is missing of what a link fills: all, nothing, or a mask."""
    if not os.path.exists(path):
        return True
    with h5py.File(path, "r") as file:
        if name not in file:
            return True
        linked = file[name]
        first, last = source or _all_of(linked)
        if any(end >= size for end, size in zip(last, linked.shape, strict=True)):
            return True
        if not linked.ndim == len(low) == len(first):
            return False  # links of another shape are not followed
        index = [
            slice(part.start - a + b, part.stop - a + b)
            for part, a, b in zip(common, low, first, strict=True)
        ]
        if linked.is_virtual:
            return _of_links(linked, index)[0] > 0
        if linked.ndim != 2 or not lacks_chunks(linked):
            return False
        mask = _unstored(linked, index, linked[tuple(index)])
        return False if mask is None else mask
