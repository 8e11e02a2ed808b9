"""The ledger: which blocks are done, and which were given up.

::

    ledger.jsonl    {"n": 1, "again": 0, "after": null,
                     "block": 17, "part": {"picks": 3, ...}, "seconds": {...}, "peak": 812000000,
                     "crc32": "5a0c91d2"}
                    {..., "missing": [{"what": "...", ...}], "uncovered": [[0, 900, 3, 4]], ...}
                    {..., "block": 18, "failed": {"kind": "unreadable", "error": "...", ...}, ...}
                    {..., "block": 18, ...}                         to be computed again

One line per block, appended by the run's client alone, after the block's data is in the output.  A
line that is cut short, by a death in mid-write, was never written.  A later line on a block
replaces an earlier one.

Every line has a checksum, its number, how many blocks were taken back so far (itself included), and
the block of the line before it.  So a line that is lost costs its own block: the next one tells how
many lines are missing, whether any of them took a block back, and of the last, which.  Where a lost
line may have taken back any block, all that was recorded before it counts as not done.

Lines of earlier versions have none of this.  Among them the first bad one ends what is trusted: the
blocks named behind it, and those given up, count as not done.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dasdist.journal.ledger_reading import History, Reading, read_ledger
from dasdist.journal.lines import PLACE, Place, described
from dasdist.report import BlockResult, Failure
from dasdist.storage.files import write_atomically
from dasdist.storage.json_lines import JsonLines
from dasdist.storage.seal import seal, unseal

__all__ = ["History", "Ledger", "read_ledger"]

_SYNC_SECONDS = 2.0
"""An entry is on the disk that much after it was made; one that is not costs its block again."""


class Ledger:
    """Appends to a ledger; a context manager.

    Parameters
    ----------
    path : Path
        Made if it does not exist; an unfinished last line goes, and so does what is damaged.
    blocks, again : int, optional
        As for :func:`read_ledger`.

    Attributes
    ----------
    damage : str
        As in :class:`History`, of what went on entering.
    """

    def __init__(self, path: Path, blocks: int | None = None, again: int | None = None) -> None:
        self._path, self._blocks, self._again = path, blocks, again
        self._lines = JsonLines(path)
        self._synced = time.monotonic()
        self._last = Place()
        self.damage = ""

    def __enter__(self) -> "Ledger":
        found = Reading(self._blocks, keep=True)
        history = found.read(self._path, self._again)
        self.damage, self._last = history.damage, history.last
        if history.damage or not history.last.number:
            self._last = Place(again=max(history.last.again, self._again or 0))
        if history.damage:
            write_atomically(self._path, b"".join(self._anew(found.kept)))
        self._lines.__enter__()
        if not history.damage:
            self._lines.cut(history.size)
        return self

    def __exit__(self, *error: object) -> None:
        self._sync()
        self._lines.__exit__(*error)

    @property
    def again(self) -> int:
        """How many blocks were ever taken back."""
        return self._last.again

    def add(self, outcome: BlockResult | Failure) -> None:
        """Write what came of a block."""
        self._append(described(outcome))
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            self._sync()

    def check_in_place(self) -> None:
        """Make sure that the ledger was not removed, as `JsonLines.check_in_place` does."""
        self._lines.check_in_place()

    def forget(self, blocks: Iterable[int]) -> None:
        """Write that blocks are to be computed again."""
        for block in blocks:
            self._append({"block": block})
        self._sync()

    def _append(self, entry: Mapping[str, Any]) -> None:
        line, place = self._last.next(entry)
        self._lines.append(line)
        self._last = place

    def _anew(self, kept: Mapping[int, bytes]) -> Iterator[bytes]:
        """Yield the lines that stand, numbered anew."""
        for line in kept.values():
            entry, _ = unseal(line)
            told = {key: value for key, value in entry.items() if key not in PLACE}
            numbered, self._last = self._last.next(told)
            yield seal(numbered) + b"\n"

    def _sync(self) -> None:
        self._lines.sync()
        self._synced = time.monotonic()
