"""Write the files of a synthetic archive, and its truth, as fast as the disk takes them.

HDF5 keeps the samples, and the two times that state when they were taken, in one piece each and
without a checksum.  So xdas writes one file, and all others are its bytes with these replaced: ten
times as fast, and what xdas itself would have written.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import xdas

from dasdist.errors import InvalidInput
from dasdist.storage.files import make_folder, replacing

__all__ = ["START", "TRUTH", "ArchiveFiles", "archive_files", "beside", "truth_rows"]

START = np.datetime64("2025-06-01T00:00:00", "ns")
"""Time of the first sample of every archive."""

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
class ArchiveFiles:
    """Writes files of one length into a folder; see :func:`archive_files`.

    Parameters
    ----------
    folder, aside : Path
        Where the files are, and where they are written before they are renamed.
    samples, rate : int, float
        Samples of a file, and their rate in Hz.
    head, tail : bytes
        Of every file, before and after the samples.
    at : int
        Where in `head` the first and the last time stand, as two int64: nanoseconds from START.
    """

    folder: Path
    aside: Path
    samples: int
    rate: float
    head: bytes
    tail: bytes
    at: int

    def path(self, first: int) -> Path:
        """Return where the file is that begins with a sample."""
        return self.folder / file_name(first, self.rate)

    def write(self, first: int, data: npt.NDArray[Any]) -> Path:
        """Write the file that begins with a sample; it is there whole or not at all."""
        path = self.path(first)
        ends = (first, first + self.samples - 1)
        times = struct.pack("<2q", *(_nanoseconds(sample, self.rate) for sample in ends))
        head = self.head[: self.at] + times + self.head[self.at + len(times) :]
        with replacing(path, self.aside / path.name) as aside, aside.open("wb") as file:
            file.writelines([head, np.ascontiguousarray(data).data, self.tail])
        return path


@contextmanager
def archive_files(
    folder: Path, shape: tuple[int, int], dtype: str, rate: float, dx: float
) -> Iterator[ArchiveFiles]:
    """Make a folder for an archive, and yield what writes its files.

    Parameters
    ----------
    folder : Path
        Made if it does not exist.  Files are written in ``FOLDER.unfinished`` beside it, and
        renamed.
    shape : tuple of int
        Samples and channels of a file.
    dtype : str
        Type of the samples.
    rate, dx : float
        Sampling rate in Hz, channel spacing in metres.
    """
    aside = beside(folder, "unfinished")
    make_folder(folder)
    make_folder(aside)
    model = aside / "model.nc"
    begin, at = _write_model(model, shape, dtype, dx)
    content = model.read_bytes()
    model.unlink()
    end = begin + shape[0] * shape[1] * np.dtype(dtype).itemsize
    yield ArchiveFiles(folder, aside, shape[0], rate, content[:begin], content[end:], at)
    with suppress(OSError):  # somebody else writes there, too
        aside.rmdir()


def _write_model(path: Path, shape: tuple[int, int], dtype: str, dx: float) -> tuple[int, int]:
    """Let xdas write a file, and return where in it the samples and the times begin."""
    samples, channels = shape
    # a time of one nanosecond makes nanoseconds the unit, whatever the rate
    ends = [START, START + np.timedelta64(1, "ns")]
    coords = {
        "time": {"tie_indices": [0, samples - 1], "tie_values": ends},
        "distance": {"tie_indices": [0, channels - 1], "tie_values": [0.0, dx * (channels - 1)]},
    }
    data = np.zeros(shape, dtype=dtype)
    xdas.DataArray(data, coords, dims=("time", "distance"), name="strain_rate").to_netcdf(path)
    with h5py.File(path) as file:
        times = file["time_values"]
        assert times.attrs["units"] == "nanoseconds since 2025-06-01 00:00:00"
        return file["strain_rate"].id.get_offset(), times.id.get_offset()


def _nanoseconds(sample: int, rate: float) -> int:
    return round(sample / rate * 1e9)


def file_name(first: int, rate: float) -> str:
    """Name a file by the time of its first sample.

    Examples
    --------
    >>> file_name(6000, 100.0)
    '20250601T000100.000.nc'
    """
    time = START + np.timedelta64(_nanoseconds(first, rate), "ns")
    return f"{str(time)[:23].replace('-', '').replace(':', '')}.nc"


def truth_rows(arrivals: pd.DataFrame, dx: float) -> pa.Table:
    """Return arrivals in the form of the truth: with the distance and the time of each."""
    seconds = arrivals["seconds"].to_numpy()
    table = arrivals.assign(
        distance=dx * arrivals["channel"].astype(float),
        time=START + np.round(seconds * 1e9).astype("timedelta64[ns]"),
    )
    return pa.Table.from_pandas(table[TRUTH.names], schema=TRUTH, preserve_index=False)


def beside(folder: Path, suffix: str) -> Path:
    """Return the path of what lies beside an archive's folder."""
    if not folder.name:
        raise InvalidInput(f"{folder} cannot be made: name a folder in it.")
    return folder.with_name(f"{folder.name}.{suffix}")
