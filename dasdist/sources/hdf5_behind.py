"""Find what of a netCDF 4 file, opened by xarray, was never written: it reads as a fill value."""

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from dasdist.sources.unwritten import lacks_chunks, starts_of, unwritten
from dasdist.sources.views import View

__all__ = ["lack_of_hdf5", "unwritten_in_hdf5"]


def unwritten_in_hdf5(
    view: View, encoding: Mapping[str, Any], values: NDArray[Any]
) -> NDArray[np.bool_] | None:
    """Return which of the values shown are in no storage; None if all are, or that is not known."""
    name = _name(view)
    if name is None or "source" not in encoding or not _may_be(view, encoding, values):
        return None
    try:
        with h5py.File(encoding["source"], "r") as file:
            dataset = file[name]
            if not isinstance(dataset, h5py.Dataset) or not _plain(dataset):
                return None
            return _of_dataset(view, dataset, values)
    except (OSError, KeyError):  # no HDF5; or no file, which reading it will tell
        return None


def lack_of_hdf5(view: View, encoding: Mapping[str, Any]) -> str:
    """Say how much of the dataset may never have been written; nothing if all of it was."""
    name = _name(view)
    if name is None or "source" not in encoding:
        return ""
    try:
        with h5py.File(encoding["source"], "r") as file:
            dataset = file[name]
            known = isinstance(dataset, h5py.Dataset) and _plain(dataset)
            return "some of the storage" if known and lacks_chunks(dataset) else ""
    except (OSError, KeyError):
        return ""


def _name(view: View) -> str | None:
    name = getattr(view.backend, "variable_name", None)
    group = getattr(getattr(view.backend, "datastore", None), "_group", None)
    return None if name is None else f"{group or ''}/{name}"


def _plain(dataset: Any) -> bool:
    return dataset.ndim == 2 and not dataset.is_virtual and dataset.dtype.kind in "iuf"


def _may_be(view: View, encoding: Mapping[str, Any], values: NDArray[Any]) -> bool:
    """Return whether a chunk may hold nothing but one value: a look at its corner and a neighbour.

    Which value that would be is not known before the file is opened.
    """
    chunk = encoding.get("chunksizes")
    if not chunk:
        return bool(values.size) and bool((values == values.flat[0]).all())
    starts = [starts_of(view.places[axis] // chunk[axis]) for axis in view.axes]
    next_ = [
        np.minimum(start + 1, size - 1) for start, size in zip(starts, values.shape, strict=True)
    ]
    corner, beside = values[np.ix_(*starts)], values[np.ix_(*next_)]
    return bool((corner == beside).any())


def _of_dataset(view: View, dataset: Any, values: NDArray[Any]) -> NDArray[np.bool_] | None:
    fill = dataset.fillvalue
    shown = view.shown(fill, dataset.dtype)
    if shown != shown:
        return None  # it is NaN, and found as such
    index = [_slice(view.places[axis]) for axis in (0, 1)]
    if len(view.places) != 2 or None in index:
        return None
    stored = np.where(values == shown, fill, fill + 1 if fill < 1 else fill - 1)
    turned = view.axes == (1, 0)
    found = unwritten(dataset, [i for i in index if i is not None], stored.T if turned else stored)
    mask = np.zeros(stored.T.shape if turned else stored.shape, dtype=np.bool_)
    for absence in found:
        absence.put(mask)
    if not mask.any():
        return None
    return mask.T if turned else mask


def _slice(places: NDArray[np.int64]) -> slice | None:
    """Return evenly spaced places as a slice; None if they are not."""
    step = int(places[1] - places[0]) if len(places) > 1 else 1
    if step == 0 or (np.diff(places) != step).any():
        return None
    stop = int(places[-1]) + (1 if step > 0 else -1)
    return slice(int(places[0]), stop if stop >= 0 else None, step)
