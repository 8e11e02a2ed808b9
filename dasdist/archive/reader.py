"""Read headers of files in full, in a process of its own: ``python -m dasdist.archive.process``.

A reading library may crash or hang on a broken file.  Then only this process ends: the kernel ends
it when a file takes too long, and the process that asked starts another.  Questions and answers are
lines of JSON, so that nothing that a file holds is ever unpickled.
"""

import json
import math
import os
import resource
import signal
import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from typing import IO, Any

import h5py
import numpy as np
from xdas import DataArray
from xdas.virtual import TileArray

from dasdist.archive.header import Header, Problem, header_of
from dasdist.archive.learn import lesson_of
from dasdist.errors import InvalidInput
from dasdist.sources import open_recording
from dasdist.sources.engines import open_file
from dasdist.sources.guesses import guessed
from dasdist.sources.stored_axes import as_stored, in_metres
from dasdist.sources.trusted import allow
from dasdist.sources.unopened import Refused, why_not

__all__ = ["main", "read_header"]

MEMORY = 8 * 2**30
"""Most memory for reading a header, in bytes: broken headers ask for any amount."""

CHECKED_CHUNK = 64 * 2**20
"""Largest storage chunk, in bytes, of which one is read to see whether the file is complete."""


def main() -> None:
    """Answer lines of what :class:`~dasdist.archive.readers.Reader` asks until there are none."""
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    soft = MEMORY if most == resource.RLIM_INFINITY else min(MEMORY, most)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, most))
    warnings.simplefilter("ignore")  # what xdas guesses is told with the header
    with _answers() as answers:
        print("ready", file=answers, flush=True)
        for line in sys.stdin:
            question = json.loads(line)
            signal.setitimer(signal.ITIMER_REAL, question["seconds"])
            found = read_header(question["path"], question["engine"], question["options"])
            lesson = None
            if question["learn"] and isinstance(found, Header):
                form = json.loads(found.form)
                lesson = lesson_of(found.path, found.bytes, form, question["options"])
            signal.setitimer(signal.ITIMER_REAL, 0)
            answer = [type(found).__name__, asdict(found), lesson]
            print(json.dumps(answer), file=answers, flush=True)


def _answers() -> IO[str]:
    """Return where answers go; what libraries print goes elsewhere."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def read_header(
    path: str, engine: str | None = None, options: Mapping[str, Any] | None = None
) -> Header | Problem:
    """Read the header of a file, and its last sample.

    Parameters
    ----------
    path : str
        The file.
    engine : str, optional
        The engine; by default, those that fit the first bytes are tried.
    options : mapping, optional
        Its options.

    Returns
    -------
    Header or Problem
        Nothing that is wrong with a file raises.
    """
    try:
        before = os.stat(path)
        if before.st_size == 0:
            return Problem(path, "unreadable", "it is empty (0 bytes)")
        data, chunk, notes = _opened(path, engine, options or {})
        header = header_of(data, path, before.st_size, before.st_mtime_ns, chunk, notes)
        after = os.stat(path)
    except _NotFit as error:
        return Problem(path, error.kind, str(error))
    except Refused as error:
        return Problem(path, "unreadable", error.reason, error.details)
    except InvalidInput as error:
        return Problem(path, "format", str(error))
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the file is its reason
        return Problem(path, "unreadable", why_not(error))
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        return Problem(
            path, "unreadable", "it changed while it was read; index the archive again later"
        )
    return header


class _NotFit(Exception):
    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


def _opened(
    path: str, engine: str | None, options: Mapping[str, Any]
) -> tuple[DataArray, tuple[int, int] | None, tuple[str, ...]]:
    allow(engine)
    with guessed() as notes:
        data = open_file(path, engine, options)
    if isinstance(data, DataArray):
        data = as_stored(data)
    if not isinstance(data, DataArray) or data.ndim != 2:
        raise _NotFit(
            "format", f"it has {data.ndim} dimensions instead of two, samples and channels"
        )
    if data.dtype.kind not in "iuf":
        raise _NotFit(
            "dtype", f"its samples are {data.dtype}, neither integers nor floating-point numbers"
        )
    array = data.data
    if not isinstance(array, TileArray) or _links(path, array):
        raise _NotFit("links", "it only links to other files; index those instead")
    recording = open_recording(data)  # whatever a run would refuse, this refuses
    if h5py.is_hdf5(path):
        _check_written(path, array)
    chunk = recording.chunks
    if chunk is not None and data.dims[0] != recording.time_name:
        chunk = chunk[::-1]
    if chunk is None or chunk[0] * chunk[1] * data.dtype.itemsize <= CHECKED_CHUNK:
        last = np.asarray(array[-1:, -1:])
        if last.shape != (1, 1):
            raise OSError(f"its last sample came back with shape {last.shape}")
    return in_metres(data), chunk, tuple(notes)


def _links(path: str, array: TileArray) -> bool:
    stored = {os.fsdecode(name) for name in np.unique(array.dataset["paths"].values).tolist()}
    if stored != {os.path.basename(path)}:
        return True
    if "dataset" not in array.engine:
        return False
    with h5py.File(path, "r") as file:
        return bool(file[array.engine["dataset"]].is_virtual)


def _check_written(path: str, array: TileArray) -> None:
    """Refuse a file that was not written to its end: HDF5 reads as zeros what is missing."""

    def check(name: str, entry: Any) -> None:
        if not isinstance(entry, h5py.Dataset) or entry.dtype != array.dtype:
            return
        if entry.size < array.size or entry.is_virtual or entry.external:
            return
        if entry.chunks is None:
            written, whole = int(entry.id.get_storage_size() > 0), 1
        else:
            parts = zip(entry.shape, entry.chunks, strict=True)
            whole = math.prod(-(-size // chunk) for size, chunk in parts)
            written = entry.id.get_num_chunks()
        if written < whole:
            raise _NotFit(
                "unreadable",
                f"{whole - written} of {whole} storage chunks of {name!r} were never written and "
                "would read as zeros",
            )

    with h5py.File(path, "r") as file:
        file.visititems(check)
