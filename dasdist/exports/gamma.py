"""Tables for GaMMA, W. Zhu et al. (2022), doi:10.1029/2021JB023249: package GMMA.

``picks.csv``: id, timestamp (UTC), type (p, s), prob; ``stations.csv``: id, x(km), y(km), z(km),
which is depth, and longitude, latitude, elevation(m); read by ``gamma.utils.association``, which
needs ``pandas.read_csv(..., parse_dates=["timestamp"])`` with pandas 3 (``findings/gamma.sh``).
"""

import pandas as pd

from dasdist.exports.channels import Places
from dasdist.exports.format import Format, Job, write_associator
from dasdist.exports.projection import kilometres
from dasdist.exports.times import texts

__all__ = ["GAMMA"]


def _write(job: Job) -> None:
    def rows(table: pd.DataFrame) -> pd.DataFrame:
        columns = {
            "id": job.naming.ids(table["station"]),
            "timestamp": texts(table["time"], "us"),
            "type": table["phase"].str.lower().to_numpy(),
            "prob": table["confidence"].to_numpy(),
        }
        return pd.DataFrame(columns)

    def stations(places: Places) -> pd.DataFrame:
        x, y = kilometres(places)
        columns = {
            "id": job.naming.ids(places.channel),
            "longitude": places.longitude,
            "latitude": places.latitude,
            "elevation(m)": places.elevation,
            "x(km)": x.round(6),
            "y(km)": y.round(6),
            "z(km)": -places.elevation / 1e3,
        }
        return pd.DataFrame(columns)

    write_associator(job, rows, stations)


GAMMA = Format("GaMMA", 1e-6, _write, geometry=True)
