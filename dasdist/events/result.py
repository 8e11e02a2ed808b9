"""Events as tables: in memory, and as Parquet with their units."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dasdist.errors import OutputExists
from dasdist.events.options import EventOptions
from dasdist.events.row import EVENT_COLUMNS, EVENT_UNITS, EventRow
from dasdist.safe_text import as_html, shown
from dasdist.storage.files import replacing
from dasdist.units import count_of

__all__ = ["Events", "check_replaceable", "event_schema", "event_table", "write_events"]

FORMAT = 1  # of files of events; dasdist_events_format in their metadata


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Events:
    """Earthquakes on a fibre, and the picks that they were found in.

    Parameters
    ----------
    events : pandas.DataFrame
        A row per event, in the order of first picks; ``events.attrs["units"]`` states units::

            event           number, as in `picks`
            time            of origin, datetime64[ns]
            vp_vs           speed of P over that of S that this time comes from
            first_distance  where P arrives first, within the channels that show the event
            first_p         when it does
            s_minus_p       seconds from P to S there
            slowness        apparent, of P along the fibre in s/m: the median of its size
            direction       of that: "forward", "backward", or "both" ways from first_distance
            channels        that show P or S; channels_p, channels_s: one of them
            share           of the fibre's channels
            first_channel, last_channel
            strength        sum of the confidences of its picks
            scatter         of its picks about its curve in seconds, as a standard deviation

    picks : pandas.DataFrame
        All picks by time, with two more columns: "event", -1 for those that are incoherent, and
        "residual", the seconds by which a pick is later than its event's curve.
    options : EventOptions
        What the detector was told.
    fibre : int
        Channels of the fibre.
    """

    events: pd.DataFrame
    picks: pd.DataFrame
    options: EventOptions
    fibre: int

    def __len__(self) -> int:
        return len(self.events)

    def __repr__(self) -> str:
        inside = int((self.picks["event"] >= 0).sum())
        picks = len(self.picks)
        return shown(
            f"{count_of(len(self), 'event')} on {count_of(self.fibre, 'channel')}: "
            f"{inside:,} of {count_of(picks, 'pick')} in them, {picks - inside:,} incoherent\n"
            f"{self.events[_SHORT].to_string(max_rows=10, index=False)}"
        )

    def _repr_html_(self) -> str:
        head = repr(self).partition("\n")[0]
        return f"<p>{as_html(head)}</p>{self.events.to_html(max_rows=10, index=False)}"

    def to_parquet(self, path: str | Path) -> None:
        """Write the table of events, with units and parameters in its metadata."""
        write_events(Path(path), self.events, self.options, self.fibre)


_SHORT = ["event", "time", "s_minus_p", "slowness", "direction", "channels", "share", "strength"]


def event_table(rows: Iterable[EventRow]) -> pd.DataFrame:
    """Return events as a table; of none, its columns."""
    rows = list(rows)
    columns = {name: [row[name] for row in rows] for name in EVENT_COLUMNS}
    kinds = {name: kind for name, kind in EVENT_COLUMNS.items() if kind != "str"}
    frame = pd.DataFrame(
        {
            name: np.array(values, dtype=kinds[name])
            if name in kinds
            else pd.Series(values, dtype=str)
            for name, values in columns.items()
        }
    )
    frame.attrs["units"] = dict(EVENT_UNITS)
    return frame


def event_schema(options: EventOptions, fibre: int) -> pa.Schema:
    """Return the schema of files of events: units by column, parameters in the metadata."""
    kinds = {"datetime64[ns]": pa.timestamp("ns"), "str": pa.string(), "float64": pa.float64()}
    kinds["int64"] = pa.int64()
    fields = [
        pa.field(
            name, kinds[kind], metadata={"unit": EVENT_UNITS[name]} if name in EVENT_UNITS else None
        )
        for name, kind in EVENT_COLUMNS.items()
    ]
    told = {"dasdist_events_format": str(FORMAT), "channels": str(fibre)}
    return pa.schema(fields, metadata={**told, "options": json.dumps(options.to_dict())})


def check_replaceable(path: Path) -> None:
    """Refuse a path that holds something else than events.

    Raises
    ------
    OutputExists
    """
    if not path.exists():
        return
    try:
        ours = b"dasdist_events_format" in (pq.read_schema(path).metadata or {})
    except (OSError, pa.ArrowException):
        ours = False
    if not ours:
        raise OutputExists(
            f"{path} holds something else than events; choose another path, or move it away."
        )


def write_events(path: Path, events: pd.DataFrame, options: EventOptions, fibre: int) -> None:
    """Write events to a Parquet file, whole or not at all.

    Raises
    ------
    OutputUnwritable
        If that is not possible.
    """
    schema = event_schema(options, fibre)
    columns = [pa.array(events[item.name], item.type) for item in schema]
    with replacing(path) as aside:
        pq.write_table(
            pa.Table.from_arrays(columns, schema=schema),
            aside,
            compression="zstd",
            write_page_checksum=True,
        )
