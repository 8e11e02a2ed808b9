"""Picks in the order of time, whatever holds them: Parquet, CSV, or a table in memory.

Row groups of Parquet state from when to when they are.  Sorted by their beginnings, each is read
when its time has come, and picks before the next beginning can go::

    |---- part 0 ----|
      |---- part 1 -----|                picks up to here have all been read
                  |---- part 2 ----|     when part 2 is next
    ------------->|
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dasdist.callbacks.picks import PICK_COLUMNS
from dasdist.errors import InvalidInput, UnreadableData

__all__ = ["PickSource", "open_picks"]

_TOGETHER = 200_000
_NEEDED = ("time", "channel_index", "phase", "confidence")
_KINDS = {"time": pa.timestamp("ns"), "channel_index": pa.int64(), "phase": pa.string()}
_KINDS |= {"confidence": pa.float32(), "distance": pa.float64()}
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_TOLD_ROWS = b"dasdist_rows"


@dataclass(frozen=True, slots=True)
class PickSource:
    """Picks that can be read in the order of time.

    Parameters
    ----------
    schema : pyarrow.Schema
        Their columns.
    rows : int
        How many there are.
    channels : tuple of int
        The first and the last channel that has one.
    tables : callable
        Reads them, some at a time.
    """

    schema: pa.Schema
    rows: int
    channels: tuple[int, int]
    tables: Callable[[], Iterator[pa.Table]]

    @property
    def has_metres(self) -> bool:
        """Whether positions are metres along the fibre; else channels are counted."""
        return "distance" in self.schema.names


def open_picks(
    picks: pd.DataFrame | str | Path, *, empty: bool = False, together: int = _TOGETHER
) -> PickSource:
    """Look at picks, without reading more of them than their beginnings and ends if possible.

    Parameters
    ----------
    picks : DataFrame or path
        A table, a Parquet dataset or file, or a CSV file.
    empty : bool
        Whether a folder may hold no files: all blocks of a run may have failed.
    together : int
        Picks that are held before some go, so that many small parts are sorted at once.

    Raises
    ------
    InvalidInput
        If there are none, or columns are missing.
    UnreadableData
        If a file is damaged.
    """
    if isinstance(picks, pd.DataFrame):
        table = pa.Table.from_pandas(picks, preserve_index=False).replace_schema_metadata(None)
        return _of_table(_checked(table, "The table of picks"))
    path = Path(picks)
    if not path.exists():
        raise InvalidInput(f"There is nothing at {path}; name the picks that a run wrote.")
    if path.suffix.lower() == ".csv":
        return _of_table(_checked(_csv(path), str(path)))
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if not files and empty:
        schema = pa.schema([pa.field(name, _KINDS[name]) for name in _NEEDED])
        return _of_table(schema.empty_table())
    if not files:
        raise InvalidInput(f"{path} holds no Parquet files; name the picks that a run wrote.")
    return _of_files(files, together)


def _of_table(table: pa.Table) -> PickSource:
    channel = pc.min_max(table["channel_index"]).as_py()
    first, last = channel["min"] or 0, channel["max"] or 0
    ordered = _sorted(table)
    return PickSource(table.schema, table.num_rows, (first, last), lambda: iter([ordered]))


def _csv(path: Path) -> pa.Table:
    import pyarrow.csv

    with _readable(path):
        table = pyarrow.csv.read_csv(path)
    if "time" in table.column_names and pa.types.is_string(table.schema.field("time").type):
        times = pd.to_datetime(table["time"].to_pandas(), format="ISO8601", utc=True)
        column = pa.array(times.dt.tz_convert(None), pa.timestamp("ns"))
        table = table.set_column(table.column_names.index("time"), "time", column)
    return table


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise UnreadableData(
            f"{path} cannot be read: {error}. If a run wrote it, `dasdist verify` says what is "
            "damaged, and the same command computes that again."
        ) from error


@dataclass(frozen=True, slots=True)
class _Group:
    """A row group: what its picks span."""

    first: int  # nanoseconds
    path: Path
    index: int
    rows: int
    channels: tuple[int, int]


def _of_files(files: list[Path], together: int) -> PickSource:
    groups: list[_Group] = []
    schema = None
    for path in files:
        with _readable(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
            told = (file.metadata.metadata or {}).get(_TOLD_ROWS)
            held = sum(file.metadata.row_group(i).num_rows for i in range(file.num_row_groups))
            if told not in (None, b"%d" % held):
                raise OSError("it has another number of picks than were written")
            arrow = file.schema_arrow
            schema = _same(schema, arrow, path)
            found = [_group(file, path, i) for i in range(file.num_row_groups)]
            groups += [group for group in found if group.rows]
    assert schema is not None
    groups.sort(key=lambda group: (group.first, str(group.path), group.index))
    channels = [c for group in groups for c in group.channels] or [0]
    total = sum(group.rows for group in groups)
    ends = (min(channels), max(channels))
    return PickSource(schema, total, ends, lambda: _in_order(groups, together))


def _same(schema: pa.Schema | None, found: pa.Schema, path: Path) -> pa.Schema:
    """Return the columns of the first file, if this has the same."""
    _check_columns(found, str(path))
    mine = pa.schema(
        [pa.field(f.name, _KINDS.get(f.name, f.type), metadata=f.metadata) for f in found]
    )
    if schema is None or schema.names == mine.names:
        return schema or mine.remove_metadata()
    raise InvalidInput(
        f"{path} has the columns {', '.join(mine.names)} and files before it "
        f"{', '.join(schema.names)}; put picks of one run in a folder."
    )


def _group(file: pq.ParquetFile, path: Path, index: int) -> _Group:
    facts = file.metadata.row_group(index)
    names = file.schema_arrow.names
    time = facts.column(names.index("time")).statistics
    channel = facts.column(names.index("channel_index")).statistics
    if not facts.num_rows:
        return _Group(0, path, index, 0, (0, 0))
    if time is None or channel is None or not (time.has_min_max and channel.has_min_max):
        table = _checked(file.read_row_group(index), str(path))
        times, channels = (pc.min_max(table[name]) for name in ("time", "channel_index"))
        span = (channels["min"].as_py(), channels["max"].as_py())
        return _Group(times["min"].value, path, index, facts.num_rows, span)
    unit = 10**9 // _PER_SECOND[file.schema_arrow.field("time").type.unit]
    span = (int(channel.min), int(channel.max))
    return _Group(time.min_raw * unit, path, index, facts.num_rows, span)


def _in_order(groups: list[_Group], together: int) -> Iterator[pa.Table]:
    """Read row groups when their time has come."""
    held: list[pa.Table] = []
    rows = 0
    for group in groups:
        if held and rows >= together:
            table = _sorted(pa.concat_tables(held))
            before = pc.less(table["time"], pa.scalar(group.first, pa.timestamp("ns")))
            count = pc.sum(before).as_py()
            if count:
                yield table.slice(0, count)
            held, rows = [table.slice(count)], table.num_rows - count
        with (
            _readable(group.path),
            pq.ParquetFile(group.path, page_checksum_verification=True) as file,
        ):
            held.append(_checked(file.read_row_group(group.index), str(group.path)))
        rows += group.rows
    if rows:
        yield _sorted(pa.concat_tables(held))


def _sorted(table: pa.Table) -> pa.Table:
    """Sort picks by time, channel and phase, then by all else."""
    first = ("time", "channel_index", "phase")
    names = [*first, *(n for n in PICK_COLUMNS if n in table.column_names and n not in first)]
    return table.sort_by([(name, "ascending") for name in names])


def _checked(table: pa.Table, what: str) -> pa.Table:
    """Return picks with the kinds of columns that are needed, or say what is wrong with them."""
    _check_columns(table.schema, what)
    for name in (*_NEEDED, *(["distance"] if "distance" in table.column_names else [])):
        column = table[name]
        if isinstance(column.type, pa.DictionaryType):
            column = column.cast(column.type.value_type)
        try:
            column = column.cast(_KINDS[name], safe=name != "confidence")
        except pa.ArrowException as error:
            raise InvalidInput(
                f"{what} has a column {name} that holds no such: {error}."
            ) from error
        if column.null_count:
            raise InvalidInput(f"{what} has a pick without {name}; leave such picks out.")
        place = table.column_names.index(name)
        field = table.schema.field(place).with_type(_KINDS[name])
        table = table.set_column(place, field, column)
    return table.replace_schema_metadata(None)


def _check_columns(schema: pa.Schema, what: str) -> None:
    missing = [name for name in _NEEDED if name not in schema.names]
    if missing:
        raise InvalidInput(
            f"{what} has no column {' and no '.join(missing)}: picks have the columns "
            f"{', '.join(PICK_COLUMNS)}. Rename yours."
        )
