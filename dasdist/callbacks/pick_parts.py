"""Where the parts of a dataset of picks are: in one folder, or by date.

::

    picks.parquet/                          by date:
        block-000000000.parquet                 date=2024-05-01/block-000000000.parquet
        block-000000001.parquet                 date=2024-05-01/block-000000001.parquet
        ...                                     date=2024-05-02/block-000000001.parquet

Block 1 spans midnight, so it owns two files.  Which dates a block has files of depends on its core
alone, and not on its picks: then whoever computes it again replaces all that it wrote.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dasdist.errors import OutputExists
from dasdist.geometry.blocks import Block
from dasdist.storage.staging import had_a_run

__all__ = ["check_free", "dates_of", "emptied", "part_name", "parts_of"]

_NAME = re.compile(r"block-(\d{9})\.parquet")
_DATE = re.compile(r"date=-?\d{4,}-\d{2}-\d{2}")


def part_name(block: int, date: str = "") -> str:
    """Return the name of a block's part, or of that of one of its dates.

    Examples
    --------
    >>> part_name(17), part_name(17, "2024-05-01")
    ('block-000000017.parquet', 'date=2024-05-01/block-000000017.parquet')
    """
    name = f"block-{block:09d}.parquet"
    return f"date={date}/{name}" if date else name


def dates_of(block: Block) -> tuple[str, ...]:
    """Return the dates, UTC, that picks of a block can have: they lie within half an output."""
    axis = block.out_time
    step = np.timedelta64(-(-axis.spacing.numerator * 10**9 // axis.spacing.denominator), "ns")
    first, last = axis.value(0) - step, axis.value(axis.size - 1) + step
    days = np.arange(first.astype("M8[D]"), last.astype("M8[D]") + 1)
    return tuple(map(str, days))


def parts_of(folder: Path) -> Iterator[tuple[int, os.DirEntry[str]]]:
    """Yield the parts in a folder, or in those of its dates, by the number of their block."""
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if found := _NAME.fullmatch(entry.name):
                yield int(found[1]), entry
            elif _DATE.fullmatch(entry.name) and entry.is_dir():
                yield from parts_of(Path(entry.path))


def emptied(folder: Path) -> None:
    """Remove the folders of dates that hold nothing any more."""
    for date in _dates_in(folder):
        with suppress(OSError):  # it holds something
            date.rmdir()


def check_free(path: Path, overwrite: bool) -> list[Path]:
    """Return the parts to replace; raise if there are any unasked, or anything else."""
    if not path.exists():
        return []
    if not path.is_dir():
        raise OutputExists(
            f"{path} is a file, and the picks become a folder of this name. Choose another path, "
            "or move the file away."
        )
    dates = _dates_in(path)
    found = sorted({*path.iterdir(), *(entry for date in dates for entry in date.iterdir())})
    found = [entry for entry in found if entry not in dates]
    parts = [entry for entry in found if _NAME.fullmatch(entry.name)]
    known = not parts or any(map(_is_ours, parts)) or had_a_run(path)  # the first may be damaged
    ours = found == parts and known
    if found and not (overwrite and ours):
        strange: Sequence[Path] = [entry for entry in found if entry not in parts] or found
        names = ", ".join(str(entry.relative_to(path)) for entry in strange[:5])
        raise OutputExists(
            f"{path} already holds {names}; choose "
            f"another path{', or replace these picks with overwrite=True' if ours else ''}."
        )
    return found


def _dates_in(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    return sorted(p for p in path.iterdir() if _DATE.fullmatch(p.name) and p.is_dir())


def _is_ours(part: Path) -> bool:
    try:
        return b"dasdist_format" in (pq.read_schema(part).metadata or {})
    except (OSError, pa.ArrowException, UnicodeDecodeError):
        return False
