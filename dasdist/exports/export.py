"""Picks into the files of another program."""

import json
import shutil
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from secrets import token_hex
from typing import Any

import pandas as pd

from dasdist.errors import DataWarning, InvalidInput, OutputExists
from dasdist.exports.channels import ChannelTable
from dasdist.exports.events import event_table
from dasdist.exports.format import Format, Job
from dasdist.exports.naming import Naming
from dasdist.exports.registry import format_named
from dasdist.exports.stream import Picks, open_picks
from dasdist.exports.thinning import Thinning
from dasdist.safe_text import shown
from dasdist.storage.files import make_folder, writing
from dasdist.units import count_of

__all__ = ["Export", "export"]

MANIFEST = "export.json"
"""Beside the files of an export: what made them."""


@dataclass(frozen=True, slots=True)
class Export:
    """What was exported.

    Parameters
    ----------
    path : Path
        The folder.
    to : str
        The format.
    picks : int
        How many picks the files hold.
    left_out : dict of str to int
        How many the format has no place for, by the reason.
    read : int
        How many picks were read, before thinning.
    files : tuple of str
        Names of the files.
    """

    path: Path
    to: str
    picks: int
    left_out: dict[str, int]
    read: int
    files: tuple[str, ...]

    def __str__(self) -> str:
        rest = f" of {self.read:,} that were read" if self.read != self.picks else ""
        named = ", ".join(self.files[:4]) + (", ..." if len(self.files) > 4 else "")
        return shown(f"{self.path}: {count_of(self.picks, 'pick')}{rest}, for {self.to}: {named}")


def export(
    picks: Any,
    to: str,
    path: str | Path,
    *,
    geometry: Any = None,
    events: Any = None,
    recording: Any = None,
    window: float = 60.0,
    thinning: Thinning | None = None,
    network: str = "XX",
    pick_error: float = 0.1,
    overwrite: bool = False,
) -> Export:
    """Write picks as files that another program reads.

    Picks are read in the order of time, a few parts at once: memory does not grow with them.  The
    files are in the folder when all are whole.

    Parameters
    ----------
    picks : str, Path or pandas.DataFrame
        A dataset of picks as :class:`dasdist.PicksWriterCallback` writes it, any Parquet or table
        with the columns ``time`` (UTC), ``channel_index``, ``phase`` and ``confidence``. Where they
        have a column ``event``, -1 means that a pick belongs to none.
    to : str
        A format, one of ``dasdist.exports.FORMATS``.
    path : str or Path
        A folder that does not exist yet.
    geometry : ChannelTable, str, Path, xarray.DataArray or xdas.DataArray, optional
        Where channels lie: a table, the CSV file of one, or a recording with coordinates longitude
        and latitude along its channels.
    events : str, Path or pandas.DataFrame, optional
        Columns ``event``, ``time`` (origin, UTC) and, where they are known, ``longitude``,
        ``latitude`` (degrees) and ``depth_m``.
    recording : object, optional
        What was picked, all of it, for training data: anything that :func:`dasdist.classify` takes.
    window : float
        Seconds of a record of training data.
    thinning : Thinning, optional
        Which picks are exported. Associators take some hundreds of stations.
    network : str
        Code of the network that stations get.
    pick_error : float
        Standard error of a pick in seconds, for NonLinLoc, which wants one.
    overwrite : bool
        Whether to replace an earlier export at the path.

    Returns
    -------
    Export

    Raises
    ------
    InvalidInput
        If the format is unknown, or geometry or events are missing that it needs.
    OutputExists
        If the path holds something.

    Notes
    -----
    One straight fibre cannot tell on which side of it an event lies, nor offset from depth: every
    point on a circle about the fibre gives the same times. Locations need a bent fibre, a second
    one, or other stations.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> time = pd.to_datetime(["2024-05-01T00:00:01.5"]).astype("datetime64[ns]")
    >>> table = {"time": time, "channel_index": [17], "phase": "P", "confidence": 0.75}
    >>> where = ChannelTable([17], [-17.9], [28.6], [120.0])
    >>> made = export(pd.DataFrame(table), "pyocto", Path(mkdtemp()) / "octo", geometry=where)
    >>> print((made.path / "picks.csv").read_text())
    station,phase,time,probability
    XX.C0017.,P,1714521601.500000,0.750000
    <BLANKLINE>
    """
    form, found, path = format_named(to), open_picks(picks), Path(path)
    thin, naming = thinning or Thinning(), Naming(network)
    channels = _geometry(form, to, geometry)
    _check_events(form, found)
    if form.recording and recording is None:
        raise InvalidInput(
            f"{form.consumer} holds samples beside picks: give the recording that was picked "
            "(recording, --data)."
        )
    if not window > 0:
        raise InvalidInput(f"window={window}: give the seconds of a record, such as 60.")
    thin.check(found.columns)
    table = event_table(events)
    _check_free(path, overwrite)
    read, written = Counter[str](), Counter[str]()
    make_folder(path.absolute().parent)
    aside = path.absolute().with_name(f".{path.name}.{token_hex(4)}")
    with writing(path):
        aside.mkdir()
        try:
            counted = _counted(thin(_counted(found, read)), written)
            stations = thin.stations(found)
            job = Job(
                aside, counted, channels, table, naming, pick_error, stations, recording, window
            )
            form.write(job)
            left_out = dict(job.left_out)
            made = Export(
                path,
                to,
                written["picks"] - sum(left_out.values()),
                left_out,
                read["picks"],
                tuple(sorted(str(p.relative_to(aside)) for p in aside.rglob("*") if p.is_file())),
            )
            _tell(aside / MANIFEST, made, form, found, thin, naming)
            if path.exists():
                shutil.rmtree(path)
            aside.rename(path)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    for reason, number in left_out.items():
        warnings.warn(
            f"{count_of(number, 'pick is', 'picks are')} not in {path}: {reason}.",
            DataWarning,
            stacklevel=2,
        )
    return made


def _geometry(form: Format, to: str, geometry: Any) -> ChannelTable | None:
    if geometry is None:
        if form.geometry:
            raise InvalidInput(
                f"{to} needs to know where the channels lie: give a geometry (--geometry), a CSV "
                "file with the columns channel, longitude, latitude and elevation."
            )
        return None
    if isinstance(geometry, ChannelTable):
        return geometry
    if isinstance(geometry, str | Path):
        return ChannelTable.read_csv(geometry)
    return ChannelTable.of(geometry)


def _check_events(form: Format, found: Picks) -> None:
    if form.events and "event" not in found.columns:
        raise InvalidInput(
            f"{form.consumer} takes the picks of events, and {found.name} does not say which picks "
            "belong together: they have no column event. Find events first, or export to an "
            "associator."
        )


def _check_free(path: Path, overwrite: bool) -> None:
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    ours = (path / MANIFEST).is_file()
    if not (overwrite and ours):
        remedy = ", or replace it with overwrite (--overwrite)" if ours else ""
        raise OutputExists(f"{path} already holds something; choose another path{remedy}.")


def _counted(batches: Iterable[pd.DataFrame], into: Counter[str]) -> Iterator[pd.DataFrame]:
    for batch in batches:
        into["picks"] += len(batch)
        yield batch


def _tell(
    path: Path, made: Export, form: Format, found: Picks, thin: Thinning, naming: Naming
) -> None:
    facts = {
        "format": made.to,
        "consumer": form.consumer,
        "dasdist": version("dasdist"),
        "picks": found.name,
        "written": made.picks,
        "read": made.read,
        "left_out": made.left_out,
        "seconds_of_a_time": form.resolution,
        "every": thin.every,
        "best_of_metres": thin.best_of,
        "within_seconds": thin.within,
        "events_only": thin.events_only,
        "network": naming.network,
    }
    path.write_text(json.dumps(facts, indent=1) + "\n")
