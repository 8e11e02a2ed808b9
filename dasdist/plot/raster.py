"""Reduce recordings to the pixels of a picture: the largest sample of each, or their power."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dasdist.errors import InvalidArgument
from dasdist.geometry import Axis
from dasdist.plot.cells import Bins, Cells, bins, cells_over
from dasdist.plot.filters import filters_for
from dasdist.plot.reading import samples_of, stretches
from dasdist.sources.base import Recording, SegmentAxes

__all__ = ["MOST_BYTES", "PIXELS", "Raster", "Value", "rasterise"]

PIXELS = (1600, 800)
"""Most pixels of a picture along time and along the fibre."""

MOST_BYTES = 2_000_000_000
"""Most bytes of samples that a picture reads."""

Value = Literal["samples", "rms"]


@dataclass(frozen=True, slots=True, eq=False)
class Raster:
    """A recording as a picture.

    Parameters
    ----------
    values : ndarray of float64, shape (along the fibre, along time)
        NaN where nothing was recorded or could be read.
    time, distance : Cells
        Its pixels.
    name, unit : str
        What the positions of channels are called, and their unit.
    per_pixel : tuple of int
        Most samples and channels of a pixel.
    share : float
        Share of the samples that were read.
    """

    values: NDArray[np.float64]
    time: Cells
    distance: Cells
    name: str
    unit: str
    per_pixel: tuple[int, int]
    share: float = 1.0


def rasterise(
    recordings: Sequence[Recording],
    *,
    value: Value = "samples",
    band: tuple[float | None, float | None] | None = None,
    fk: Mapping[str, Any] | None = None,
    pixels: tuple[int, int] = PIXELS,
    most_bytes: float = MOST_BYTES,
) -> Raster:
    """Reduce recordings to the pixels of a picture, reading them a stretch at a time.

    Parameters
    ----------
    recordings : sequence of Recording
        At least one; of the same fibre.
    value : {"samples", "rms"}
        What a pixel shows: that of its samples which is largest either way, with its sign; or the
        root of their mean square.
    band, fk
        See :func:`dasdist.plot.waterfall`.
    pixels : tuple of int
        Most pixels along time and along the fibre.
    most_bytes : float
        Most bytes to read: of more, only the first samples of each pixel are read.

    Returns
    -------
    Raster

    Raises
    ------
    InvalidArgument
        If there is no such value, or the filters cannot be made.
    """
    if value not in ("samples", "rms"):
        raise InvalidArgument(f"value is {value!r}; use 'samples' or 'rms'.")
    pairs = [(recording, segment) for recording in recordings for segment in recording.segments]
    time = cells_over([segment.time for _, segment in pairs], pixels[0])
    distance = cells_over([segment.distance for _, segment in pairs], pixels[1])
    sizes = [s.time.size * s.distance.size * r.dtype.itemsize for r, s in pairs]
    share = min(1.0, most_bytes / sum(sizes))
    shape = (time.count, distance.count)
    picture: _Largest | _Power = _Largest(shape) if value == "samples" else _Power(shape)
    most: tuple[int, ...] = (1, 1)
    for recording, segment in pairs:
        filters = filters_for(segment, recording.channel_unit, band, fk)
        columns = bins(_forwards(segment.distance), distance)
        for samples in stretches(recording, segment, time, share):
            rows = bins(segment.time.slice(samples.start, samples.stop), time)
            if rows.starts.size and columns.starts.size:
                values = samples_of(recording, segment, samples, filters)
                picture.add(rows, columns, _turned(values, segment))
        per = (bins(segment.time, time), columns)
        held = (int((found.stops - found.starts).max(initial=1)) for found in per)
        most = tuple(map(max, most, held))
    first = recordings[0]
    values = picture.values().T
    return Raster(
        values, time, distance, first.channel_name, first.channel_unit,
        (most[0], most[1]), share,
    )  # fmt: skip


class _Largest:
    """Of the samples in each cell, the one that is largest either way."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.high, self.low = np.full(shape, np.nan), np.full(shape, np.nan)

    def add(self, rows: Bins, columns: Bins, values: NDArray[Any]) -> None:
        place = (rows.cells, columns.cells)
        for held, reduce in ((self.high, np.fmax), (self.low, np.fmin)):
            found = _reduced(values, rows, columns, reduce)
            held[place] = reduce(held[place], found)

    def values(self) -> NDArray[np.float64]:
        return np.where(self.high >= -self.low, self.high, self.low)


class _Power:
    """Of the samples in each cell, the root of the mean square."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.sums, self.counts = np.zeros(shape), np.zeros(shape)

    def add(self, rows: Bins, columns: Bins, values: NDArray[Any]) -> None:
        place, held = (rows.cells, columns.cells), np.isfinite(values)
        squares = np.where(held, values, 0.0).astype(np.float64) ** 2
        self.sums[place] += _reduced(squares, rows, columns, np.add)
        self.counts[place] += _reduced(held.astype(np.float64), rows, columns, np.add)

    def values(self) -> NDArray[np.float64]:
        empty = np.full(self.sums.shape, np.nan)
        mean = np.divide(self.sums, self.counts, out=empty, where=self.counts > 0)
        return np.asarray(np.sqrt(mean))


def _reduced(values: NDArray[Any], rows: Bins, columns: Bins, reduce: np.ufunc) -> NDArray[Any]:
    """Reduce samples x channels to rows x columns of cells."""
    for axis, found in ((0, rows), (1, columns)):
        first, last = int(found.starts[0]), int(found.stops[-1])
        values = values[first:last] if axis == 0 else values[:, first:last]
        values = reduce.reduceat(values, found.starts - first, axis=axis)
    return values


def _forwards(axis: Axis) -> Axis:
    """Return the same stretch with its values in rising order."""
    if axis.step > 0:
        return axis
    return axis.transform(offset=axis.size - 1, stride=-1, size=axis.size)


def _turned(values: NDArray[Any], segment: SegmentAxes) -> NDArray[Any]:
    return values if segment.distance.step > 0 else values[:, ::-1]
