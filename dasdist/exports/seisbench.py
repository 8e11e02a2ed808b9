"""A DAS dataset of SeisBench, so that picks become training data.

``metadata_0.parquet`` and ``records_0.hdf5`` by SeisBench's own ``DASDataWriter`` (0.12), read by
``seisbench.data.DASDataset``.  Every segment is cut into windows of one length, from its start on;
a window with picks is a record::

    segment   |---- window 0 ----|---- window 1 ----|-- rest --|
    picks          x  x x                                x
    records   ^^^^^^^^^^^^^^^^^^^^                  ^^^^^^^^^^^^

An annotation holds, for a phase, a sample for each channel, with its fraction; NaN where there is
none.  A record is read when its last pick has come: memory holds one.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dasdist.errors import InvalidInput
from dasdist.exports.format import Format, Job
from dasdist.geometry import Region, Span
from dasdist.sources import open_recording
from dasdist.sources.base import Recording, SegmentAxes

__all__ = ["SEISBENCH"]

_Window = tuple[int, int]  # number of the segment, and of the window in it


def _write(job: Job) -> None:
    try:
        from seisbench.data import DASDataWriter
    except ModuleNotFoundError as error:
        raise InvalidInput(
            'SeisBench writes its datasets itself: pip install "dasdist[seisbench]".'
        ) from error
    recording = open_recording(job.recording)
    with DASDataWriter(job.folder, chunk="0") as writer:
        for (segment, window), picks in _windows(job, recording):
            axes = recording.segments[segment]
            size = _size(axes, job.window)
            samples = Span(window * size, min((window + 1) * size, axes.time.size))
            _record(writer, recording, axes, samples, picks, job)


def _size(axes: SegmentAxes, seconds: float) -> int:
    return max(round(seconds * axes.time.sampling_rate), 1)


def _windows(job: Job, recording: Recording) -> Iterator[tuple[_Window, pd.DataFrame]]:
    """Yield windows with all their picks, which have a column ``sample`` of the segment."""
    held: dict[_Window, list[pd.DataFrame]] = defaultdict(list)
    for table in job.picks:
        found = np.zeros(len(table), dtype=bool)
        for number, axes in enumerate(recording.segments):
            inside, samples = _inside(axes, table)
            found |= inside
            mine = table[inside].assign(sample=samples[inside])
            for window, picks in mine.groupby(mine["sample"] // _size(axes, job.window)):
                held[number, int(window)].append(picks)
        if lost := int((~found).sum()):
            job.left_out["the recording has no such time or channel"] += lost
        if len(table):
            now = int(table["time"].iloc[-1].value)
            for key in [key for key in held if _end(recording, key, job.window) <= now]:
                yield key, pd.concat(held.pop(key))
    for key in sorted(held):
        yield key, pd.concat(held[key])


def _inside(axes: SegmentAxes, table: pd.DataFrame) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    channel = table["channel_index"].to_numpy()
    across = axes.recorded.distance
    first = axes.time.start.numerator // axes.time.start.denominator
    time = table["time"].to_numpy("datetime64[ns]").astype(np.int64) - first
    samples = (time - float(axes.time.start - first)) / float(axes.time.step)
    held = (channel >= across.start) & (channel < across.stop)
    return held & (samples >= 0) & (samples <= axes.time.size - 1), samples


def _end(recording: Recording, key: _Window, seconds: float) -> int:
    axes = recording.segments[key[0]].time
    after = axes.start + axes.step * (key[1] + 1) * _size(recording.segments[key[0]], seconds)
    return int(after) + 1


def _record(
    writer: Any,
    recording: Recording,
    axes: SegmentAxes,
    samples: Span,
    picks: pd.DataFrame,
    job: Job,
) -> None:
    across = axes.recorded.distance
    region = Region(
        Span(*(axes.recorded.time.start + edge for edge in (samples.start, samples.stop))), across
    )
    annotations = {}
    for phase, mine in picks.groupby("phase"):
        best = mine.sort_values("confidence").drop_duplicates("channel_index", keep="last")
        if lost := len(mine) - len(best):
            job.left_out["a better one of its phase and channel is in the same record"] += lost
        annotations[phase] = np.full(across.size, np.nan)
        annotations[phase][best["channel_index"] - across.start] = best["sample"] - samples.start
    metres = recording.channel_unit == "m"
    metadata = {
        "record_sampling_rate_hz": axes.time.sampling_rate,
        "record_channel_spacing_m": float(axes.distance.step) if metres else float("nan"),
        "record_start_time": pd.Timestamp(axes.time.value(samples.start)),
        "record_first_channel": across.start,
    }
    writer.add_record(metadata, recording.select(region).read(), annotations)


SEISBENCH = Format("SeisBench (DAS dataset)", 1e-9, _write, recording=True)
