"""Find chunks of Zarr arrays that were never written: they read as the fill value, often zero.

Storage is asked only where a sample at the corner of a chunk is the fill value, and by reading that
sample once more with another fill value: a chunk that is there does not change.  So it does not
matter how chunks are stored, in shards or not.  (Zarr leaves out what is nothing but fill value, by
default: such a chunk cannot be told from one that was never written, and is none either.)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.sources.unwritten import starts_of

__all__ = ["ZarrView", "may_lack_chunks", "zarr_view"]


@dataclass(frozen=True, slots=True, eq=False)
class ZarrView:
    """What xarray shows of a Zarr array.

    Parameters
    ----------
    array : zarr.Array
        The array.
    places : tuple of ndarray of int or int
        Along each axis of the array, which of its elements are shown.
    axes : tuple of int
        Which of these are rows and columns of what is shown.
    decode : callable
        Turns stored numbers into the values that are shown.
    """

    array: Any
    places: tuple[Any, ...]
    axes: tuple[int, int]
    decode: Callable[[NDArray[Any]], NDArray[Any]]

    def unwritten(self, values: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Return which of the values shown, rows x columns, are in no chunk; None if all are."""
        fill = _fill(self.array)
        if fill is None or fill != fill:
            return None
        shown = self.decode(np.full((1, 1), fill, self.array.dtype))[0, 0]
        if shown != shown:
            return None  # they are NaN, and found as such
        numbers = [self.places[axis] // self.array.chunks[axis] for axis in self.axes]
        starts = [starts_of(each) for each in numbers]
        suspicious = np.argwhere(values[np.ix_(*starts)] == shown)
        if not len(suspicious):
            return None
        other = _with_another_fill(self.array, fill)
        mask = np.zeros(values.shape, dtype=np.bool_)
        for corner in suspicious.tolist():
            at = [int(start[i]) for start, i in zip(starts, corner, strict=True)]
            rows, columns = (n == n[i] for n, i in zip(numbers, at, strict=True))
            if (values[np.ix_(rows, columns)] == shown).all() and not _is_there(
                other, self._place(at), fill
            ):
                mask[np.ix_(rows, columns)] = True
        return mask if mask.any() else None

    def _place(self, at: Sequence[int]) -> tuple[int, ...]:
        """Return where in the array a value shown is."""
        place = [0 if isinstance(entry, np.ndarray) else int(entry) for entry in self.places]
        for axis, i in zip(self.axes, at, strict=True):
            place[axis] = int(self.places[axis][i])
        return tuple(place)


def zarr_view(variable: Any) -> ZarrView | None:
    """Return what a lazy variable of xarray shows of a Zarr array; None if it does not, or oddly.

    Parameters
    ----------
    variable : xarray.Variable
        Of two dimensions.
    """
    inner, functions, keys = variable._data, [], []
    while hasattr(inner, "array"):
        kind = type(inner).__name__
        if kind in ("LazilyIndexedArray", "LazilyVectorizedIndexedArray"):
            keys.append(inner.key.tuple)
        elif kind == "_ElementwiseFunctionArray":
            functions.append(inner.func)
        elif kind not in ("MemoryCachedArray", "CopyOnWriteArray"):
            return None
        inner = inner.array
    array = getattr(inner, "_array", None)
    if array is None or len(keys) != 1 or not hasattr(array, "store_path"):
        return None
    found = _places(keys[0], array.shape)
    if found is None:
        return None

    def decode(stored: NDArray[Any]) -> NDArray[Any]:
        for function in reversed(functions):
            stored = function(stored)
        return np.asarray(stored)

    return ZarrView(array, *found, decode)


def may_lack_chunks(array: Any) -> bool:
    """Return whether some chunk of a Zarr array, or perhaps one in a shard, was never written."""
    fill = _fill(array)
    if fill is None or fill != fill:
        return False
    return array.shards is not None or array.nchunks_initialized < array.nchunks


def _places(
    key: tuple[Any, ...], shape: tuple[int, ...]
) -> tuple[tuple[Any, ...], tuple[int, int]] | None:
    """Return the elements that a key takes along each axis, and which axes are rows and columns."""
    places: list[Any] = []
    positions: dict[int, int] = {}
    for axis, (entry, size) in enumerate(zip(key, shape, strict=True)):
        if isinstance(entry, slice):
            places.append(np.arange(*entry.indices(size)))
        elif np.ndim(entry) == 0:
            places.append(int(entry))
            continue
        elif np.ndim(entry) == 1:
            places.append(np.asarray(entry))
        elif np.ndim(entry) == 2:  # of an array that was turned, or the two in one
            along_rows = bool((entry != entry[:1]).any())
            places.append(entry[:, 0] if along_rows else entry[0])
            positions[axis] = 0 if along_rows else 1
            continue
        else:
            return None
        positions[axis] = axis
    shown = list(positions)
    if len(shown) != 2:
        return None
    if positions[shown[0]] == positions[shown[1]]:  # one of them has a single element
        positions[shown[0]] = 1 - positions[shown[1]]
    first, second = sorted(shown, key=positions.__getitem__)
    return tuple(places), (first, second)


def _fill(array: Any) -> Any:
    """Return the fill value of an array of numbers; None where there is none."""
    return array.fill_value if np.dtype(array.dtype).kind in "iuf" else None


def _with_another_fill(array: Any, fill: Any) -> Any:
    """Return the same array with another fill value, of which nothing is stored."""
    import zarr

    dtype = np.dtype(array.dtype)
    other = dtype.type(1 if fill != 1 else 0)
    metadata = replace(array.metadata, fill_value=other)
    return zarr.Array(zarr.AsyncArray(metadata, array.store_path))


def _is_there(other: Any, place: tuple[int, ...], fill: Any) -> bool:
    """Return whether the chunk around an element is stored."""
    return bool(np.asarray(other[place]) == fill)
