"""Markers for Snuffler, Pyrocko's viewer of traces: a marker file of version 0.2.

Written without Pyrocko, which wants numpy below 2.  A line a pick: day, time, kind (its colour),
trace, event (its hash, day and time), phase, polarity, and whether it is automatic.
"""

import numpy as np
import pandas as pd

from dasdist.exports.format import Format, Job
from dasdist.exports.times import texts

__all__ = ["SNUFFLER"]

_KINDS = {"P": 1, "S": 2}


def _write(job: Job) -> None:
    with open(job.folder / "picks.markers", "w", encoding="utf-8") as file:
        file.write("# Snuffler Markers File Version 0.2\n")
        origins = {}
        if job.events is not None:
            when = texts(job.events["time"], "us")
            origins = dict(zip(job.events["event"].tolist(), when, strict=True))
            rows = job.events.reindex(columns=["longitude", "latitude", "depth_m"]).to_numpy(float)
            for (event, time), (lon, lat, depth) in zip(origins.items(), rows, strict=True):
                where = (0.0, 0.0) if np.isnan(lon + lat) else (lat, lon)
                deep = "None" if np.isnan(depth) else f"{depth:.1f}"
                file.write(
                    f"event: {time[:10]} {time[11:]} 0 {_hash(event)} {where[0]:.7f} "
                    f"{where[1]:.7f} {deep} None None event-{event} None\n"
                )
        for table in job.picks:
            file.writelines(_lines(table, job, origins))


def _hash(event: int) -> str:
    return f"dasdist-{event:d}"


def _lines(table: pd.DataFrame, job: Job, origins: dict[int, str]) -> list[str]:
    belongs = table["event"].tolist() if "event" in table else [-1] * len(table)
    lines = []
    columns = (texts(table["time"], "us"), job.naming.full(table["channel_index"]), table["phase"])
    for time, trace, phase, event in zip(*columns, belongs, strict=True):
        origin = origins.get(event)
        of = f"{_hash(event)} {origin[:10]} {origin[11:]}" if origin else "None None None"
        kind = _KINDS.get(phase.upper(), 0)
        lines.append(f"phase: {time[:10]} {time[11:]} {kind} {trace} {of} {phase} None True\n")
    return lines


SNUFFLER = Format("Snuffler (Pyrocko)", 1e-6, _write)
