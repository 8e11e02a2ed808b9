"""Phases for NonLinLoc, A. Lomax et al. (2000): its format NLLOC_OBS, a file an event.

A line a pick, as NonLinLoc's manual has it under "Phase file formats": station, instrument,
component, onset, phase, first motion, date, hour and minute, seconds to 0.1 ms, kind and size of
the error, coda, amplitude, period.  ``stations.in`` holds the channels as GTSRCE statements.
"""

import numpy as np
import pandas as pd

from dasdist.exports.events import of_events
from dasdist.exports.format import Format, Job

__all__ = ["NONLINLOC"]

_STEP = 100_000  # nanoseconds: seconds have four digits
_MINUTE = 60 * 10**9


def _write(job: Job) -> None:
    seen: set[int] = set()
    for table in job.picks:
        table = of_events(table, job)
        for event, picks in table.groupby("event"):
            # an event's picks may come in several tables
            with open(job.folder / f"event-{event:09d}.obs", "a", encoding="ascii") as file:
                file.writelines(_lines(picks, job))
        seen.update(table["channel_index"].tolist())
    places = job.places(sorted(seen))
    rows = zip(
        job.naming.stations(places.channel),
        *(places.latitude, places.longitude, places.elevation),
        strict=True,
    )
    with open(job.folder / "stations.in", "w", encoding="ascii") as file:
        for station, latitude, longitude, elevation in rows:
            where = f"{latitude:.7f} {longitude:.7f} 0.0 {elevation / 1e3:.4f}"
            file.write(f"GTSRCE {station} LATLON {where}\n")


def _lines(picks: pd.DataFrame, job: Job) -> list[str]:
    whole = picks["time"].to_numpy("datetime64[ns]").astype(np.int64)
    whole = (whole + _STEP // 2) // _STEP * _STEP  # before minutes are cut off, or 60.0000 comes
    minutes = np.datetime_as_string((whole // _MINUTE).astype("datetime64[m]"))
    seconds = whole % _MINUTE / 1e9
    names = job.naming.stations(picks["channel_index"])
    return [
        f"{name:<6} ?    ?    ? {phase:<6} ? {minute[:10].replace('-', '')} "
        f"{minute[11:].replace(':', '')} {second:7.4f} GAU {job.pick_error:9.2e} "
        "-1.00e+00 -1.00e+00 -1.00e+00\n"
        for name, phase, minute, second in zip(
            names, picks["phase"], minutes.tolist(), seconds.tolist(), strict=True
        )
    ]


NONLINLOC = Format("NonLinLoc (NLLOC_OBS)", 1e-4, _write, geometry=True, events=True)
