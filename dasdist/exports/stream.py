"""Picks in the order of time, a few parts in memory at once.

Parts are named by their block, and blocks of one time lie side by side along the fibre::

    block 0 | block 1 | block 2        sorted by their first pick; what is earlier than the first
    --------+---------+--------        pick of all parts to come goes out
    block 3 | block 4 | block 5
        v time
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds

from dasdist.callbacks.pick_files import CHECKED
from dasdist.errors import InvalidInput, UnreadableData

__all__ = ["Picks", "open_picks"]

_NEEDED = ("time", "channel_index", "phase", "confidence")
_KNOWN = (*_NEEDED, "distance", "sample_index", "amplitude", "event", "run")
_KINDS = {
    "time": "datetime64[ns]",
    "channel_index": "int64",
    "confidence": "float32",
    "distance": "float64",
    "sample_index": "int64",
    "event": "int64",
}
_ORDER = ["time", "channel_index", "phase"]
_ROWS = 100_000  # of a batch of picks that are in memory already


@dataclass(frozen=True, slots=True)
class Picks:
    """Picks that are read in the order of time, as often as one likes.

    Parameters
    ----------
    held : pandas.DataFrame or pyarrow.dataset.Dataset
        Where they are.
    name : str
        What to call them in messages.
    columns : tuple of str
        Which columns they have of those that exports know.
    """

    held: Any
    name: str
    columns: tuple[str, ...]

    def __iter__(self) -> Iterator[pd.DataFrame]:
        """Yield tables of picks; at least one, that may be empty."""
        if isinstance(self.held, pd.DataFrame):
            table = _ordered(_typed(self.held[list(self.columns)]))
            for start in range(0, max(len(table), 1), _ROWS):
                yield table.iloc[start : start + _ROWS].reset_index(drop=True)
            return
        yield _typed(self.held.schema.empty_table().select(list(self.columns)).to_pandas())
        try:
            yield from self._merged()
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            raise UnreadableData(
                f"{self.name} cannot be read, a part of it is damaged: {error}. Remove that part, "
                "and the command that wrote it computes its block again."
            ) from error

    def _merged(self) -> Iterator[pd.DataFrame]:
        groups = [one for part in self.held.get_fragments() for one in part.split_by_row_group()]
        begun = ((_first(group), number, group) for number, group in enumerate(groups))
        pieces = sorted((first, i, group) for first, i, group in begun if first is not None)
        held: list[pd.DataFrame] = []
        for i, (first, _, group) in enumerate(pieces):
            following = pieces[i + 1][0] if i + 1 < len(pieces) else None
            table = group.to_table(schema=self.held.schema, columns=list(self.columns))
            held.append(_typed(table.to_pandas()))
            if following is not None and following <= first:
                continue
            whole = _ordered(pd.concat(held, ignore_index=True))
            end = len(whole)
            if following is not None:
                end = int(np.searchsorted(whole["time"].to_numpy().astype(np.int64), following))
            held = [whole.iloc[end:]]
            if end:
                yield whole.iloc[:end].reset_index(drop=True)


def open_picks(picks: Any) -> Picks:
    """Open picks for reading.

    Parameters
    ----------
    picks : str, Path or pandas.DataFrame
        A dataset or a file of Parquet, or a table: at least with the columns ``time`` (UTC),
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
    [[1, 0]]
    """
    if isinstance(picks, pd.DataFrame):
        return Picks(picks, "The table", _columns(list(picks.columns), "The table"))
    path = Path(getattr(picks, "path", picks))
    if not path.exists():
        raise InvalidInput(f"There are no picks at {path}: it does not exist.")
    try:
        found = ds.dataset(path, format=CHECKED, partitioning="hive")
    except (OSError, pa.ArrowException) as error:
        raise InvalidInput(f"{path} holds no picks that can be read: {error}.") from error
    names = _columns(found.schema.names, str(path))
    if "distance" in names:
        unit = (found.schema.field("distance").metadata or {}).get(b"unit", b"m")
        names = names if unit == b"m" else tuple(name for name in names if name != "distance")
    return Picks(found, str(path), names)


def _columns(names: list[str], where: str) -> tuple[str, ...]:
    if lacking := [name for name in _NEEDED if name not in names]:
        raise InvalidInput(
            f"{where} has no column {' or '.join(lacking)}: picks have {', '.join(_NEEDED)}."
        )
    return tuple(name for name in _KNOWN if name in names)


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    time = table["time"]
    if getattr(time.dtype, "tz", None) is not None:
        table = table.assign(time=time.dt.tz_convert("UTC").dt.tz_localize(None))
    kinds = {name: kind for name, kind in _KINDS.items() if name in table}
    return table.astype({**kinds, "phase": object})


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(_ORDER, kind="stable", ignore_index=True)


def _first(group: Any) -> int | None:
    """Return when a row group begins, in nanoseconds; None if it has no picks."""
    (facts,) = group.row_groups
    if not facts.num_rows:
        return None
    told = (facts.statistics or {}).get("time", {}).get("min")
    if told is None:
        told = group.to_table(columns=["time"])["time"].to_pandas().min()
    return int(pd.Timestamp(told).value)
