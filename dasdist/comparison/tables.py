"""Read tables of picks or arrivals, whoever made them, as the same few columns."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
from numpy.typing import NDArray

from dasdist.comparison.matching import pairs_of
from dasdist.errors import InvalidInput, UnreadableData
from dasdist.units import count_of

__all__ = ["Between", "columns_of", "known_as", "nanoseconds", "paired", "spread_of"]

_NEEDED = ("time", "channel", "phase")
_OPTIONAL = ("distance", "confidence", "snr", "event")
_WANTED = (*_NEEDED, "channel_index", *_OPTIONAL)
_FORMAT = ds.ParquetFileFormat(
    read_options=ds.ParquetReadOptions(dictionary_columns=["phase"]),
    default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True),
)


Between = tuple[Any, Any] | None
"""The first time and the one after the last, each a time in UTC or None; None for all."""


def columns_of(table: Any, what: str, between: Between = None) -> pd.DataFrame:
    """Return picks or arrivals as a table of their own.

    Parameters
    ----------
    table : DataFrame, ClassifyOutput, StoredPicks, or path
        With ``time``, ``channel_index`` (or ``channel``) and ``phase``; a path is that of a Parquet
        file, of a folder of them, or of a CSV file.
    what : str
        What it is, for messages.
    between : (time, time), optional
        Which rows: from one time on and before the other.

    Returns
    -------
    DataFrame
        ``time`` (datetime64[ns], UTC), ``channel`` (int64), ``phase`` (category), and those of
        ``distance``, ``confidence``, ``snr``, ``event`` that there are; rows in their order.

    Raises
    ------
    InvalidInput
        If a column is missing, or does not hold what it is called.
    UnreadableData
        If a file is damaged.
    """
    if not isinstance(table, pd.DataFrame):
        table = getattr(table, "picks", table)  # of what classify returns
    if not isinstance(table, pd.DataFrame):
        path = Path(getattr(table, "path", table))
        what, table = known_as(path, what), _read(path)
    found = _named(table, what)
    try:
        time = pd.to_datetime(found["time"], utc=True, format="ISO8601").dt.tz_localize(None)
        columns = {
            "time": time.astype("datetime64[ns]"),
            "channel": found["channel"].astype("int64"),
            "phase": _categories(found["phase"]),
        }
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidInput(
            f"{what} has a column that is not what it is called: {error}. time holds times, "
            "channel_index whole numbers, phase names."
        ) from error
    if missing := int(columns["time"].isna().sum()):
        rows_without = count_of(missing, "row")
        raise InvalidInput(f"{what} has {rows_without} without a time. Mend or remove them.")
    others = {name: found[name] for name in _OPTIONAL if name in found}
    rows = pd.DataFrame({**columns, **others})
    start, stop = between or (None, None)
    if start is not None:
        rows = rows[rows["time"] >= pd.Timestamp(start)]
    if stop is not None:
        rows = rows[rows["time"] < pd.Timestamp(stop)]
    return rows.reset_index(drop=True)


def _categories(phases: pd.Series) -> pd.Series:
    if isinstance(phases.dtype, pd.CategoricalDtype):
        return phases.cat.rename_categories(str)
    return phases.astype(str).astype("category")


def known_as(table: Any, otherwise: str) -> str:
    """Return what to call a table: its path, if it has one."""
    path = getattr(table, "path", table)
    return str(path) if isinstance(path, str | os.PathLike) else otherwise


def _named(table: pd.DataFrame, what: str) -> pd.DataFrame:
    """Return a table in which the channel's number is called channel."""
    if "channel_index" in table:  # beside it, "channel" is a name that the recording gave it
        table = table.drop(columns="channel", errors="ignore")
        table = table.rename(columns={"channel_index": "channel"})
    lacking = [name for name in _NEEDED if name not in table]
    if lacking:
        names = " and ".join("channel_index" if name == "channel" else name for name in lacking)
        raise InvalidInput(
            f"{what} has no column {names}; its columns are {', '.join(map(str, table.columns))}. "
            "A table of picks or arrivals needs time, channel_index (or channel) and phase."
        )
    return table


def _read(path: Path) -> pd.DataFrame:
    if not path.exists():
        raise InvalidInput(
            f"There is nothing at {path}; pass picks that a run wrote, or another Parquet or CSV "
            "file of them."
        )
    try:
        if path.suffix.lower() == ".csv":
            return pd.read_csv(path)
        found = ds.dataset(path, format=_FORMAT, partitioning="hive")
        wanted = [name for name in found.schema.names if name in _WANTED]
        lacks = "channel_index" not in wanted and "channel" not in wanted
        if lacks or "time" not in wanted or "phase" not in wanted:
            return found.schema.empty_table().to_pandas()  # whose columns an error names
        return found.to_table(columns=wanted).to_pandas()
    except (OSError, ValueError, pa.ArrowException, pd.errors.ParserError) as error:
        raise UnreadableData(
            f"{path} cannot be read as a table: {error}. It should be picks that a run wrote "
            "(`dasdist verify` says what is damaged), or another Parquet or CSV file."
        ) from error


def paired(
    a: pd.DataFrame, b: pd.DataFrame, tolerance: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pair the rows of two tables one to one, as `pairs_of` does, by channel and phase."""
    phases = sorted({*a["phase"].cat.categories, *b["phase"].cat.categories})

    def side(table: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        codes = np.array([phases.index(p) for p in table["phase"].cat.categories], dtype=np.int64)
        phase = codes[table["phase"].cat.codes] if len(table) else np.empty(0, dtype=np.int64)
        group = table["channel"].to_numpy() * max(1, len(phases)) + phase
        return group, table["time"].to_numpy().astype(np.int64)

    return pairs_of(*side(a), *side(b), nanoseconds(tolerance))


def nanoseconds(tolerance: float) -> int:
    """Return a tolerance in nanoseconds; refuse what is none."""
    if not 0 <= tolerance < 1e9:
        raise InvalidInput(
            f"A tolerance of {tolerance} s pairs nothing; choose a number of seconds from 0 on, "
            "such as 0.5."
        )
    return round(tolerance * 1e9)


def spread_of(differences: NDArray[np.float64]) -> tuple[float, float]:
    """Return median and robust standard deviation, 1.4826 times the median absolute deviation.

    That factor makes it the standard deviation of errors that are normal: Rousseeuw & Croux (1993),
    Alternatives to the median absolute deviation, J. Am. Stat. Assoc. 88.

    Examples
    --------
    >>> [round(value, 3) for value in spread_of(np.array([-1.0, 0.0, 1.0]))]
    [0.0, 1.483]
    """
    if not differences.size:
        return float("nan"), float("nan")
    middle = float(np.median(differences))
    return middle, 1.4826 * float(np.median(np.abs(differences - middle)))
