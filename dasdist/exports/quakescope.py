"""Picks with the columns of QuakeScope, https://github.com/SeisSCOPED/QuakeScope.

``picks/network=XX/year=2024/month=05/picks.parquet`` as its ``ParquetPickWriter`` lays them out:
tid (network, station, location), cha (band and instrument), pha, start, peak, end (milliseconds),
conf, amp, amp_raw, rid.  A pick of a fibre has one time, which is start, peak and end; no
Wood-Anderson amplitude, which is NaN; and `amp_raw` is its column amplitude, if it has one.
"""

from contextlib import ExitStack

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dasdist.exports.format import Format, Job
from dasdist.exports.naming import CHANNEL
from dasdist.exports.times import rounded

__all__ = ["QUAKESCOPE"]

_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("tid", "cha", "pha")),
        *((name, pa.timestamp("ms")) for name in ("start", "peak", "end")),
        *((name, pa.float32()) for name in ("conf", "amp", "amp_raw")),
        ("rid", pa.string()),
    ]
)


def _rows(table: pd.DataFrame, job: Job) -> pa.Table:
    size = len(table)
    time = pa.array(rounded(table["time"], "ms"), pa.timestamp("ms"))
    nothing = np.full(size, np.nan, dtype=np.float32)
    run = table["run"].astype(str).tolist() if "run" in table else [""] * size
    return pa.Table.from_arrays(
        [
            pa.array(job.naming.ids(table["channel_index"]), pa.string()),
            pa.array([CHANNEL[:2]] * size, pa.string()),
            pa.array(table["phase"].to_numpy(), pa.string()),
            *(time, time, time),
            pa.array(table["confidence"].to_numpy(), pa.float32()),
            pa.array(nothing),
            pa.array(table["amplitude"].to_numpy(np.float32) if "amplitude" in table else nothing),
            pa.array(run, pa.string()),
        ],
        schema=_SCHEMA,
    )


def _write(job: Job) -> None:
    with ExitStack() as stack:
        month, file = None, None
        for table in job.picks:
            months = rounded(table["time"], "ms").astype("datetime64[M]")
            for each in np.unique(months):
                if each != month:  # times come in order: no month comes again
                    stack.close()
                    month, file = each, stack.enter_context(_file(job, str(each)))
                assert file is not None
                file.write_table(_rows(table[months == each], job))


def _file(job: Job, month: str) -> pq.ParquetWriter:
    year, number = month.split("-")
    folder = job.folder / "picks" / f"network={job.naming.network}" / f"year={year}"
    folder = folder / f"month={number}"
    folder.mkdir(parents=True)
    return pq.ParquetWriter(folder / "picks.parquet", _SCHEMA, compression="zstd")


QUAKESCOPE = Format("QuakeScope", 1e-3, _write)
