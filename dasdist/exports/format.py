"""What a format is, and what it is given to write."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dasdist.exports.channels import ChannelTable, Places
from dasdist.exports.naming import Naming

__all__ = ["Format", "Job", "csv_file", "p_and_s", "write_associator"]


@dataclass(frozen=True, slots=True)
class Job:
    """What a format writes.

    Parameters
    ----------
    folder : Path
        Where; it is there, and empty.
    picks : iterator of pandas.DataFrame
        Tables in the order of time; at least one, that may be empty.
    channels : ChannelTable, optional
        Where channels lie; there if the format needs it.
    events : pandas.DataFrame, optional
        Columns ``event``, ``time`` and maybe ``longitude``, ``latitude``, ``depth_m``.
    naming : Naming
        What stations are called.
    pick_error : float
        Seconds, for consumers that want one.
    stations : mapping of int to int
        The channel that stands for another one in associators; itself where there is none.
    recording : object, optional
        What was picked, as :func:`dasdist.sources.open_recording` takes it.
    window : float
        Seconds of a record of training data.
    left_out : Counter
        How many picks a format has no place for, by the reason.
    """

    folder: Path
    picks: Iterator[pd.DataFrame]
    channels: ChannelTable | None
    events: pd.DataFrame | None
    naming: Naming
    pick_error: float
    stations: Mapping[int, int] = field(default_factory=dict)
    recording: Any = None
    window: float = 60.0
    left_out: Counter[str] = field(default_factory=Counter)

    def places(self, channels: Any) -> Places:
        """Return where channels lie."""
        assert self.channels is not None
        return self.channels.at(channels)


@dataclass(frozen=True, slots=True)
class Format:
    """A format of files.

    Parameters
    ----------
    consumer : str
        The program that reads it.
    resolution : float
        Of its times, in seconds.
    write : callable
        Takes a `Job`.
    geometry, events, recording : bool
        Whether it needs places of channels, picks that belong to events, and the samples.
    """

    consumer: str
    resolution: float
    write: Callable[[Job], None]
    geometry: bool = False
    events: bool = False
    recording: bool = False


@contextmanager
def csv_file(path: Path, **options: Any) -> Iterator[Callable[[pd.DataFrame], None]]:
    """Yield what writes tables of the same columns below each other; the first makes the header."""
    with open(path, "w", encoding="utf-8", newline="") as file:

        def write(table: pd.DataFrame) -> None:
            table.to_csv(file, index=False, header=not file.tell(), lineterminator="\n", **options)

        yield write


def p_and_s(table: pd.DataFrame, job: Job) -> pd.DataFrame:
    """Return the picks of P and S, called so, and count the others as left out."""
    phases = table["phase"].str.upper()
    known = phases.isin(("P", "S"))
    for phase, number in table["phase"][~known].value_counts().items():
        job.left_out[f"phase {phase}, and the consumer knows P and S only"] += int(number)
    return table.assign(phase=phases)[known]


def write_associator(
    job: Job,
    rows: Callable[[pd.DataFrame], pd.DataFrame],
    stations: Callable[[Places], pd.DataFrame],
    *,
    float_format: str | None = None,
    windows: bool = True,
) -> None:
    """Write ``picks.csv``, and ``stations.csv`` with the channels that have picks in it.

    Rows are made of tables with the column ``station``: where windows of channels have one station,
    its channel, if the consumer wants that.
    """
    stand_in = job.stations if windows else {}
    seen: set[int] = set()
    with csv_file(job.folder / "picks.csv", float_format=float_format) as write:
        for table in job.picks:
            table = p_and_s(table, job)
            channels = table["channel_index"].tolist()
            table = table.assign(station=[stand_in.get(channel, channel) for channel in channels])
            table["station"] = table["station"].astype("int64")
            write(rows(table))
            fresh: Sequence[int] = np.setdiff1d(table["station"], list(seen)).tolist()
            job.places(fresh)  # before the rest is written: a channel may have no place
            seen.update(fresh)
    with csv_file(job.folder / "stations.csv") as write:
        write(stations(job.places(sorted(seen))))
