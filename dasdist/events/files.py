"""Events of picks in files, to files, whatever there is of them: minutes of picks in memory."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dasdist.callbacks.pick_stream import open_picks
from dasdist.events.functions import fibre_of, schema_with_events, with_events
from dasdist.events.options import EventOptions
from dasdist.events.result import event_table, write_events
from dasdist.events.row import EventRow
from dasdist.safe_text import shown
from dasdist.storage.files import replacing
from dasdist.units import count_of

__all__ = ["Counted", "detect_files"]


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """Events, and how many picks are in them.

    Parameters
    ----------
    events : pandas.DataFrame
        As of `dasdist.events.Events`.
    picks, inside : int
        Picks, and those of them that are in an event.
    fibre : int
        Channels of the fibre.
    """

    events: pd.DataFrame
    picks: int
    inside: int
    fibre: int

    def __len__(self) -> int:
        return len(self.events)

    def __str__(self) -> str:
        return shown(
            f"{count_of(len(self), 'event')} on {count_of(self.fibre, 'channel')}: "
            f"{self.inside:,} of {count_of(self.picks, 'pick')} in them, "
            f"{self.picks - self.inside:,} incoherent"
        )


def detect_files(
    picks: str | Path,
    out: str | Path | None,
    picks_out: str | Path | None = None,
    *,
    options: EventOptions | None = None,
    channels: int | None = None,
    empty: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Counted:
    """Find the events of picks in files, and write them.

    Parameters
    ----------
    picks : path
        A Parquet dataset or file, or a CSV file.
    out : path, optional
        Where the events go, a Parquet file.
    picks_out : path, optional
        Where the picks go with their events, another.
    options : EventOptions, optional
        What the detector is told.
    channels : int, optional
        Channels of the fibre, as for `dasdist.events.detect`.
    empty : bool
        Whether a folder may hold no picks at all.
    progress : callable
        Is told of how many picks of how many it is known.

    Returns
    -------
    Counted

    Raises
    ------
    InvalidInput, UnreadableData
        As `dasdist.events.detect`.
    OutputUnwritable
        If a file cannot be written; none is then there that is not whole.
    """
    options = options or EventOptions()
    source = open_picks(picks, empty=empty)
    fibre = fibre_of(source, channels)
    rows: list[EventRow] = []
    done = inside = 0
    with ExitStack() as stack:
        writer = _writer(stack, picks_out, schema_with_events(source))
        for table, events in with_events(source, options, channels):
            if writer is not None:
                writer.write_table(table)
            rows += events
            done += table.num_rows
            inside += int(np.count_nonzero(table["event"].to_numpy() >= 0))
            progress(done, source.rows)
    found = event_table(rows)
    if out is not None:
        write_events(Path(out), found, options, fibre)
    return Counted(found, done, inside, fibre)


def _writer(
    stack: ExitStack, path: str | Path | None, schema: pa.Schema
) -> pq.ParquetWriter | None:
    if path is None:
        return None
    aside = stack.enter_context(replacing(Path(path)))
    made = pq.ParquetWriter(
        aside, schema, compression="zstd", use_dictionary=["phase"], write_page_checksum=True
    )
    return stack.enter_context(made)
