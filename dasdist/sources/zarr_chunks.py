"""Find chunks of Zarr arrays that were never written: they read as the fill value, often zero.

Storage is asked only where a sample at the corner of a chunk is the fill value, and by reading that
sample once more with another fill value: a chunk that is there does not change.  So it does not
matter how chunks are stored, in shards or not.  (Zarr leaves out what is nothing but fill value, by
default: such a chunk cannot be told from one that was never written, and is none either.)
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.sources.unwritten import starts_of
from dasdist.sources.views import View

__all__ = ["lack_of_zarr", "unwritten_in_zarr", "zarr_array"]


def zarr_array(view: View) -> Any:
    """Return the Zarr array behind a view; None if it is none of numbers, or filled with NaN."""
    array: Any = getattr(view.backend, "_array", None)
    if array is None or not hasattr(array, "store_path") or np.dtype(array.dtype).kind not in "iuf":
        return None
    return None if np.isnan(_fill(array)) else array


def unwritten_in_zarr(view: View, array: Any, values: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Return which of the values shown, rows x columns, are in no chunk; None if all are."""
    shown = view.shown(_fill(array), array.dtype)
    numbers = [view.places[axis] // array.chunks[axis] for axis in view.axes]
    starts = [starts_of(each) for each in numbers]
    suspicious = np.argwhere(values[np.ix_(*starts)] == shown)  # NaN is found as such
    if not len(suspicious):
        return None
    other = _with_another_fill(array)
    mask = np.zeros(values.shape, dtype=np.bool_)
    for corner in suspicious.tolist():
        at = [int(start[i]) for start, i in zip(starts, corner, strict=True)]
        rows, columns = (n == n[i] for n, i in zip(numbers, at, strict=True))
        if not (values[np.ix_(rows, columns)] == shown).all():
            continue
        if np.asarray(other[_place(view, at)]) != _fill(array):
            mask[np.ix_(rows, columns)] = True
    return mask if mask.any() else None


def _fill(array: Any) -> Any:
    """Return what is read where nothing was written; Zarr's version 2 may leave that open."""
    return np.dtype(array.dtype).type(0) if array.fill_value is None else array.fill_value


def lack_of_zarr(array: Any) -> str:
    """Say how much of an array may never have been written; nothing if all of it was."""
    gone = array.nchunks - array.nchunks_initialized
    if gone:
        return f"{gone} of {array.nchunks} chunks"
    return "" if array.shards is None else "chunks within shards"


def _place(view: View, at: Sequence[int]) -> tuple[int, ...]:
    """Return where in the array a value shown is."""
    place = [0 if isinstance(entry, np.ndarray) else int(entry) for entry in view.places]
    for axis, i in zip(view.axes, at, strict=True):
        place[axis] = int(view.places[axis][i])
    return tuple(place)


def _with_another_fill(array: Any) -> Any:
    """Return the same array with another fill value, of which nothing is stored."""
    import zarr

    other = np.dtype(array.dtype).type(1 if _fill(array) != 1 else 0)
    metadata = replace(array.metadata, fill_value=other)
    return zarr.Array(zarr.AsyncArray(metadata, array.store_path))
