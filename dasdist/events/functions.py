"""``dasdist.events.detect``: from picks to events, in memory or file by file."""

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dasdist.callbacks.pick_stream import PickSource, open_picks
from dasdist.errors import InvalidInput
from dasdist.events.found import P, S
from dasdist.events.options import EventOptions
from dasdist.events.result import Events, event_table
from dasdist.events.row import EventRow
from dasdist.events.stream import Batch, decide

__all__ = ["detect", "fibre_of", "schema_with_events", "with_events"]

EVENT = pa.field("event", pa.int64())
RESIDUAL = pa.field("residual", pa.float64(), metadata={"unit": "s"})


def detect(
    picks: pd.DataFrame | str | Path, *, channels: int | None = None, **options: Any
) -> Events:
    """Find the earthquakes that picks along a fibre line up to.

    Parameters
    ----------
    picks : DataFrame or path
        Picks as `classify` returns or writes them: a table, a Parquet dataset or file, or a CSV
        file.  The columns "time", "channel_index", "phase" ("P" and "S") and "confidence" are
        needed; "distance" in metres along the fibre is used where it is there, else channels lie
        `spacing` metres apart.  Others are passed on.
    channels : int, optional
        Channels of the fibre; by default from the first to the last that has a pick.
    **options
        As of :class:`EventOptions`.

    Returns
    -------
    Events
        ``.events``, a row each, and ``.picks``, to which "event" (-1: incoherent) and "residual"
        (seconds after the event's curve) are added.

    Raises
    ------
    InvalidInput
        If an option is out of range, columns are missing, or no pick is called P or S.
    UnreadableData
        If a file is damaged.

    Notes
    -----
    An event needs P and S.  Picks of one phase that line up with their neighbours (a Hough
    transform around each) are paired across phases on each channel, and each pair names an origin
    time (Wadati 1933); where channels agree, a smooth curve is fitted to the squared travel times
    of both phases (after Green 1938) and takes the picks that lie near it.  Earthquakes whose waves
    overlap are found one after another, the clearest first.

    One straight fibre cannot tell whether an earthquake is far to its side or deep below.

    Examples
    --------
    >>> channel = np.arange(100)
    >>> travel = np.hypot(10.0 * channel - 300, 5000) / 5500
    >>> start = np.datetime64("2024-05-01", "ns")
    >>> seconds = np.concatenate([20 + travel, 20 + 1.73 * travel])
    >>> picks = pd.DataFrame(
    ...     {
    ...         "time": start + np.rint(seconds * 1e9).astype("timedelta64[ns]"),
    ...         "distance": np.tile(10.0 * channel, 2),
    ...         "channel_index": np.tile(channel, 2),
    ...         "phase": ["P"] * 100 + ["S"] * 100,
    ...         "confidence": 0.8,
    ...     }
    ... )
    >>> found = detect(picks)
    >>> len(found.events), found.events["time"].iloc[0].round("ms")
    (1, Timestamp('2024-05-01 00:00:20'))
    """
    chosen = EventOptions(**options)
    source = open_picks(picks)
    tables, rows = [], []
    for table, events in with_events(source, chosen, channels):
        tables.append(table)
        rows += events
    found = pa.concat_tables(tables) if tables else schema_with_events(source).empty_table()
    frame = found.to_pandas()
    if isinstance(picks, pd.DataFrame):
        frame.attrs.update(picks.attrs)
    return Events(event_table(rows), frame, chosen, fibre_of(source, channels))


def with_events(
    source: PickSource, options: EventOptions, channels: int | None = None
) -> Iterator[tuple[pa.Table, list[EventRow]]]:
    """Yield picks in the order of time with their events, and the events that begin with them.

    Holds a few minutes of picks, and what is read at a time.
    """
    fibre = fibre_of(source, channels)
    waiting: deque[pa.Table] = deque()
    names: set[str] = set()
    seen = 0

    def batches() -> Iterator[Batch]:
        nonlocal seen
        for table in source.tables():
            waiting.append(table)
            batch = _batch(table, source, options)
            seen += int(np.count_nonzero(batch.phase != _OTHER))
            names.update(pc.unique(table["phase"]).to_pylist())
            yield batch

    for decided in decide(batches(), options, fibre):
        table = _taken(waiting, decided.event.size)
        table = table.append_column(EVENT, [decided.event])
        yield table.append_column(RESIDUAL, [decided.residual]), decided.events
    if names and not seen:
        raise InvalidInput(
            f"The picks have the phases {', '.join(sorted(names))}, and events are made of P and "
            "S; rename them."
        )


def schema_with_events(source: PickSource) -> pa.Schema:
    """Return the columns of picks with their events."""
    return source.schema.append(EVENT).append(RESIDUAL)


def fibre_of(source: PickSource, channels: int | None) -> int:
    """Return the number of channels of the fibre."""
    first, last = source.channels
    if channels is not None and channels < last - first + 1:
        raise InvalidInput(
            f"channels is {channels}, and picks lie on the channels {first} to {last}; state how "
            "many the fibre has."
        )
    return channels or last - first + 1


_OTHER = 2


def _batch(table: pa.Table, source: PickSource, options: EventOptions) -> Batch:
    """Return the columns of picks that the detector looks at."""
    phase = np.full(table.num_rows, _OTHER, dtype=np.int8)
    for name, code in (("P", P), ("S", S)):
        phase[pc.equal(table["phase"], name).to_numpy()] = code
    channel = table["channel_index"].to_numpy()
    metres = table["distance"].to_numpy() if source.has_metres else channel * options.spacing
    time = table["time"].to_numpy().astype("datetime64[ns]").astype(np.int64)
    return Batch(time, metres, channel, phase, table["confidence"].to_numpy().astype(np.float64))


def _taken(waiting: deque[pa.Table], count: int) -> pa.Table:
    """Take so many rows from the first tables."""
    taken = []
    while count:
        table = waiting.popleft()
        if table.num_rows > count:
            waiting.appendleft(table.slice(count))
            table = table.slice(0, count)
        taken.append(table)
        count -= table.num_rows
    return pa.concat_tables(taken)
