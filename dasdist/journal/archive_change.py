"""What became of an archive since a run computed from it: file by file."""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dasdist.archive_changes import FileChange
from dasdist.geometry.carry import NOT_THERE, KeptSamples

if TYPE_CHECKING:  # status shall load no library of data
    from dasdist.sources.origins import Origins

__all__ = ["Compared", "compare", "left_out"]


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Two recordings of an archive.

    Parameters
    ----------
    kept : KeptSamples
        The samples that are what they were.
    files : tuple of FileChange
        The files that are not.
    """

    kept: KeptSamples
    files: tuple[FileChange, ...]


def compare(then: "Origins", now: "Origins") -> Compared | None:
    """Compare recordings; None if they have no file in common, not even by name and time."""
    was = now.among(then)
    offsets = np.where(was >= 0, now.starts[:-1] - then.starts[was], NOT_THERE)
    kept = KeptSamples(now.starts, offsets)
    left = np.setdiff1d(np.arange(len(then)), was)
    came = np.flatnonzero(was < 0)
    files = tuple(_changes(then, left, now, came))
    same = bool((was >= 0).any()) or any(file.kind == "changed" for file in files)
    return Compared(kept, files) if same else None


def _changes(
    then: "Origins", left: NDArray[np.int64], now: "Origins", came: NDArray[np.int64]
) -> Iterator[FileChange]:
    names = set(_names(then, left))
    for number, (path, moved) in zip(came, _pairs(now, came), strict=True):
        known = bool({path, moved} & names)
        yield FileChange(now.paths[number], "changed" if known else "new", *_span(now, number))
    names = set(_names(now, came))
    for number, (path, moved) in zip(left, _pairs(then, left), strict=True):
        if not {path, moved} & names:
            yield FileChange(then.paths[number], "gone", *_span(then, number))


def _pairs(origins: "Origins", numbers: NDArray[np.int64]) -> Iterator[tuple[str, tuple[str, int]]]:
    """Yield what a file is known by: its path, or where its folder was moved, name and time."""
    for number in numbers.tolist():
        path = origins.paths[number]
        yield path, (PurePath(path).name, int(origins.times[number, 0]))


def _names(origins: "Origins", numbers: NDArray[np.int64]) -> Iterator[str | tuple[str, int]]:
    for path, moved in _pairs(origins, numbers):
        if path:
            yield path
            yield moved


def _span(origins: "Origins", number: int) -> tuple[str, str]:
    first, last = (np.datetime64(int(time), "ns") for time in origins.times[number])
    return str(first), str(last)


def left_out(then: "Origins", now: "Origins", compared: Compared, listed: Collection[str]) -> str:
    """Return a file, as it was, that is left out at an end of the recording; "" if none is.

    Then it is another stretch of the archive that was passed, and not the archive that changed.

    Parameters
    ----------
    then, now : Origins
        The files.
    compared : Compared
        What became of them.
    listed : collection of str
        Files that an index lists, with the reason why they are left out.
    """
    gone = {file.path for file in compared.files if file.kind == "gone"} - set(listed)
    (first, last), states = _ends(then), set(now.states.tolist())
    begins, ends = _ends(now)
    shorter = []
    if now.times[begins, 0] > then.times[first, 0]:
        shorter.append(first)
    if now.times[ends, 1] < then.times[last, 1]:
        shorter.append(last)
    for number in shorter:
        path = then.paths[number]
        there = path in gone and os.path.exists(path)
        if path and (there or int(then.states[number]) in states):
            return path
    return ""


def _ends(origins: "Origins") -> tuple[int, int]:
    """Return the stretches with the first and the last sample."""
    return int(origins.times[:, 0].argmin()), int(origins.times[:, 1].argmax())
