"""Catalogues through ObsPy: QuakeML 1.2, and SeisComP's SCML 0.12 that ObsPy makes of it.

Events with their picks, and with an origin where its longitude and latitude are known: without
these QuakeML has no origin, and its time stands in a comment; SCML leaves such events out.
Identifiers are made of the numbers of events and of what a pick is, so that the same export gives
the same ones.
"""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from dasdist.errors import InvalidInput
from dasdist.exports.events import of_events
from dasdist.exports.format import Format, Job
from dasdist.exports.naming import CHANNEL
from dasdist.exports.times import rounded

__all__ = ["LIMIT", "QUAKEML", "SCML"]

LIMIT = 10_000
"""Events and picks of a catalogue: ObsPy takes 2 s for so many, and much memory for more."""
_ID = "smi:local/dasdist"


def _write(kind: str, job: Job) -> None:
    from obspy.core.event import Catalog, ResourceIdentifier

    picks = _gathered(job)
    events = _events(job, picks)
    if kind == "SCML":
        events = _placed(events, picks, job)
    found = [_event(job, row, picks[picks["event"] == row.event]) for row in events.itertuples()]
    catalogue = Catalog(found, resource_id=ResourceIdentifier(f"{_ID}/catalogue"))
    catalogue.write(str(job.folder / "events.xml"), format=kind)


def _gathered(job: Job) -> pd.DataFrame:
    """Return the picks of events; not one more than a catalogue takes."""
    tables, size = [], 0
    for table in job.picks:
        tables.append(of_events(table, job))
        size += len(tables[-1])
        if size > LIMIT:
            raise InvalidInput(
                f"A catalogue of ObsPy takes {LIMIT:,} picks, and these events have more: thin "
                "them (--every 10, --best-of 500), or export the picks of a shorter time."
            )
    return pd.concat(tables, ignore_index=True)


def _events(job: Job, picks: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each event that has picks, with what is known of it."""
    held = pd.DataFrame({"event": np.unique(picks["event"]).astype("int64")})
    if job.events is not None:
        held = held.merge(job.events, on="event", how="left")
    return held.reindex(columns=["event", "time", "longitude", "latitude", "depth_m"])


def _placed(events: pd.DataFrame, picks: pd.DataFrame, job: Job) -> pd.DataFrame:
    """Return the events that have an origin: in SCML that alone links an event to its picks."""
    held = events[["time", "longitude", "latitude"]].notna().all(axis=1)
    if lost := int((~picks["event"].isin(events["event"][held])).sum()):
        job.left_out["their event has no longitude and latitude, and SCML needs them"] += lost
    return events[held]


def _event(job: Job, row: Any, picks: pd.DataFrame) -> Any:
    from obspy.core.event import Comment, Event, ResourceIdentifier

    name = f"{_ID}/event/{row.event}"
    event = Event(resource_id=ResourceIdentifier(name), force_resource_id=False)
    event.picks = _picks(job, picks)
    if pd.isna(row.time):
        return event
    if pd.isna(row.longitude) or pd.isna(row.latitude):
        text = f"origin time {_utc(row.time)}, place unknown"
        event.comments = [Comment(text=text, resource_id=ResourceIdentifier(f"{name}/comment"))]
        return event
    event.origins = [_origin(name, row, event.picks)]
    event.preferred_origin_id = event.origins[0].resource_id
    return event


def _origin(name: str, row: Any, picks: list[Any]) -> Any:
    from obspy.core.event import Arrival, Origin, ResourceIdentifier

    return Origin(
        resource_id=ResourceIdentifier(f"{name}/origin"),
        time=_utc(row.time),
        longitude=float(row.longitude),
        latitude=float(row.latitude),
        depth=None if pd.isna(row.depth_m) else float(row.depth_m),
        evaluation_mode="automatic",
        arrivals=[
            Arrival(
                resource_id=ResourceIdentifier(f"{pick.resource_id.id}/arrival"),
                pick_id=pick.resource_id,
                phase=pick.phase_hint,
            )
            for pick in picks
        ],
    )


def _picks(job: Job, picks: pd.DataFrame) -> list[Any]:
    from obspy.core.event import Comment, Pick, ResourceIdentifier, WaveformStreamID

    found = []
    for row in picks.itertuples():
        name = f"{_ID}/pick/{row.channel_index}/{row.phase}/{row.time.value}"
        station = job.naming.station(row.channel_index)
        confidence = Comment(
            text=f"confidence {row.confidence:.4f}",
            resource_id=ResourceIdentifier(f"{name}/comment"),
        )
        pick = Pick(
            resource_id=ResourceIdentifier(name),
            time=_utc(row.time),
            waveform_id=WaveformStreamID(job.naming.network, station, "", CHANNEL),
            phase_hint=row.phase,
            evaluation_mode="automatic",
            comments=[confidence],
        )
        found.append(pick)
    return found


def _utc(time: Any) -> Any:
    from obspy import UTCDateTime

    (exact,) = rounded(np.array([time.value], "datetime64[ns]"), "us").astype(np.int64).tolist()
    return UTCDateTime(ns=exact * 1000)


QUAKEML = Format(
    "ObsPy and catalogues (QuakeML 1.2)", 1e-6, partial(_write, "QUAKEML"), events=True
)
SCML = Format("SeisComP (SCML 0.12)", 1e-6, partial(_write, "SCML"), events=True)
