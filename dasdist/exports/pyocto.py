"""Tables for PyOcto, J. Münchmeyer (2024), doi:10.26443/seismica.v3i1.1130.

``picks.csv``: station, phase, time, probability.  Times are seconds since 1970: of others PyOcto
0.2.2 makes no events, and says nothing.  ``stations.csv``: id, longitude, latitude, elevation (m),
which ``OctoAssociator.transform_stations`` projects.
"""

import pandas as pd

from dasdist.exports.channels import Places
from dasdist.exports.format import Format, Job, write_associator
from dasdist.exports.times import rounded, seconds_of

__all__ = ["PYOCTO"]


def _write(job: Job) -> None:
    def rows(table: pd.DataFrame) -> pd.DataFrame:
        columns = {
            "station": job.naming.ids(table["station"]),
            "phase": table["phase"].to_numpy(),
            "time": seconds_of(rounded(table["time"], "us")),
            "probability": table["confidence"].to_numpy(),
        }
        return pd.DataFrame(columns)

    def stations(places: Places) -> pd.DataFrame:
        columns = {
            "id": job.naming.ids(places.channel),
            "longitude": places.longitude,
            "latitude": places.latitude,
            "elevation": places.elevation,
        }
        return pd.DataFrame(columns)

    write_associator(job, rows, stations, float_format="%.6f")


PYOCTO = Format("PyOcto", 1e-6, _write, geometry=True)
