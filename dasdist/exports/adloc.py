"""Tables for ADLoc, which locates associated events: AI4EPS, package adloc 1.0.5.

``picks.csv``: station_id, phase_type, phase_time, phase_score, event_index; ``stations.csv``:
station_id, longitude, latitude, elevation_m, and x_km, y_km, z_km, which is depth; ``events.csv``,
if there are any: event_index, time, and longitude, latitude, depth_km.
"""

import pandas as pd

from dasdist.exports.channels import Places
from dasdist.exports.events import of_events
from dasdist.exports.format import Format, Job, csv_file, write_associator
from dasdist.exports.projection import kilometres
from dasdist.exports.times import texts

__all__ = ["ADLOC"]


def _write(job: Job) -> None:
    def rows(table: pd.DataFrame) -> pd.DataFrame:
        table = of_events(table, job)
        columns = {
            "station_id": job.naming.ids(table["station"]),
            "phase_type": table["phase"].to_numpy(),
            "phase_time": texts(table["time"], "us"),
            "phase_score": table["confidence"].to_numpy(),
            "event_index": table["event"].to_numpy(),
        }
        return pd.DataFrame(columns)

    def stations(places: Places) -> pd.DataFrame:
        x, y = kilometres(places)
        columns = {
            "station_id": job.naming.ids(places.channel),
            "longitude": places.longitude,
            "latitude": places.latitude,
            "elevation_m": places.elevation,
            "x_km": x.round(6),
            "y_km": y.round(6),
            "z_km": -places.elevation / 1e3,
        }
        return pd.DataFrame(columns)

    write_associator(job, rows, stations, windows=False)
    if job.events is not None:
        table = job.events.assign(time=texts(job.events["time"], "us"))
        if "depth_m" in table:
            table = table.assign(depth_km=table.pop("depth_m") / 1e3)
        with csv_file(job.folder / "events.csv") as write:
            write(table.rename(columns={"event": "event_index"}))


ADLOC = Format("ADLoc", 1e-6, _write, geometry=True, events=True)
