"""One pass over a recording: how good its channels are, hour by hour."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from distributed import Client

from dasdist.channel_quality.judge import FLAGS, judged
from dasdist.channel_quality.minutes import HourTask, Measured, measure, minutes_of, task_of
from dasdist.executors.clients import current_client, synchronous
from dasdist.geometry import Span
from dasdist.safe_text import shown
from dasdist.sources import Recording, open_recording
from dasdist.storage.files import replacing
from dasdist.units import count_of

__all__ = ["ChannelQuality", "quality"]

_VALUES = 2**25
"""Samples of a minute that are read at once: 128 MB of float32."""

_SHOWN = 20


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ChannelQuality:
    """How good the channels of a recording are.

    Parameters
    ----------
    table : DataFrame
        A row per channel and hour: ``channel`` (index in the recording), ``distance`` (in metres;
        it has the name of the recording's channel dimension if that is none), ``hour`` (its start,
        UTC), ``samples``, ``level`` (robust standard deviation, in the unit of the samples),
        ``missing`` and ``clipped`` (shares of the samples) and ``flags``: none, or some of missing,
        dead, clipped, noisy and duplicated, with spaces between.
    """

    table: pd.DataFrame

    @property
    def channels(self) -> pd.DataFrame:
        """A row per channel that has any flag: in how many of its hours it has which."""
        table = self.table
        counts = {
            flag: table["flags"].str.contains(flag).groupby(table["channel"]).sum()
            for flag in FLAGS
        }
        found = pd.DataFrame({"hours": table.groupby("channel").size(), **counts})
        return found[(found[list(FLAGS)] > 0).any(axis=1)].reset_index()

    def to_parquet(self, path: str | Path) -> None:
        """Write the table, whole or not at all; ``mask=`` takes the file."""
        with replacing(Path(path)) as aside:
            self.table.to_parquet(aside, index=False, compression="zstd")

    def to_dict(self) -> dict[str, Any]:
        """Return what is wrong as plain JSON."""
        table = self.table
        return {
            "channels": int(table["channel"].nunique()),
            "hours": int(table["hour"].nunique()),
            "flagged": [
                {name: int(value) for name, value in row.items()}
                for row in self.channels.to_dict("records")
            ],
        }

    def __repr__(self) -> str:
        table, wrong = self.table, self.channels
        counts = ", ".join(f"{int((wrong[flag] > 0).sum()):,} {flag}" for flag in FLAGS)
        lines = [
            f"{count_of(table['channel'].nunique(), 'channel')}, "
            f"{count_of(table['hour'].nunique(), 'hour')}; in any hour: {counts}"
        ]
        if len(wrong):
            lines += ["Hours in which a channel is", wrong.head(_SHOWN).to_string(index=False)]
        if len(wrong) > _SHOWN:
            lines.append(f"... and {count_of(len(wrong) - _SHOWN, 'more channel')}")
        return shown("\n".join(lines))


def quality(
    data: Any,
    *,
    client: Client | Literal[False] | None = None,
    engine: str | None = None,
    tolerance: float = 0.25,
    progress: Callable[[int, int], None] | None = None,
) -> ChannelQuality:
    """Find the channels of a recording that are dead, clipped, noisy or duplicated.

    Parameters
    ----------
    data : path of an index, xdas.DataArray or xarray.DataArray, or a collection
        As for :func:`dasdist.annotate`.
    client : distributed.Client or False, optional
        Where to compute: by default on the current client's cluster, if there is one, else in this
        process.  False computes in this process in any case.
    engine : str, optional
        As for :func:`dasdist.annotate`.
    tolerance : float
        Jitter of coordinates, in samples, that does not end a segment.
    progress : callable, optional
        Takes how many parts of the work are done, and of how many.

    Returns
    -------
    ChannelQuality
        With a row per channel and hour.

    Raises
    ------
    InvalidInput
        If the data cannot be opened.

    Notes
    -----
    Minutes are measured, as the clock cuts them, and an hour is judged by its minutes, so that the
    table does not depend on how the work is split: counts and extremes are exact, and each median
    is always of the same samples.  In an hour, a channel is

    - *missing*, if half of its samples cannot be read, are NaN or infinite, or were never written;
    - *dead*, if all samples are equal in half of its minutes;
    - *clipped*, if one sample in a thousand, and ten, are at an end of their integer type, or equal
      to the greatest or least one of the hour, where these are 16 steps of quantisation apart;
    - *noisy*, if its level is more than five times the median of the fibre's, and five robust
      standard deviations above it, by their logarithms; the level is the median over minutes of
      1.4826 times the median absolute deviation (Rousseeuw & Croux, 1993), as recorded: slow drift
      counts as noise, as it does for a model without a filter;
    - *duplicated*, if it equals the channel before it bit for bit in every minute.

    A dask graph is computed in this process.  Held at once are a minute of some channels (0.5 GB at
    most), and the table: 60 bytes a row.

    Examples
    --------
    >>> import xarray
    >>> time = np.datetime64("2025-06-01", "ns") + np.arange(6000) * np.timedelta64(10, "ms")
    >>> values = np.random.default_rng(0).normal(size=(6000, 5))
    >>> values[:, 3] = 0
    >>> data = xarray.DataArray(values, {"time": time, "distance": 10.0 * np.arange(5)})
    >>> quality(data).channels[["channel", "dead", "noisy"]].to_dict("records")
    [{'channel': 3, 'dead': 1, 'noisy': 0}]
    """
    recording = open_recording(data, engine=engine, tolerance=tolerance)
    tasks = sorted(_tasks(recording), key=lambda task: task[0])
    asked = current_client() if client is None else client or None
    with synchronous(asked if recording.graph is None else None) as found:
        measured = _counted(_measured(recording, tasks, found), len(tasks), progress)
        hours = [judged(list(of_hour)) for _, of_hour in groupby(measured, lambda one: one.hour)]
    return ChannelQuality(_with_distance(pd.concat(hours, ignore_index=True), recording))


Place = tuple[int, int, list[Span], Span]
"""Of a task: hour, number of the segment, samples of the minutes, and channels."""


def _tasks(recording: Recording) -> Iterator[Place]:
    for number, segment in enumerate(recording.segments):
        channels = segment.recorded.distance
        for hour, minutes in minutes_of(segment.time):
            longest = max(span.size for span in minutes)
            width = max(1, _VALUES // longest)
            for first in range(channels.start, channels.stop, width):
                yield hour, number, minutes, Span(first, min(first + width, channels.stop))


def _measured(
    recording: Recording, tasks: Iterable[Place], client: Client | None
) -> Iterator[Measured]:
    """Measure one after the other, or on a cluster some at a time; in their order."""

    def task(place: Place) -> HourTask:
        hour, number, minutes, channels = place
        recorded = recording.segments[number].recorded
        return task_of(hour, recorded, minutes, channels, recording.select)

    if client is None:
        yield from map(measure, map(task, tasks))
        return
    most = 2 * max(1, sum(client.nthreads().values()))
    ahead: deque[Any] = deque()
    for place in tasks:
        ahead.append(client.submit(measure, task(place), pure=False))
        if len(ahead) >= most:
            yield ahead.popleft().result()
    while ahead:
        yield ahead.popleft().result()


def _counted(
    measured: Iterable[Measured], total: int, progress: Callable[[int, int], None] | None
) -> Iterator[Measured]:
    for number, one in enumerate(measured, 1):
        if progress is not None:
            progress(number, total)
        yield one


def _with_distance(table: pd.DataFrame, recording: Recording) -> pd.DataFrame:
    """Put positions beside the numbers of channels: those of the recording's first array."""
    positions = np.full(int(table["channel"].max()) + 1, np.nan)
    for run in reversed([run for member in recording.members for run in member.distances]):
        positions[run.span.slice] = run.axis.values()[: max(0, len(positions) - run.span.start)]
    name = "distance" if recording.channel_unit == "m" else recording.channel_name
    if name not in table:
        table.insert(1, name, positions[table["channel"].to_numpy()])
    return table
