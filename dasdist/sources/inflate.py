"""Decompress chunks of HDF5 datasets outside of HDF5's lock.

Only one thread of a process at a time can be in HDF5, which decompresses in there.  Here it hands
out the chunks as they are stored; zlib and numpy work on them while other threads read::

    thread 1   | fetch | inflate ....... | fetch | inflate ....... |
    thread 2           | fetch | inflate ....... | fetch | inflate ...
"""

import zlib
from collections.abc import Sequence
from itertools import product
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

__all__ = ["can_inflate", "inflate"]

_FILTERS = ([h5py.h5z.FILTER_DEFLATE], [h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE])

_LEAST_BYTES = 2**14
"""Smallest chunk that is worth it; for smaller ones HDF5's own loop is faster."""


def can_inflate(dataset: Any, index: Sequence[Any]) -> bool:
    """Tell whether :func:`inflate` can read a selection of a dataset.

    Parameters
    ----------
    dataset : h5py.Dataset
        Stored in chunks, compressed by gzip, perhaps shuffled; no other filter.
    index : sequence of slice or int
        Slices without steps.
    """
    if dataset.is_virtual or dataset.chunks is None or dataset.dtype.kind not in "iuf":
        return False
    if h5py.h5t.py_create(dataset.dtype) != dataset.id.get_type():
        return False  # such as 12 bits in two bytes, which HDF5 converts
    if int(np.prod(dataset.chunks)) * dataset.dtype.itemsize < _LEAST_BYTES:
        return False
    if not all(isinstance(i, slice) and i.step in (None, 1) for i in index):
        return False
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    return filters in _FILTERS


def inflate(dataset: Any, index: Sequence[Any], target: NDArray[Any]) -> None:
    """Read a selection of a dataset, one chunk after the other.

    Parameters
    ----------
    dataset : h5py.Dataset
        For which `can_inflate` holds.
    index : sequence of slice
        What to read of the dataset.
    target : ndarray
        Array of the selection's shape, into which it is read.

    Raises
    ------
    OSError
        If a chunk cannot be read, or does not hold what was compressed.
    """
    shuffled = dataset.shuffle
    first = [along.start // size for along, size in zip(index, dataset.chunks, strict=True)]
    last = [-(-along.stop // size) for along, size in zip(index, dataset.chunks, strict=True)]
    for place in product(*map(range, first, last)):
        start = tuple(p * size for p, size in zip(place, dataset.chunks, strict=True))
        low = [max(s, along.start) for s, along in zip(start, index, strict=True)]
        ends = [s + size for s, size in zip(start, dataset.chunks, strict=True)]
        high = [min(end, along.stop) for end, along in zip(ends, index, strict=True)]
        chunk = _chunk(dataset, start, shuffled)
        if chunk is None:
            values = dataset[tuple(map(slice, low, high))]
        else:
            values = chunk[_box(low, high, start)]
        target[_box(low, high, [along.start for along in index])] = values


def _box(low: Sequence[int], high: Sequence[int], origin: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(a - o, b - o) for a, b, o in zip(low, high, origin, strict=True))


def _chunk(dataset: Any, start: tuple[int, ...], shuffled: bool) -> NDArray[Any] | None:
    """Return a chunk; None if it must be read through HDF5, which may find it damaged."""
    try:
        skipped, stored = dataset.id.read_direct_chunk(start)
        if skipped:
            return None
        dtype: np.dtype[Any] = dataset.dtype
        shape: tuple[int, ...] = dataset.chunks
        nbytes = int(np.prod(shape)) * dtype.itemsize
        found = zlib.decompressobj().decompress(stored, nbytes + 1)
    except (RuntimeError, OSError, zlib.error):  # never written, for example
        return None
    if len(found) != nbytes:  # HDF5 would not notice
        raise OSError(
            f"a compressed chunk of {dataset.name} holds {len(found)} bytes instead of {nbytes}"
        )
    if shuffled:  # the first bytes of all values, then the second ones, ...
        planes = np.frombuffer(found, np.uint8).reshape(dtype.itemsize, -1)
        return np.ascontiguousarray(planes.T).view(dtype).reshape(shape)
    return np.frombuffer(found, dtype).reshape(shape)
