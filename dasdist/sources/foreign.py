"""Find what was never written in files that other engines of xdas read.

Where their samples lie in a file is known to the engine alone.  But that a file was not written to
its end shows, and then what reads as nothing but the fill value is what was not written.
"""

from collections.abc import Callable, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from dasdist.geometry import Span
from dasdist.sources.absence import NEVER_WRITTEN, Absence, Reading
from dasdist.sources.unwritten import lacks_chunks

__all__ = ["foreign"]

_LEAST = 2
"""Zeros in a row on all channels that look like storage that was never written."""


def foreign(values: NDArray[Any], files: Callable[[], Sequence[tuple[Span, str]]]) -> Reading:
    """Return what an engine read, and which samples of it were never written.

    Parameters
    ----------
    values : ndarray, shape (samples, channels)
        The samples.
    files : callable
        Returns which samples lie in which file.
    """
    blank = values[:, 0] == 0  # HDF5's own fill value, which no known format changes
    if np.count_nonzero(blank) < _LEAST:
        return Reading(values, own=True)
    blank[blank] = (values[blank] == 0).all(axis=1)
    if np.count_nonzero(blank) < _LEAST:
        return Reading(values, own=True)
    absences: list[Absence] = []
    for span, path in files():
        if blank[span.slice].any() and _is_unfinished(path, values.dtype):
            mask = np.zeros(values.shape, dtype=np.bool_)
            mask[span.slice] = blank[span.slice, np.newaxis]
            absences += Absence.of_mask(mask, NEVER_WRITTEN, path)
    return Reading(values, absences, own=True)


def _is_unfinished(path: str, dtype: np.dtype[Any]) -> bool:
    """Return whether a dataset that may hold the samples lacks storage."""
    lacking: list[str] = []

    def look(name: str, entry: Any) -> None:
        if isinstance(entry, h5py.Dataset) and entry.ndim >= 2 and entry.dtype == dtype:
            lacking.extend([name] * lacks_chunks(entry))

    try:
        with h5py.File(path, "r") as file:
            file.visititems(look)
    except OSError:
        return False
    return bool(lacking)
