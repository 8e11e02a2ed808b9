"""Synthetic archives of any size: one-minute files, written as fast as the disk takes them.

Beside a folder ``OUT`` of nothing but recordings lie ``OUT.recipe.json``, what it was made from,
and ``OUT.truth.parquet``, the true arrivals.
"""

import json
import os
import shutil
import struct
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dasdist.errors import InvalidInput, OutputExists
from dasdist.synthetic.endless import Endless
from dasdist.synthetic.section import START, file_name, write_file

__all__ = ["Synthetic", "write_minutes"]

SECONDS = 60.0  # of a file

TRUTH = pa.schema(
    {
        "event": pa.int64(),
        "phase": pa.string(),
        "channel": pa.int64(),
        "distance": pa.float64(),
        "time": pa.timestamp("ns"),
        "snr": pa.float64(),
    }
)


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


@dataclass(frozen=True)
class Mould:
    """The bytes of a file except its samples and times, which differ from file to file.

    HDF5 keeps either in one piece and without a checksum, so a file that xdas wrote is all it
    takes to write others like it, ten times as fast.

    Parameters
    ----------
    head, tail : bytes
        Before and after the samples.
    at : int
        Where in `head` the first and last time stand, as two int64.
    times : tuple of int
        What stands there.
    minute : int
        How much that grows in a minute.
    """

    head: bytes
    tail: bytes
    at: int
    times: tuple[int, int]
    minute: int

    @classmethod
    def of(cls, folder: Path, recording: Endless, samples: int) -> "Mould":
        """Let xdas write a first file, and find where samples and times are in it."""
        data = np.zeros((samples, recording.channels), dtype=recording.dtype)
        path = write_file(folder, data, 0, recording.rate, recording.dx)
        with h5py.File(path) as file:
            begin = file["strain_rate"].id.get_offset()
            at = file["time_values"].id.get_offset()
            first, last = map(int, file["time_values"][:])
        content = path.read_bytes()
        path.unlink()
        minute = round((last - first) * samples / (samples - 1))
        head, tail = content[:begin], content[begin + data.nbytes :]
        return cls(head, tail, at, (first, last), minute)

    def fill(self, path: Path, minute: int, data: npt.NDArray[Any]) -> None:
        """Write the file of a minute."""
        times = struct.pack("<2q", *(time + minute * self.minute for time in self.times))
        head = self.head[: self.at] + times + self.head[self.at + len(times) :]
        with path.open("wb") as file:
            file.writelines([head, data.data, self.tail])


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
    recipe, truth, aside = (beside(out, s) for s in ("recipe.json", "truth.parquet", "unfinished"))
    claim(out, recipe, {**asdict(recording), "gaps": [list(gap) for gap in gaps]}, overwrite)
    aside.mkdir(exist_ok=True)
    mould: Mould | None = None
    written = size = 0
    with pq.ParquetWriter(aside / truth.name, TRUTH) as table:
        for done, minute in enumerate(kept, 1):
            first = minute * samples
            path = out / file_name(first, recording.rate)
            if not path.exists():
                mould = mould or Mould.of(aside, recording, samples)
                mould.fill(aside / path.name, minute, recording.samples(first, samples))
                os.replace(aside / path.name, path)
                written += 1
                size += path.stat().st_size
            arrivals = recording.arrivals(first, samples)
            if len(arrivals):
                table.write_table(truth_rows(arrivals, recording.dx))
            progress(done, len(kept))
    os.replace(aside / truth.name, truth)
    aside.rmdir()
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
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputExists(
            f"{out} has files that are not a synthetic archive; choose another folder."
        )
    out.mkdir(parents=True, exist_ok=True)
    recipe.write_text(json.dumps(wanted, indent=2) + "\n")


def beside(out: Path, suffix: str) -> Path:
    """Return the path of what lies beside the archive's folder."""
    return out.with_name(f"{out.name}.{suffix}")


def truth_rows(arrivals: pd.DataFrame, dx: float) -> pa.Table:
    """Turn arrivals into a table of true arrivals."""
    seconds = arrivals["seconds"].to_numpy()
    table = arrivals.assign(
        distance=dx * arrivals["channel"].astype(float),
        time=START + np.round(seconds * 1e9).astype("timedelta64[ns]"),
    )
    return pa.Table.from_pandas(table[TRUTH.names], schema=TRUTH, preserve_index=False)
