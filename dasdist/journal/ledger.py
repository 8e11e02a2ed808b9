"""The ledger: which blocks are done, and which were given up.

::

    ledger.jsonl    {"block": 17, "part": {"picks": 3, ...}, "seconds": {...}, "peak": 812000000}
                    {..., "missing": [{"what": "...", ...}], "uncovered": [[0, 900, 3, 4]]}
                    {"block": 18, "failed": {"kind": "unreadable", "error": "...", ...}}
                    {"block": 18}                                   to be computed again

One line per block, appended by the run's client alone, after the block's data is in the output.  A
line that is cut short, by a death in mid-write, was never written.  A later line on a block
replaces an earlier one.

A bad line ends what is trusted (:mod:`dasdist.storage.json_lines`).  It may have taken back what
stands before it, so the blocks named behind it, and those given up, count as not done either.
"""

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args, get_type_hints

from dasdist.geometry import Region, Span
from dasdist.report import BlockResult, Failure, Missing, Partial
from dasdist.storage.files import write_atomically
from dasdist.storage.json_lines import JsonLines, read_json_lines

__all__ = ["History", "Ledger", "read_ledger"]

_SYNC_SECONDS = 2.0
"""An entry is on the disk that much after it was made; one that is not costs its block again."""

_NAMED = re.compile(rb'"block": *(\d{1,12})')
_KINDS = get_args(get_type_hints(Failure)["kind"])


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
        Bytes of the ledger that say so, from its beginning.
    damage : str
        What is wrong with the rest, and what that means; empty if nothing is.
    partial : mapping
        What blocks that are finished could not compute, by index.
    """

    parts: Mapping[int, Any]
    failures: Mapping[int, Failure]
    size: int = 0
    damage: str = ""
    partial: Mapping[int, Partial] = field(default_factory=dict)


class Ledger:
    """Appends to a ledger; a context manager.

    Parameters
    ----------
    path : Path
        Made if it does not exist; an unfinished last line goes, and so does what is damaged.
    blocks : int, optional
        Blocks of the run; a line on any other is damage.

    Attributes
    ----------
    damage : str
        As in :class:`History`, of what went on entering.
    """

    def __init__(self, path: Path, blocks: int | None = None) -> None:
        self._path, self._blocks = path, blocks
        self._lines = JsonLines(path)
        self._synced = time.monotonic()
        self.damage = ""

    def __enter__(self) -> "Ledger":
        history = read_ledger(self._path, self._blocks)
        self.damage = history.damage
        if history.damage:
            write_atomically(self._path, b"".join(_lines_on(history, self._path)))
        self._lines.__enter__()
        if not history.damage:
            self._lines.cut(history.size)
        return self

    def __exit__(self, *error: object) -> None:
        self._sync()
        self._lines.__exit__(*error)

    def add(self, outcome: BlockResult | Failure) -> None:
        """Write what came of a block."""
        if isinstance(outcome, Failure):
            entry = {"block": outcome.block, "failed": _describe(outcome)}
        else:
            seconds = {stage: round(value, 6) for stage, value in outcome.seconds.items()}
            entry = {
                "block": outcome.block,
                "part": _counts(outcome.part),
                "seconds": seconds,
                "peak": outcome.peak,
                **_lacking(outcome.partial),
            }
        self._lines.append(entry)
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            self._sync()

    def forget(self, blocks: Iterable[int]) -> None:
        """Write that blocks are to be computed again."""
        for block in blocks:
            self._lines.append({"block": block})
        self._sync()

    def _sync(self) -> None:
        self._lines.sync()
        self._synced = time.monotonic()


def read_ledger(path: Path, blocks: int | None = None) -> History:
    """Read a ledger, also while a run writes it.

    Parameters
    ----------
    path : Path
        The ledger; one that does not exist says nothing.
    blocks : int, optional
        Blocks of the run; a line on any other is damage.

    Examples
    --------
    >>> read_ledger(Path("no such ledger")).parts
    {}
    """
    parts: dict[int, Any] = {}
    failures: dict[int, Failure] = {}
    partial: dict[int, Partial] = {}

    def take(entry: dict[str, Any]) -> None:
        block, part, failure = _parsed(entry, blocks)
        lacking = _partial(entry, block)
        parts.pop(block, None)
        failures.pop(block, None)
        partial.pop(block, None)
        if lacking is not None:
            partial[block] = lacking
        if part is not None:
            parts[block] = part
        if failure is not None:
            failures[block] = failure

    found = read_json_lines(path, take)
    if found.damage is None:
        return History(parts, failures, found.size, partial=partial)
    for block in _named_behind(path, found.size):
        parts.pop(block, None)
        partial.pop(block, None)
    told = (
        f"{found.damage}. The blocks recorded there, and those that failed, count as not done: the "
        "same call or command computes them again."
    )
    return History(parts, {}, found.size, told, partial)


def _named_behind(path: Path, size: int) -> Iterator[int]:
    """Yield the blocks that are named, in any way, from a byte of a ledger on."""
    with path.open("rb") as file:
        file.seek(size)
        for line in file:
            yield from map(int, _NAMED.findall(line))


def _lines_on(history: History, path: Path) -> Iterator[bytes]:
    """Yield the trusted lines of a ledger on the blocks that are done."""
    with path.open("rb") as file:
        while file.tell() < history.size:
            line = file.readline()
            if json.loads(line)["block"] in history.parts:
                yield line


def _describe(failure: Failure) -> dict[str, Any]:
    described = asdict(failure)
    del described["worker"]  # an address means nothing once its cluster is gone
    return described


def _lacking(partial: Partial | None) -> dict[str, Any]:
    """Return what a line on a block says more if it was done in part."""
    if partial is None:
        return {}
    return {
        "missing": [asdict(missing) for missing in partial.missing],
        "uncovered": [[*_ends(r.time), *_ends(r.distance)] for r in partial.uncovered],
    }


def _ends(span: Span) -> tuple[int, int]:
    return span.start, span.stop


def _partial(entry: Mapping[str, Any], block: int) -> Partial | None:
    """Return what a line says that a block could not compute."""
    if "missing" not in entry:
        return None
    found = []
    for described in entry["missing"]:
        first, last = described["channels"]
        missing = Missing(**{**described, "channels": (first, last)})
        texts = (missing.kind, missing.what, missing.start, missing.stop, missing.path)
        if (
            missing.block != block
            or not all(type(number) is int for number in (first, last))
            or not all(isinstance(text, str) for text in texts)
        ):
            raise ValueError(described)
        found.append(missing)
    spans = [(Span(a, b), Span(c, d)) for a, b, c, d in entry["uncovered"]]
    return Partial(tuple(found), tuple(Region(time, distance) for time, distance in spans))


def _parsed(
    entry: Mapping[str, Any], blocks: int | None
) -> tuple[int, Mapping[str, float] | None, Failure | None]:
    """Return the block of a line, and its part or why it was given up.

    Raises
    ------
    ValueError, TypeError, KeyError
        If no ledger has such a line.
    """
    block = entry["block"]
    if type(block) is not int or block < 0 or (blocks is not None and block >= blocks):
        raise ValueError(block)
    if "part" in entry:
        if not isinstance(entry["seconds"], dict) or type(entry["peak"]) is not int:
            raise ValueError(entry)
        return block, _counts(entry["part"]), None
    if "failed" in entry:
        return block, None, _failure(entry["failed"], block)
    if len(entry) > 1:  # a line without its part is not one that takes a block back
        raise ValueError(entry)
    return block, None, None


def _counts(part: Any) -> Mapping[str, float]:
    """Return a part, if it is what all parts that last are."""
    if not isinstance(part, dict) or not all(isinstance(n, int | float) for n in part.values()):
        raise TypeError(
            f"A part of results that last is a mapping of names to counts, and not {part!r:.80}."
        )
    return part


def _failure(described: Mapping[str, Any], block: int) -> Failure:
    time_span, distance = (Span(**described["core"][axis]) for axis in ("time", "distance"))
    failure = Failure(**{**described, "core": Region(time_span, distance)})
    numbers = (failure.segment, *asdict(time_span).values(), *asdict(distance).values())
    texts = (failure.error, failure.kind, failure.traceback, failure.start, failure.stop)
    if (
        failure.block != block
        or failure.kind not in _KINDS
        or not all(type(number) is int for number in numbers)
        or not all(isinstance(text, str) for text in texts)
    ):
        raise ValueError(described)
    return failure
