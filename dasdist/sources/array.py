"""Recordings in a format of one's own: a source of samples, and its axes."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.errors import InvalidInput
from dasdist.geometry import Region, Span
from dasdist.sources.coordinates import ties_of_values
from dasdist.sources.labelled import Coordinate, Labelled
from dasdist.sources.selection import Source
from dasdist.sources.zones import holds_times, in_utc

__all__ = ["SourceArray", "labelled_source"]


@dataclass(frozen=True, slots=True, eq=False)
class SourceArray:
    """A recording that a reader of one's own reads, block by block, wherever the block runs.

    Parameters
    ----------
    source : Source
        Reads any rectangle of samples x channels; small and picklable, see
        :class:`dasdist.sources.selection.Source`.  :func:`dasdist.testing.check_source` checks it.
    dtype : numpy.dtype
        Type of the samples.
    time : ndarray of datetime64, shape (samples,)
        Time of each sample, UTC; times that have a time zone are converted.
    distance : ndarray, shape (channels,)
        Position of each channel along the fibre, in metres.

    Raises
    ------
    InvalidInput
        If time is not datetime64, or an axis has not one dimension.

    See Also
    --------
    dasdist.register_format : lets the command line and `open_files` read files of a format.
    """

    source: Source
    dtype: Any
    time: NDArray[np.datetime64]
    distance: NDArray[Any]

    def __post_init__(self) -> None:
        if np.ndim(self.time) != 1 or np.ndim(self.distance) != 1:
            raise InvalidInput(
                f"time and distance of a SourceArray have shapes {np.shape(self.time)} and "
                f"{np.shape(self.distance)}; give one value per sample and one per channel."
            )
        times = self.time if hasattr(self.time, "tz_convert") else np.asarray(self.time)
        if times.dtype.kind != "M" and not holds_times(times):
            raise InvalidInput(f"time of a SourceArray holds {times.dtype}; give datetime64, UTC.")
        object.__setattr__(self, "time", in_utc(times, "time"))


def labelled_source(data: SourceArray) -> Labelled:
    """Return what opening asks of a :class:`SourceArray`."""
    time, distance = np.asarray(data.time), np.asarray(data.distance)
    return Labelled(
        dims=("time", "distance"),
        shape=(time.size, distance.size),
        dtype=np.dtype(data.dtype),
        coordinates={
            "time": Coordinate(time.dtype, partial(ties_of_values, time, "time")),
            # the class says that they are metres
            "distance": Coordinate(distance.dtype, partial(ties_of_values, distance, "distance")),
        },
        others={},
        source=partial(_samples_first, data.source, (time.size, distance.size)),
    )


def _samples_first(source: Source, shape: tuple[int, int], _time_axis: int) -> Source:
    return source.select(Region(Span(0, shape[0]), Span(0, shape[1])))
