"""Recordings: what planning and blocks see of the user's arrays.

::

    user's array ---> Recording -- select(region) ---> Selection -- read() ---> samples x channels
    (dims, coords,     axes of the                     travels to a          on a worker
     lazy values)      segments                        worker: a few kB

Whatever the order of the dimensions in the user's array, here samples come first, then channels.
Arrays of a collection lie one after the other along the samples, each with channels of its own::

    sample    0           n0        n0 + n1
    array     |---- 0 ----|--- 1 ---|
    channels  0 .. c0     0 .. c1
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import takewhile
from typing import Any

import numpy as np

from dasdist.errors import InvalidInput
from dasdist.geometry import Axis, Region, Span
from dasdist.sources.coordinates import Run
from dasdist.sources.selection import Selection, Source

__all__ = ["Member", "Recording", "SegmentAxes"]


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


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One array of a recording.

    Parameters
    ----------
    place : Region
        Its samples and channels in the recording.
    dtype : numpy.dtype
        Type of the samples, in this machine's byte order.
    source : Source
        Where they are.
    times, distances : tuple of Run
        Its coordinates; times count the samples of the recording.
    """

    place: Region
    dtype: np.dtype[Any]
    source: Source
    times: tuple[Run, ...]
    distances: tuple[Run, ...]


@dataclass(frozen=True, eq=False)
class Recording:
    """Samples and channels with their coordinates; only selections of it are read.

    Parameters
    ----------
    time_name, channel_name : str
        Names of the dimensions.
    channel_unit : str
        Unit of the channels' positions: "m", also where the data has another unit of length; "1"
        where they only count channels; else what the data states.
    shape : tuple of int
        Number of samples of all members, and of channels of the widest.
    dtype : numpy.dtype
        Type of the samples, in this machine's byte order; of several, the one with most bytes.
    segments : tuple of SegmentAxes
        All uniform stretches, member by member, time slowest, then distance; together they hold
        every sample once.
    chunks : tuple of int, or None
        Samples and channels of a storage chunk: reading any of it costs all of it.  None where
        storage is contiguous, in memory or unknown.
    graph : dask array, or None
        The (samples, channels) themselves, where they exist only as a dask graph.
    members : tuple of Member
        The arrays, in the order of their samples.
    notes : tuple of str
        What was left out because other samples have the same time.
    unit : str
        Unit of the samples, as the data states it; "" if it does not.
    jitter : str
        How time stamps jitter and what to do, where it cuts the recording.

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
    >>> recording.select(Region(Span(0, 2), Span(1, 4))).read().tolist()
    [[6.0, 12.0, 18.0], [7.0, 13.0, 19.0]]
    """

    time_name: str
    channel_name: str
    channel_unit: str
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    segments: tuple[SegmentAxes, ...] = field(repr=False)
    chunks: tuple[int, int] | None
    graph: Any | None
    members: tuple[Member, ...] = field(repr=False)
    notes: tuple[str, ...] = ()
    unit: str = ""
    jitter: str = field(default="", repr=False)

    def select(self, region: Region) -> Selection:
        """Select samples and channels, without reading them.

        Parameters
        ----------
        region : Region
            Its samples and channels, of one member.

        Returns
        -------
        Selection
            Picklable and small: it holds no more than its own slice of the source.

        Raises
        ------
        InvalidInput
            If the region is empty or not within one member of the recording.
        """
        member = self._member_of(region.time.start)
        place = member.place
        if not (
            place.time.start <= region.time.start < region.time.stop <= place.time.stop
            and 0 <= region.distance.start < region.distance.stop <= place.distance.stop
        ):
            raise InvalidInput(
                f"Samples {region.time.start} to {region.time.stop} and channels "
                f"{region.distance.start} to {region.distance.stop} are not within one array of "
                f"the recording, which has samples {place.time.start} to {place.time.stop} and "
                f"channels 0 to {place.distance.stop} there (ends excluded). Select a range "
                "inside it that is not empty."
            )
        inside = Region(region.time.shift(-place.time.start), region.distance)
        times = tuple(_touched(member.times, region.time))
        return Selection(region, member.dtype, member.source.select(inside), times)

    def identity(self, until: int | None = None) -> str:
        """Return a hash of what determines the samples ``[0, until)``, without reading any.

        Parameters
        ----------
        until : int, optional
            End of the samples that count; all by default.  A recording that has only grown at its
            end keeps the identity that it had up to its old end.

        Returns
        -------
        str
            40 hexadecimal digits, of the types, the channels, where uniform stretches begin, and

            - of files: base name, size, time of modification and samples of each, as an index of
              the archive states them, else as the file system does;
            - of arrays in memory: their bytes;
            - of stores that are folders: their name;
            - of dask graphs: nothing more.  Two graphs of the same shape, type and coordinates
              cannot be told apart.

        Raises
        ------
        InvalidInput
            If there are no such samples.

        Examples
        --------
        >>> import numpy as np, xarray
        >>> from dasdist.sources import open_recording
        >>> time = np.datetime64("2024-01-01", "ns") + np.arange(6) * np.timedelta64(10, "ms")
        >>> data = xarray.DataArray(np.zeros((6, 2)), {"time": time, "distance": [0.0, 5.0]})
        >>> long, short = open_recording(data), open_recording(data[:4])
        >>> long.identity(4) == short.identity(), long.identity() == short.identity()
        (True, False)
        """
        end = self.shape[0] if until is None else until
        if not 0 < end <= self.shape[0]:
            raise InvalidInput(
                f"until is {until}; use a number of samples from 1 to {self.shape[0]}."
            )
        digest = blake2b(digest_size=20)
        for member in self.members:
            if member.place.time.start < end:
                for fact in _facts(member, end):
                    digest.update(len(fact).to_bytes(8))
                    digest.update(fact)
        return digest.hexdigest()

    def _member_of(self, sample: int) -> Member:
        starts = [member.place.time.start for member in self.members]
        return self.members[max(bisect_right(starts, sample) - 1, 0)]


def _facts(member: Member, end: int) -> Iterator[bytes]:
    """Yield what determines the samples of a member up to a sample of the recording."""
    place = member.place
    stop = min(end, place.time.stop)
    yield repr((place.time.start, stop, place.distance.stop, member.dtype.str)).encode()
    for run in (*_touched(member.times, Span(place.time.start, stop)), *member.distances):
        first, last = run.span.start, run.span.stop
        if run.axis.is_time:
            last = min(last, stop)
        # a fitted step changes in its last digits when samples follow
        yield repr((first, last, str(run.axis.value(0)), f"{float(run.axis.step):.6g}")).encode()
    samples = Span(0, stop - place.time.start)
    yield from member.source.select(Region(samples, place.distance)).identity()


def _touched(runs: tuple[Run, ...], samples: Span) -> Iterator[Run]:
    first = bisect_right(runs, samples.start, key=lambda run: run.span.start) - 1
    rest = (runs[i] for i in range(max(first, 0), len(runs)))
    return takewhile(lambda run: run.span.start < samples.stop, rest)
