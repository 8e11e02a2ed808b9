"""Picks as exports take them: tables in the order of time, with the columns that formats know."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dasdist.callbacks.pick_stream import PickSource
from dasdist.callbacks.pick_stream import open_picks as open_source

__all__ = ["Picks", "open_picks"]

_KNOWN = (
    *("time", "channel_index", "phase", "confidence", "distance"),
    *("sample_index", "amplitude", "event", "run"),
)
_WHOLE = ("sample_index", "event")
_ROWS = 100_000  # of a table


@dataclass(frozen=True, slots=True)
class Picks:
    """Picks that are read in the order of time, as often as one likes.

    Parameters
    ----------
    source : PickSource
        What reads them.
    name : str
        What to call them in messages.
    columns : tuple of str
        Which columns they have of those that exports know.
    """

    source: PickSource
    name: str
    columns: tuple[str, ...]

    def __iter__(self) -> Iterator[pd.DataFrame]:
        """Yield tables of picks; at least one, that may be empty."""
        kinds = {**dict.fromkeys(_WHOLE, "int64"), "phase": object}
        kinds = {name: kind for name, kind in kinds.items() if name in self.columns}
        yield self.source.schema.empty_table().select(self.columns).to_pandas().astype(kinds)
        for table in self.source.tables():
            for start in range(0, table.num_rows, _ROWS):
                part = table.slice(start, _ROWS).select(self.columns)
                yield part.to_pandas().astype(kinds)


def open_picks(picks: Any) -> Picks:
    """Open picks for reading.

    Parameters
    ----------
    picks : str, Path or pandas.DataFrame
        A Parquet dataset or file, a CSV file, or a table: at least with the columns ``time`` (UTC),
        ``channel_index``, ``phase`` and ``confidence``.

    Raises
    ------
    InvalidInput
        If there is nothing, or other columns.

    Examples
    --------
    >>> import numpy as np
    >>> time = np.array(["2024-05-01T00:00:02", "2024-05-01T00:00:01"], "datetime64[ns]")
    >>> table = {"time": time, "channel_index": [0, 1], "phase": "P", "confidence": 0.9}
    >>> [part["channel_index"].tolist() for part in open_picks(pd.DataFrame(table))]
    [[], [1, 0]]
    """
    if isinstance(picks, pd.DataFrame):
        source, name = open_source(picks), "The table"
    else:
        path = Path(getattr(picks, "path", picks))
        source, name = open_source(path, together=0), str(path)  # no more than a time of blocks
    columns = tuple(column for column in _KNOWN if column in source.schema.names)
    if "distance" in columns:
        unit = (source.schema.field("distance").metadata or {}).get(b"unit", b"m")
        columns = tuple(column for column in columns if column != "distance" or unit == b"m")
    return Picks(source, name, columns)
