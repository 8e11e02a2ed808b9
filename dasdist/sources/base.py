"""What a recording is to the rest of the house.

::

    user's array ---> Recording ---- part(region) ---> Part ---- read() ---> samples x channels
    (dims, coords,     axes of the                     travels to a          on a worker
     lazy values)      segments                        worker: a few kB

Whatever the order of the dimensions in the user's array, here samples come first, then channels.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import numpy as np

from dasdist.errors import InvalidInput
from dasdist.geometry import Axis, Region
from dasdist.sources.coordinates import Run
from dasdist.sources.part import Part, Source

__all__ = ["Recording", "SegmentAxes"]


@dataclass(frozen=True, slots=True)
class SegmentAxes:
    """A stretch of a recording with uniformly spaced samples and channels.

    Parameters
    ----------
    recorded : Region
        Where it lies in the recording.
    time, distance : Axis
        Its coordinates.
    """

    recorded: Region
    time: Axis
    distance: Axis


@dataclass(frozen=True, eq=False)
class Recording:
    """Samples and channels with their coordinates; nothing is read before a part is.

    Parameters
    ----------
    time_name, channel_name : str
        Names of the dimensions.
    shape : tuple of int
        Number of samples and channels.
    dtype : numpy.dtype
        Type of the samples, in this machine's byte order.
    segments : tuple of SegmentAxes
        All uniform stretches, time slowest, then distance; together they hold every sample once.
    chunks : tuple of int, or None
        Samples and channels of a storage chunk: reading any of it costs all of it.  None where
        storage is contiguous, in memory or unknown.
    graph : dask array, or None
        The (samples, channels) themselves, where they exist only as a dask graph.

    Examples
    --------
    >>> import numpy as np, xarray
    >>> from dasdist.sources import open_recording
    >>> time = np.datetime64("2024-01-01", "ns") + np.arange(6) * np.timedelta64(10, "ms")
    >>> values = np.arange(24.0).reshape(4, 6)
    >>> data = xarray.DataArray(values, {"distance": 5.0 * np.arange(4), "time": time})
    >>> recording = open_recording(data)
    >>> recording.shape, recording.segments[0].time.sampling_rate
    ((6, 4), 100.0)
    >>> from dasdist.geometry import Region, Span
    >>> recording.part(Region(Span(0, 2), Span(1, 4))).read().tolist()
    [[6.0, 12.0, 18.0], [7.0, 13.0, 19.0]]
    """

    time_name: str
    channel_name: str
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    segments: tuple[SegmentAxes, ...] = field(repr=False)
    chunks: tuple[int, int] | None
    graph: Any | None
    source: Source = field(repr=False)
    times: tuple[Run, ...] = field(repr=False)

    def part(self, region: Region) -> Part:
        """Return a rectangle of the recording, not yet read.

        Parameters
        ----------
        region : Region
            Its samples and channels.

        Returns
        -------
        Part
            Picklable and small: it holds no more than its own slice of the source.

        Raises
        ------
        InvalidInput
            If the region is empty or not within the recording.
        """
        time, distance = region.time, region.distance
        if not (
            0 <= time.start < time.stop <= self.shape[0]
            and 0 <= distance.start < distance.stop <= self.shape[1]
        ):
            raise InvalidInput(
                f"The {region} does not lie within the recording of {self.shape[0]} samples x "
                f"{self.shape[1]} channels; ask for a rectangle inside it that is not empty."
            )
        return Part(region, self.dtype, self.source.select(region), self._times_of(region))

    def _times_of(self, region: Region) -> tuple[Run, ...]:
        first = bisect_right(self.times, region.time.start, key=lambda run: run.span.start) - 1
        touched = takewhile(
            lambda run: run.span.start < region.time.stop,
            (self.times[i] for i in range(first, len(self.times))),
        )
        return tuple(touched)
