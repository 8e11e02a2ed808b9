"""Picks as PhaseNet-DAS writes them, W. Zhu et al. (2023), doi:10.1038/s41467-023-43355-3.

Columns channel_index, phase_index, phase_time (UTC, milliseconds), phase_score and phase_type, as
``predict.py`` of AI4EPS/EQNet and of phasenet 0.2.5 writes them to CSV; its training reads the same
columns from CSV or Parquet.  `phase_index` counts the samples of the recording that was picked.
"""

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dasdist.errors import InvalidInput
from dasdist.exports.format import Format, Job, csv_file
from dasdist.exports.times import texts

__all__ = ["CSV", "PARQUET"]

_SCHEMA = pa.schema(
    [
        ("channel_index", pa.int64()),
        ("phase_index", pa.int64()),
        ("phase_time", pa.string()),
        ("phase_score", pa.float32()),
        ("phase_type", pa.string()),
    ]
)


def _rows(table: pd.DataFrame) -> pd.DataFrame:
    if "sample_index" not in table:
        raise InvalidInput(
            "PhaseNet-DAS's phase_index is the number of a sample, and these picks have no column "
            "sample_index; export picks as dasdist writes them."
        )
    columns = {
        "channel_index": table["channel_index"].to_numpy(),
        "phase_index": table["sample_index"].to_numpy(),
        "phase_time": texts(table["time"], "ms"),
        "phase_score": table["confidence"].to_numpy(),
        "phase_type": table["phase"].to_numpy(),
    }
    return pd.DataFrame(columns)


def _write_csv(job: Job) -> None:
    with csv_file(job.folder / "picks.csv") as write:
        for table in job.picks:
            write(_rows(table))


def _write_parquet(job: Job) -> None:
    with pq.ParquetWriter(job.folder / "picks.parquet", _SCHEMA, compression="zstd") as file:
        for table in job.picks:
            rows = _rows(table)
            file.write_table(pa.Table.from_pandas(rows, _SCHEMA, preserve_index=False))


CSV = Format("PhaseNet-DAS (CSV)", 1e-3, _write_csv)
PARQUET = Format("PhaseNet-DAS (Parquet)", 1e-3, _write_parquet)
