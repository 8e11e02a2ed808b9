"""Find the chunks in which HDF5 files store arrays."""

import os
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

__all__ = ["beside", "chunk_of", "storage_chunks"]


def storage_chunks(
    path: str, shape: tuple[int, int], dtype: np.dtype[Any]
) -> tuple[int, int] | None:
    """Return the chunk in which an HDF5 file stores an array.

    Which dataset it is shows by its shape: that of the array or its transpose, else one that could
    hold it, else a stack of blocks whose rows, less the same number in each, are the array's.

    Parameters
    ----------
    path : str
        The file; it is opened once.
    shape : tuple of int
        Rows and columns that the file contributes.
    dtype : numpy.dtype
        Type of the values.

    Returns
    -------
    tuple of int, or None
        Rows and columns of a chunk; None if the dataset is contiguous, if there is none, and if the
        file cannot be read or is not HDF5.
    """
    found: list[tuple[int, tuple[int, int] | None]] = []

    def look(name: str, dataset: Any) -> None:
        if isinstance(dataset, h5py.Dataset) and dataset.dtype == dtype:
            found.extend(_matches(dataset, chunk_of(dataset, path), shape))

    try:
        with h5py.File(path, "r") as file:
            file.visititems(look)
    except (OSError, KeyError, RuntimeError):
        return None
    return min(found, key=lambda match: match[0])[1] if found else None


def _matches(
    dataset: Any, chunk: tuple[int, ...] | None, shape: tuple[int, int]
) -> Iterator[tuple[int, tuple[int, int] | None]]:
    """Yield the ways in which a dataset may hold an array, with the surest numbered lowest."""
    held = dataset.shape
    if len(held) == 2:
        for transposed in (False, True):
            rows, columns = held[::-1] if transposed else held
            if rows < shape[0] or columns < shape[1]:
                continue
            way = transposed + (0 if (rows, columns) == shape else 2)
            yield way, None if chunk is None else (chunk[transposed], chunk[1 - transposed])
    elif len(held) == 3 and held[2] >= shape[1] and shape[0] % held[0] == 0:
        kept = shape[0] // held[0]  # rows of a block, without its overlap with the next
        if kept <= held[1]:
            yield 4, None if chunk is None else (chunk[0] * min(chunk[1], kept), chunk[2])


def chunk_of(dataset: Any, path: str) -> tuple[int, ...] | None:
    """Return the chunk of a dataset, or of the first one behind it."""
    if not dataset.is_virtual:
        chunk: tuple[int, ...] | None = dataset.chunks
        return chunk
    properties = dataset.id.get_create_plist()
    if properties.get_virtual_count() == 0:
        return None
    name, file = properties.get_virtual_dsetname(0), properties.get_virtual_filename(0)
    if file == ".":
        return chunk_of(dataset.file[name], path)
    try:
        with h5py.File(beside(path, file), "r") as linked:
            return chunk_of(linked[name], linked.filename)
    except (OSError, KeyError):
        return None


def beside(path: str, link: str) -> str:
    """Return the path of a linked file: HDF5 looks beside the linking file first."""
    found = os.path.join(os.path.dirname(path), link)
    return found if os.path.exists(found) else link
