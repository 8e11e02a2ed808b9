"""The parts of a dataset of picks: encoded and read."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dasdist.callbacks.pick_parts import parts_of
from dasdist.callbacks.picks import (
    METRES,
    MORE_COLUMNS,
    PICK_COLUMNS,
    PickTable,
    Place,
    join,
    order,
    to_dataframe,
)
from dasdist.errors import UnreadableData
from dasdist.geometry.blocks import SegmentGrid
from dasdist.geometry.numbers import Numbers
from dasdist.safe_text import one_line
from dasdist.units import count_of

__all__ = [
    "CHECKED",
    "FORMAT",
    "Recount",
    "StoredPicks",
    "encode",
    "place_in",
    "schema_of",
    "units_in",
]

_NEAR = 1e-3  # samples; times are rounded to nanoseconds
FORMAT = 1  # version of all this; dasdist_format in the metadata of every part
_ROWS = b"dasdist_rows"  # once more, for what Parquet says of it has no checksum
_POSITION = b"dasdist_position"  # and what the column of positions is called, if not "distance"
CHECKED = ds.ParquetFileFormat(
    default_fragment_scan_options=ds.ParquetFragmentScanOptions(page_checksum_verification=True)
)
_UNITS = {
    "time": "ns since 1970-01-01T00:00:00",
    "channel_index": "channels of the recording",
    "confidence": "1",
    "sample_index": "samples of the recording",
}


@dataclass(frozen=True, slots=True)
class Recount:
    """Counts samples and segments of picks as the recording of now does.

    An archive that changes moves what follows the change: a part that stands keeps its bytes, and
    times that are right, but samples and segments as they were counted when it was written.

    Parameters
    ----------
    grids : tuple of SegmentGrid
        The segments of now.
    numbers : Numbers
        Of their blocks, in the names of parts.
    """

    grids: tuple[SegmentGrid, ...]
    numbers: Numbers

    def __call__(self, table: PickTable, parts: NDArray[np.int64]) -> PickTable:
        """Return picks with samples and segments of now, given the number of each one's part."""
        blocks = self.numbers.blocks(sum(map(len, self.grids)))
        each, of_part = np.unique(parts, return_inverse=True)
        starts = [grid.first_block for grid in self.grids]
        places = np.array([blocks[number] for number in each.tolist()], dtype=np.int64)
        segments = (np.searchsorted(starts, places, side="right") - 1)[of_part]
        time, samples = table["time"].astype(np.int64), table["sample_index"].copy()
        for index in np.unique(segments):
            grid, mine = self.grids[index], segments == index
            step, start = grid.time.step, grid.time.start
            whole = start.numerator // start.denominator
            exact = (time[mine] - whole - float(start - whole)) / float(step)
            # a pick lies within half a sample of its index: all of a part are off by as much
            off = exact + grid.recorded.time.start - samples[mine]
            low = np.full(len(each), np.inf)
            np.minimum.at(low, of_part[mine], off)
            moved = samples[mine] + np.floor(low[of_part[mine]] + 0.5 + _NEAR).astype(np.int64)
            samples[mine] = np.minimum(moved, grid.recorded.time.stop - 1)
        return {**table, "sample_index": samples, "segment": segments.astype(np.int64)}


@dataclass(frozen=True, slots=True)
class StoredPicks:
    """Picks in a Parquet dataset.

    Parameters
    ----------
    path : Path
        The folder.
    counts : mapping of str to int
        ``"picks"``, the picks of each phase, ``"bytes"``, and ``"files"`` of a dataset by date.
    recount : Recount, optional
        Counts samples and segments of parts as the recording of now does; without it they are those
        of the recording that a part was computed from.
    """

    path: Path
    counts: Mapping[str, int] = field(default_factory=dict)
    recount: Recount | None = None

    def __len__(self) -> int:
        return self.counts.get("picks", 0)

    def __str__(self) -> str:
        by_phase = (
            f"{n:,} {k}" for k, n in self.counts.items() if k not in ("picks", "bytes", "files")
        )
        return one_line(f"{count_of(len(self), 'pick')} ({', '.join(by_phase)}) in {self.path}")

    def read(self) -> pd.DataFrame:
        """Read all picks into memory, sorted as :class:`DASPickingCallback` sorts them.

        Raises
        ------
        UnreadableData
            If a part is damaged.
        """
        parts = sorted((entry.path, number) for number, entry in parts_of(self.path))
        place, units = place_in(self.path) or METRES, units_in(self.path)
        try:
            found, rows = _table([path for path, _ in parts], place, units)
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            raise UnreadableData(
                f"{self.path} cannot be read, a part of it is damaged: {error}. Remove that part, "
                "and the same call or command computes its block again."
            ) from error
        names = {**_names(place), **dict.fromkeys(units, "")}
        table = {key: found.column(name or key).to_numpy() for key, name in names.items()}
        if self.recount:
            numbers = np.array([number for _, number in parts], dtype=np.int64)
            table = self.recount(table, np.repeat(numbers, rows))
        return to_dataframe({**table, "phase": table["phase"].astype(str)}, place, units)


def _table(files: list[str], place: Place, units: Mapping[str, str]) -> tuple[pa.Table, list[int]]:
    """Read parts whose columns are those that were written, and how many rows each has.

    Pages hold checksums of their own.
    """
    wanted, rows = schema_of((), place, tuple(units.items())), []
    found = ds.dataset(files, schema=wanted, format=CHECKED)
    for fragment in found.get_fragments():
        if not fragment.physical_schema.equals(wanted):
            raise OSError(f"{fragment.path} has other columns than picks have")
        facts = fragment.metadata
        told = (facts.metadata or {}).get(_ROWS)
        held = sum(facts.row_group(i).num_rows for i in range(facts.num_row_groups))
        if facts.num_rows != held or told not in (None, b"%d" % held):
            raise OSError(f"{fragment.path} has another number of picks than were written")
        rows.append(facts.num_rows)
    return found.to_table(), rows


def place_in(folder: Path) -> Place | None:
    """Return what positions are called in a dataset that has parts; None if none of them says."""
    for schema in _schemas(folder):
        try:
            told = (schema.metadata or {}).get(_POSITION, b"distance").decode()
            item = schema.field(1)
            unit = (item.metadata or {}).get(b"unit", b"m").decode()
        except (UnicodeDecodeError, IndexError):
            continue  # it is damaged, which reading it says
        if item.name == told:
            return Place(item.name, unit)
    return None


def units_in(folder: Path) -> dict[str, str]:
    """Return the optional columns of a dataset that has parts, with their units."""
    for schema in _schemas(folder):
        more = [item for item in list(schema)[len(PICK_COLUMNS) :] if item.name in MORE_COLUMNS]
        return {item.name: (item.metadata or {}).get(b"unit", b"").decode() for item in more}
    return {}


def _schemas(folder: Path) -> Iterator[pa.Schema]:
    """Yield the schemas of parts, by the number of their block; of damaged ones none."""
    for _, part in sorted(parts_of(folder), key=lambda found: found[0]):
        with suppress(OSError, pa.ArrowException, UnicodeDecodeError):
            yield pq.read_schema(part.path)


def _names(place: Place) -> dict[str, str]:
    """Return what the columns of picks are called in files."""
    return {key: place.name if key == "distance" else key for key in PICK_COLUMNS}


@lru_cache(maxsize=4)
def schema_of(
    attrs: tuple[tuple[str, str], ...],
    place: Place = METRES,
    more: tuple[tuple[str, str], ...] = (),
) -> pa.Schema:
    """Return the schema of a part, with the run's metadata, and the units of optional columns."""
    kinds = {"datetime64[ns]": pa.timestamp("ns"), "str": pa.string(), "float32": pa.float32()}
    kinds |= {"float64": pa.float64(), "int64": pa.int64()}
    units = {**_UNITS, place.name: place.unit}
    fields = [
        pa.field(name, kinds[kind], metadata={"unit": units[name]} if name in units else None)
        for name, kind in zip(_names(place).values(), PICK_COLUMNS.values(), strict=True)
    ]
    fields += [
        pa.field(name, kinds[MORE_COLUMNS[name]], metadata={"unit": unit}) for name, unit in more
    ]
    return pa.schema(fields, metadata=dict(attrs))


def encode(table: PickTable, schema: pa.Schema) -> pa.Buffer:
    """Return sorted picks as a Parquet file, always the same bytes for the same picks."""
    return _encode(table, schema) if len(table["phase"]) else _empty(schema)


@lru_cache(maxsize=4)
def _empty(schema: pa.Schema) -> pa.Buffer:
    return _encode(join([], schema.names[len(PICK_COLUMNS) :]), schema)


def _encode(table: PickTable, schema: pa.Schema) -> pa.Buffer:
    rows = order(table)
    columns = [
        pa.array(table[key][rows], item.type)
        for key, item in zip(
            (*PICK_COLUMNS, *schema.names[len(PICK_COLUMNS) :]), schema, strict=True
        )
    ]
    told = {_ROWS: str(len(rows))}
    if (name := schema.field(1).name) != "distance":
        told[_POSITION] = name
    schema = schema.with_metadata({**(schema.metadata or {}), **told})
    file = pa.BufferOutputStream()
    pq.write_table(
        pa.Table.from_arrays(columns, schema=schema),
        file,
        compression="zstd",
        use_dictionary=["phase"],
        write_page_checksum=True,  # or one bit that rots is another pick
    )
    return file.getvalue()
