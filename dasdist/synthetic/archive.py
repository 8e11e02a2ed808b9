"""Synthetic archives of any size: one-minute files, written as fast as the disk takes them.

Beside a folder ``OUT`` of nothing but recordings lie ``OUT.recipe.json``, what it was made from,
and ``OUT.truth.parquet``, the true arrivals.
"""

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from dasdist.errors import InvalidInput, OutputExists
from dasdist.storage.files import make_folder, put_in_place, write_atomically
from dasdist.synthetic.endless import Endless
from dasdist.synthetic.files import TRUTH, archive_files, beside, truth_rows

__all__ = ["Synthetic", "write_minutes"]

SECONDS = 60.0  # of a file


@dataclass(frozen=True)
class Synthetic:
    """Paths and sizes of a synthetic archive that was written.

    Parameters
    ----------
    folder : Path
        Its files.
    truth : Path
        The true arrivals, as Parquet: ``event``, ``phase``, ``channel`` (index), ``distance``
        (m), ``time`` and ``snr``, the signal-to-noise ratio above 2 Hz.
    recipe : Path
        What it was made from, as JSON.
    files, written : int
        Files of the archive, and those that were not there before.
    bytes : int
        Bytes of the latter.
    """

    folder: Path
    truth: Path
    recipe: Path
    files: int
    written: int
    bytes: int


def write_minutes(
    out: str | Path,
    hours: float,
    recording: Endless,
    *,
    gaps: Iterable[tuple[int, int]] = (),
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, files: None,
) -> Synthetic:
    """Write a recording as one-minute files that xdas opens, with its true arrivals beside them.

    The same command again writes what is missing; with more hours, it makes the archive grow.
    Memory is that of a few files, however many are written.

    Parameters
    ----------
    out : path
        Folder of the files, which are named by the time of their first sample.
    hours : float
        Length, gaps included; rounded up to whole minutes.
    recording : Endless
        What is recorded.  File k is the same whatever the length.
    gaps : iterable of (int, int), optional
        Minutes from and to which no files are written, counted from the start.
    overwrite : bool
        Whether to remove another archive that is there.
    progress : callable, optional
        Called after each file with the numbers of files done and of all files.

    Returns
    -------
    Synthetic

    Raises
    ------
    InvalidInput
        If there would be no file, or no whole number of samples in a minute.
    OutputExists
        If `out` holds anything but this archive.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     made = write_minutes(f"{folder}/synthetic", 0.05, Endless(channels=4, rate=20.0))
    ...     print(made.files, made.truth.name)
    3 synthetic.truth.parquet
    """
    out = Path(out)
    gaps = tuple(sorted(gaps))
    samples = check(hours, recording, gaps)
    minutes = int(np.ceil(round(60 * hours, 6)))
    kept = [m for m in range(minutes) if not any(a <= m < b for a, b in gaps)]
    if not kept:
        raise InvalidInput(f"The gaps cover all {minutes} minutes of the archive; shorten them.")
    recipe, truth = (beside(out, suffix) for suffix in ("recipe.json", "truth.parquet"))
    claim(out, recipe, {**asdict(recording), "gaps": [list(gap) for gap in gaps]}, overwrite)
    shape = (samples, recording.channels)
    written = size = 0
    with archive_files(out, shape, recording.dtype, recording.rate, recording.dx) as archive:
        aside = archive.aside / truth.name
        with pq.ParquetWriter(aside, TRUTH) as table:
            for done, minute in enumerate(kept, 1):
                first = minute * samples
                if not archive.path(first).exists():
                    path = archive.write(first, recording.samples(first, samples))
                    written += 1
                    size += path.stat().st_size
                arrivals = recording.arrivals(first, samples)
                if len(arrivals):
                    table.write_table(truth_rows(arrivals, recording.dx))
                progress(done, len(kept))
        put_in_place(aside, truth)
    return Synthetic(out, truth, recipe, len(kept), written, size)


def check(hours: float, recording: Endless, gaps: tuple[tuple[int, int], ...]) -> int:
    """Refuse arguments that make no archive, and return the samples of a file."""
    if not hours > 0:
        raise InvalidInput(f"hours is {hours}; use more than 0, such as 0.1.")
    if recording.dtype not in ("float32", "int16"):
        raise InvalidInput(f"dtype is {recording.dtype!r}; use 'float32' or 'int16'.")
    if recording.channels < 2 or not recording.rate > 0 or not recording.dx > 0:
        raise InvalidInput(
            f"The fibre has {recording.channels} channels every {recording.dx} m at "
            f"{recording.rate} Hz; use 2 channels or more, and a spacing and a rate above 0."
        )
    if recording.events_per_hour < 0 or recording.seed < 0:
        raise InvalidInput(
            f"events_per_hour is {recording.events_per_hour} and seed is {recording.seed}; use 0 "
            "or more for both."
        )
    samples = SECONDS * recording.rate
    if samples < 2 or abs(samples - round(samples)) > 1e-6:
        raise InvalidInput(
            f"A file is a minute, which at {recording.rate} Hz has {samples} samples; use a rate "
            "with a whole number of samples a minute, 2 or more."
        )
    for start, stop in gaps:
        if not 0 <= start < stop:
            raise InvalidInput(
                f"A gap goes from minute {start} to minute {stop}; it must begin at 0 or later, "
                "and end after it begins."
            )
    return round(samples)


def claim(out: Path, recipe: Path, wanted: dict[str, Any], overwrite: bool) -> None:
    """Make the folder and write the recipe, unless the folder has something else."""
    if overwrite and recipe.exists():
        shutil.rmtree(out, ignore_errors=True)
        recipe.unlink()
    if recipe.exists():
        found = json.loads(recipe.read_text())
        other = [
            f"{k} {found.get(k)} instead of {v}" for k, v in wanted.items() if found.get(k) != v
        ]
        if other:
            raise OutputExists(
                f"{out} has another synthetic archive ({'; '.join(other)}); choose another folder, "
                "or replace it with overwrite=True (--overwrite)."
            )
    elif out.is_file():
        raise OutputExists(f"{out} is a file, and the archive is a folder; choose another name.")
    elif out.exists() and any(out.iterdir()):
        raise OutputExists(
            f"{out} has files that are not a synthetic archive; choose another folder."
        )
    make_folder(out)
    write_atomically(recipe, json.dumps(wanted, indent=2) + "\n")
