"""Files of JSON objects, one a line, each with a checksum, that are only ever appended to.

::

    {"file": 0, ...}         whole lines, each an object: trusted
    {"file": 1, ...}
    ^@^@^@^@^@^@^@^@         a whole line that is none: the damage begins
    {"file": 3, ...}         not trusted, since nobody knows what stood before it
    {"file": 4, "pa          no whole line: being written, or cut short by a death; no damage

Disks and power cuts leave what no program wrote: NUL bytes, rubbish, half a line with another
behind it.  What follows may speak of what is lost, so all of it goes.  The ledger of a run, whose
lines are numbered, need not be as strict: :mod:`dasdist.journal.ledger`.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dasdist.errors import OutputUnwritable
from dasdist.safe_text import one_line
from dasdist.storage.files import open_own, writing
from dasdist.storage.seal import Damaged, seal, unseal
from dasdist.units import count_of

__all__ = ["Damage", "JsonLines", "Trusted", "read_json_lines"]


@dataclass(frozen=True, slots=True)
class Damage:
    """What is not trusted of a file, from its first bad line to its end.

    Parameters
    ----------
    path : Path
        The file.
    line : int
        Number of the first bad line, from 1 on.
    lines, size : int
        How many lines, and bytes, are not trusted.
    reason : str
        What is wrong with the first of them.
    """

    path: Path
    line: int
    lines: int
    size: int
    reason: str

    def __str__(self) -> str:
        lines = count_of(self.lines, "line")
        return one_line(
            f"{self.path} is damaged from line {self.line:,} on, which {self.reason}: {lines} "
            f"({self.size:,} bytes) cannot be trusted"
        )


@dataclass(frozen=True, slots=True)
class Trusted:
    """How much of a file is trusted.

    Parameters
    ----------
    size : int
        Bytes, from its beginning.
    damage : Damage or None
        What follows, if that is no unfinished line.
    """

    size: int
    damage: Damage | None


def read_json_lines(path: Path, take: Callable[[dict[str, Any]], None]) -> Trusted:
    """Read a file up to its first bad line, also while another process appends to it.

    Parameters
    ----------
    path : Path
        The file; one that does not exist has no lines.
    take : callable
        Takes one object after the other.  It raises `ValueError`, `TypeError`, `KeyError` or
        `IndexError`, and does nothing else, if the object is not of the kind that it expects.

    Returns
    -------
    Trusted

    Examples
    --------
    >>> read_json_lines(Path("no such file"), print)
    Trusted(size=0, damage=None)
    """
    size = 0
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return Trusted(0, None)
    with file:
        for number, line in enumerate(file, 1):
            reason = _taken(line, take)
            if reason:
                rest = [len(line), *map(len, file)]
                return Trusted(size, Damage(path, number, len(rest), sum(rest), reason))
            if line.endswith(b"\n"):
                size += len(line)
    return Trusted(size, None)


def _taken(line: bytes, take: Callable[[dict[str, Any]], None]) -> str:
    """Hand a line on; return what is wrong with it, if anything."""
    if b"\0" in line:  # no program of ours writes any, not even as half of a line
        return "holds NUL bytes"
    if not line.endswith(b"\n"):
        return ""
    try:
        found, _ = unseal(line)
    except Damaged as error:
        return str(error)
    try:
        take(found)
    except (ValueError, TypeError, KeyError, IndexError):
        return "is JSON of another kind"
    return ""


class JsonLines:
    """Appends to a file; a context manager.

    Parameters
    ----------
    path : Path
        Made if it does not exist.

    Raises
    ------
    OutputUnwritable
        On entering, or writing, if the disk is full or writing is not allowed.
    InvalidInput
        On entering, if the file is a link or of another user.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> "JsonLines":
        with writing(self._path):
            # unbuffered: what cannot be written now is not written later, either
            self._file = open_own(self._path)
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def fileno(self) -> int:
        """Return the file descriptor, for locks."""
        return self._file.fileno()

    def check_in_place(self) -> None:
        """Make sure that the file is where it was.

        Raises
        ------
        OutputUnwritable
            If it was removed or replaced since it was opened: what was written is nowhere then.
        """
        with suppress(OSError):
            if os.path.samestat(os.fstat(self._file.fileno()), os.stat(self._path)):
                return
        raise OutputUnwritable(
            f"{self._path} was removed or replaced while it was written, so that nothing says any "
            "more what is done. Leave it alone, and call again."
        )

    def cut(self, size: int) -> None:
        """Keep so many bytes of the file, of what is trusted, and nothing behind them."""
        with writing(self._path):
            self._file.truncate(size)

    def append(self, entry: Mapping[str, Any]) -> None:
        """Append a line; it is safe from a death of this process when this returns."""
        line = memoryview(seal(entry) + b"\n")
        with writing(self._path):
            while line:  # a disk that becomes full takes the beginning of it
                line = line[self._file.write(line) :]

    def sync(self) -> None:
        """Wait until all lines are on the disk."""
        with writing(self._path):
            os.fsync(self._file.fileno())
