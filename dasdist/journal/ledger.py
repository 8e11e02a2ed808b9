"""The ledger: which blocks are done, and which were given up.

::

    ledger.jsonl    {"block": 17, "part": {"picks": 3, ...}, "seconds": {...}, "peak": 812000000}
                    {"block": 18, "failed": {"kind": "unreadable", "error": "...", ...}}

One line per block, appended by the run's client alone, after the block's data is in the output.  A
line that is cut short, by a death in mid-write, was never written.  A later line on a block
replaces an earlier one.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dasdist.geometry import Region, Span
from dasdist.report import BlockResult, Failure
from dasdist.storage.staging import writing

__all__ = ["History", "Ledger", "read_ledger"]

_SYNC_SECONDS = 2.0
"""An entry is on the disk that much after it was made; one that is not costs its block again."""


@dataclass(frozen=True, slots=True)
class History:
    """What a ledger says.

    Parameters
    ----------
    parts : mapping
        Part of each finished block, by index.
    failures : mapping
        Of each block that was given up, by index.
    seconds : mapping of str to float
        Time that all finished blocks took, by stage.
    peak : int
        The most memory that a process had, in bytes.
    """

    parts: Mapping[int, Any]
    failures: Mapping[int, Failure]
    seconds: Mapping[str, float]
    peak: int


class Ledger:
    """Appends to a ledger; a context manager.

    Parameters
    ----------
    path : Path
        Made if it does not exist; an unfinished last line goes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._synced = time.monotonic()

    def __enter__(self) -> "Ledger":
        with writing(self._path):
            # unbuffered: what cannot be written now is not written later, either
            self._file = open(self._path, "ab", buffering=0)
        whole = _whole_bytes(self._path)
        self._file.truncate(whole)
        return self

    def __exit__(self, *error: object) -> None:
        self._sync()
        self._file.close()

    def add(self, outcome: BlockResult | Failure) -> None:
        """Write what came of a block."""
        if isinstance(outcome, Failure):
            entry = {"block": outcome.block, "failed": _describe(outcome)}
        else:
            seconds = {stage: round(value, 6) for stage, value in outcome.seconds.items()}
            entry = {
                "block": outcome.block,
                "part": outcome.part,
                "seconds": seconds,
                "peak": outcome.peak,
            }
        self._append(entry)
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            self._sync()

    def forget(self, blocks: Iterable[int]) -> None:
        """Write that blocks are to be computed again."""
        for block in blocks:
            self._append({"block": block})
        self._sync()

    def _append(self, entry: Mapping[str, Any]) -> None:
        line = memoryview(json.dumps(entry).encode() + b"\n")
        with writing(self._path):
            while line:  # a disk that becomes full takes the beginning of it
                line = line[self._file.write(line) :]

    def _sync(self) -> None:
        with writing(self._path):
            os.fsync(self._file.fileno())
        self._synced = time.monotonic()


def _whole_bytes(path: Path) -> int:
    """Return how long a file is up to the end of its last whole line."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - 2**16)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            end = start
    return 0


def read_ledger(path: Path) -> History:
    """Read a ledger, also while a run writes it.

    Examples
    --------
    >>> read_ledger(Path("no such ledger")).parts
    {}
    """
    parts: dict[int, Any] = {}
    failures: dict[int, Failure] = {}
    seconds: dict[str, float] = {}
    peak = 0
    for entry in _entries(path):
        block = entry["block"]
        parts.pop(block, None)
        failures.pop(block, None)
        if "part" in entry:
            parts[block] = _tuples(entry["part"])
            for stage, value in entry["seconds"].items():
                seconds[stage] = seconds.get(stage, 0.0) + value
            peak = max(peak, entry["peak"])
        elif "failed" in entry:
            failures[block] = _failure(entry["failed"])
    return History(parts, failures, seconds, peak)


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        for line in file:
            if line.endswith(b"\n"):
                yield json.loads(line)


def _tuples(part: Any) -> Any:
    """Return a part of several callbacks as the tuple that it was before JSON made it a list."""
    return tuple(map(_tuples, part)) if isinstance(part, list) else part


def _describe(failure: Failure) -> dict[str, Any]:
    described = asdict(failure)
    del described["worker"]  # an address means nothing once its cluster is gone
    return described


def _failure(described: Mapping[str, Any]) -> Failure:
    time_span, distance = (Span(**described["core"][axis]) for axis in ("time", "distance"))
    return Failure(**{**described, "core": Region(time_span, distance)})
