"""Read what a picture shows, a stretch at a time, and no more than one waits for."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.geometry import Region, Span
from dasdist.plot.cells import Cells, bins
from dasdist.plot.filters import Filters
from dasdist.sources.base import Recording, SegmentAxes

__all__ = ["samples_of", "stretches"]

_AT_ONCE = 8_000_000  # samples that are held and filtered at once


def stretches(
    recording: Recording, segment: SegmentAxes, cells: Cells, share: float
) -> Iterator[Span]:
    """Yield samples of a segment, counted from its first, to read one after the other.

    They end where storage chunks do, so that each is read once.
    """
    size = segment.time.size
    if share < 1:
        found = bins(segment.time, cells)
        for start, stop in zip(found.starts.tolist(), found.stops.tolist(), strict=True):
            yield Span(start, start + max(1, int((stop - start) * share)))
        return
    rows = max(1, _AT_ONCE // segment.distance.size)
    chunk = recording.chunks[0] if recording.chunks else 1
    rows = max(chunk, rows // chunk * chunk)
    first = segment.recorded.time.start
    inner = range(first // rows * rows + rows - first, size, rows)
    for start, stop in pairwise((0, *inner, size)):
        yield Span(start, stop)


def samples_of(
    recording: Recording, segment: SegmentAxes, samples: Span, filters: Filters
) -> NDArray[Any]:
    """Read and filter samples of a segment.

    Returns
    -------
    ndarray of floats, shape (samples, channels)
        NaN where samples are missing.
    """
    whole, halo = segment.time.size, filters.halo
    wide = Span(max(0, samples.start - halo), min(whole, samples.stop + halo))
    region = Region(wide.shift(segment.recorded.time.start), segment.recorded.distance)
    values, missing = _read(recording, region)
    if filters.sections is not None or filters.fk is not None:
        if missing is not None:
            values = np.where(missing, _means(values, missing), values)
        values = filters(values)
    if missing is not None:
        values = np.where(missing, np.nan, values)
    kept: NDArray[Any] = values[samples.start - wide.start : samples.stop - wide.start]
    return kept


def _read(recording: Recording, region: Region) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Return samples as floats that hold them, and which are missing, if any."""
    if recording.graph is not None:
        part = recording.graph[region.time.slice, region.distance.slice]
        values = _as_floats(np.asarray(part.compute()))
        missing = ~np.isfinite(values)
        return values, missing if missing.any() else None
    reading = recording.select(region).reading()
    values = _as_floats(reading.values)
    if not reading.absences:
        return values, None
    missing = np.zeros(region.shape, dtype=np.bool_)
    for absence in reading.absences:
        absence.put(missing)
    return values, missing


def _means(values: NDArray[Any], missing: NDArray[np.bool_]) -> NDArray[Any]:
    """Return the mean of what each channel has; 0 of nothing."""
    sums = np.where(missing, 0, values).sum(axis=0)
    return np.asarray(sums / np.maximum(1, (~missing).sum(axis=0)), dtype=values.dtype)


def _as_floats(values: NDArray[Any]) -> NDArray[Any]:
    narrow = values.dtype.itemsize <= (4 if values.dtype.kind == "f" else 2)
    return values.astype(np.float32 if narrow else np.float64)
