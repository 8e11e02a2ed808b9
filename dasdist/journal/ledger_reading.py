"""Read a ledger, also one that a disk or a power cut has damaged: what still counts of it.

The lines are as :mod:`dasdist.journal.ledger` writes them.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dasdist.journal.lines import NOT_A_LINE, PLACE, Line, Place
from dasdist.report import Failure, Partial
from dasdist.storage.seal import Damaged, unseal
from dasdist.units import count_of

__all__ = ["History", "Reading", "read_ledger"]

_BEGINS = re.compile(rb'(?=\{"n": \d)')
_NAMED = re.compile(rb'"block": *(\d{1,12})')


@dataclass(frozen=True, slots=True)
class History:
    """What a ledger says.

    Parameters
    ----------
    parts : mapping
        Part of each finished block, by index.
    failures : mapping
        Of each block that was given up, by index.
    size : int
        Bytes of its whole lines.
    damage : str
        What is wrong with it, and what that means; empty if nothing is.
    partial : mapping
        What blocks that are finished could not compute, by index.
    last : Place
        Where its last line stands.
    """

    parts: Mapping[int, Any]
    failures: Mapping[int, Failure]
    size: int = 0
    damage: str = ""
    partial: Mapping[int, Partial] = field(default_factory=dict)
    last: Place = Place()


def read_ledger(path: Path, blocks: int | None = None, again: int | None = None) -> History:
    """Read a ledger, also while a run writes it.

    Parameters
    ----------
    path : Path
        The ledger; one that does not exist says nothing.
    blocks : int, optional
        Blocks of the run; a line on any other is damage.
    again : int, optional
        Lines that take a block back which it must have, as ``run.json`` knows.

    Examples
    --------
    >>> read_ledger(Path("no such ledger")).parts
    {}
    """
    return Reading(blocks).read(path, again)


class Reading:
    """Takes line after line, and finds out what those that are lost may have said."""

    def __init__(self, blocks: int | None, *, keep: bool = False) -> None:
        self._blocks, self._keep = blocks, keep
        self.kept: dict[int, bytes] = {}
        self._parts: dict[int, Any] = {}
        self._failures: dict[int, Failure] = {}
        self._partial: dict[int, Partial] = {}
        self._last = Place()
        self._size = 0
        self._reason = ""
        self._lost = 0  # lines
        self._bad = 0  # lines since the last good one
        self._named: set[int] = set()  # blocks, in these
        self._told = "Only the blocks that they were on count as not done"

    def read(self, path: Path, again: int | None) -> History:
        """Read all lines."""
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return History({}, {})
        with file:
            for number, line in enumerate(file, 1):
                for piece in _pieces(line):
                    self._read(piece, number)
                self._size += len(line) if line.endswith(b"\n") else 0
        self._look_behind(again)
        damage = f"{path} is damaged: {self._reason}. {self._cost()}" if self._reason else ""
        return History(self._parts, self._failures, self._size, damage, self._partial, self._last)

    def _cost(self) -> str:
        if not self._lost:
            return "No line is lost."
        lost = count_of(self._lost, "line is", "lines are")
        return f"{lost} lost. {self._told}: the same call or command computes them again."

    def _read(self, piece: bytes, number: int) -> None:
        whole = piece.endswith(b"\n")
        try:
            entry, sealed = unseal(piece)
            if not sealed and not whole:
                return  # it was never written to its end
            self._take(entry, piece, sealed=sealed)
            if not whole:
                raise Damaged("has lost its end")
            return
        except Damaged as error:
            reason = str(error)
        except NOT_A_LINE:
            reason = "is JSON of another kind"
        if whole or b"\0" in piece:  # which no program of ours writes, not even as half of a line
            self._bad += 1
            self._named |= set(map(int, _NAMED.findall(piece)))
        elif reason != "has lost its end":
            return
        self._reason = self._reason or f"line {number:,} {reason}"

    def _take(self, entry: dict[str, Any], piece: bytes, *, sealed: bool) -> None:
        if not sealed and ("n" in entry or self._bad):
            raise Damaged("has no checksum")
        line = Line.of({k: v for k, v in entry.items() if k not in PLACE}, self._blocks)
        place = Place(self._last.number + 1, self._last.again + line.takes_back, line.block)
        if sealed:
            place = Place(entry["n"], entry["again"], line.block)
            self._bridge(place, place.again - line.takes_back, entry["after"])
        self._forget(line.block)
        self._last, self._bad = place, 0
        self._named.clear()
        if line.takes_back:
            return
        if self._keep:
            self.kept[line.block] = piece
        if line.part is not None:
            self._parts[line.block] = line.part
        if line.failure is not None:
            self._failures[line.block] = line.failure
        if line.partial is not None:
            self._partial[line.block] = line.partial

    def _bridge(self, place: Place, again: int, after: int | None) -> None:
        """Let go of what lines that are missing before this one may have taken back."""
        missing = place.number - self._last.number - 1
        taken = again - self._last.again if place.number > 1 else 0
        if missing < 0:
            raise Damaged("has the number of an earlier one")
        if not missing and not taken:
            return
        self._reason = self._reason or f"lines are missing before number {place.number:,}"
        self._lost += missing
        if taken and not (taken == missing == 1 and after is not None):
            self._forget_all()
        elif after is not None:
            self._forget(after)

    def _look_behind(self, again: int | None) -> None:
        """Let go of what lines that are missing at the end may have taken back."""
        self._lost += self._bad
        if again is not None and self._last.number and self._last.again < again:
            self._reason = self._reason or "lines are missing at its end"
            self._lost = self._lost or again - self._last.again
            self._forget_all()
        elif again is None and self._bad:
            for block in self._named:
                self._forget(block)
            for block in [*self._failures]:
                self._forget(block)
            self._told = "The blocks that are named there, and those that failed, count as not done"

    def _forget(self, block: int) -> None:
        for held in (self._parts, self._failures, self._partial, self.kept):
            held.pop(block, None)

    def _forget_all(self) -> None:
        for held in (self._parts, self._failures, self._partial, self.kept):
            held.clear()
        self._told = (
            "One that is lost took back a block that is unknown, so all that was recorded before "
            "it count as not done"
        )


def _pieces(line: bytes) -> Iterator[bytes]:
    """Yield the lines in a line: several where a line end is lost."""
    *firsts, last = filter(None, _BEGINS.split(line))
    yield from (piece[: piece.rfind(b"}") + 1] for piece in firsts)
    if last.endswith(b"\n"):
        yield last
    else:
        yield last[: last.rfind(b"}") + 1] or last
