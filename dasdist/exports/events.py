"""Events and the picks that belong to them."""

from typing import Any

import pandas as pd

from dasdist.errors import InvalidInput
from dasdist.exports.format import Job

__all__ = ["NO_EVENT", "event_table", "of_events"]

NO_EVENT = -1
_PLACE = ("longitude", "latitude", "depth_m")


def event_table(events: Any) -> pd.DataFrame | None:
    """Return a table of events with the columns that exports use, in the order of time.

    Parameters
    ----------
    events : str, Path or pandas.DataFrame, optional
        Parquet, or a table: ``event`` (int, as in the picks), ``time`` (origin, UTC) and, where
        they are known, ``longitude``, ``latitude`` (degrees) and ``depth_m``; others are ignored.

    Raises
    ------
    InvalidInput
        If it has other columns, or an event comes twice.
    """
    if events is None:
        return None
    if not isinstance(events, pd.DataFrame):
        try:
            events = pd.read_parquet(events)
        except (OSError, ValueError) as error:
            raise InvalidInput(f"{events} holds no events that can be read: {error}.") from error
    if lacking := [name for name in ("event", "time") if name not in events]:
        raise InvalidInput(f"The events have no column {' or '.join(lacking)}.")
    if events["event"].duplicated().any():
        twice = events["event"][events["event"].duplicated()].iloc[0]
        raise InvalidInput(f"Event {twice} comes twice in the events; keep one row of it.")
    kept = events[["event", "time", *(name for name in _PLACE if name in events)]]
    time = pd.to_datetime(kept["time"], utc=True).dt.tz_localize(None).astype("datetime64[ns]")
    return kept.assign(time=time, event=kept["event"].astype("int64")).sort_values(
        ["time", "event"], ignore_index=True
    )


def of_events(table: pd.DataFrame, job: Job) -> pd.DataFrame:
    """Return the picks that belong to an event, and count the others as left out."""
    held = table["event"] != NO_EVENT
    if lost := int((~held).sum()):
        job.left_out["no event"] += lost
    return table[held]
