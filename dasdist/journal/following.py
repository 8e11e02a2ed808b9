"""Follow an archive that changed: which blocks of a run still stand, under which number, and why.

::

    run.json, files-….npz   what was planned and read        then
    plan, recording         what there is                     now
                |
                v
    Followed                for each block of now: the one of then that has its result, its number,
                            and of those that are done again, why

A block keeps its number for as long as it stands: what it wrote bears that name.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dasdist.archive_changes import ArchiveChange, BlocksAgain, FileChange
from dasdist.geometry import Axis, SegmentGrid, block_at
from dasdist.geometry.carry import Carried, carry
from dasdist.geometry.numbers import Numbers
from dasdist.journal.archive_change import Compared
from dasdist.journal.ledger import History
from dasdist.report import Failure, Partial

__all__ = ["Followed", "describe_change", "follow", "numbers_of", "placed", "renumbered"]

_LISTED = 1000
"""Files, or stretches of blocks, that are listed one by one; the others are counted."""

_ELSEWHERE = "its windows lie elsewhere: the segment around it begins or ends at another time"


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """How the blocks of a plan go on from what an output holds.

    Parameters
    ----------
    numbers : Numbers
        Of the blocks of now.
    next_number : int
        The first that no block ever had.
    moved : bool
        Whether a block stands whose samples or segment are counted in another way now.
    then : mapping of int to int, or None
        The block of now for each number of then whose result stands; None if all stand.
    carried : Carried or None
        Where the blocks of now come from; None if nothing changed.
    compared : Compared or None
        What became of the recording.
    """

    numbers: Numbers
    next_number: int
    moved: bool = False
    then: Mapping[int, int] | None = None
    carried: Carried | None = None
    compared: Compared | None = None

    @classmethod
    def anew(cls, blocks: int) -> "Followed":
        """Return how a run begins."""
        return cls(Numbers(), blocks)

    @classmethod
    def held(cls, fingerprint: Mapping[str, Any], blocks: int) -> "Followed":
        """Return how a run goes on where nothing changed."""
        numbers, following = numbers_of(fingerprint, blocks)
        return cls(numbers, following, bool(fingerprint.get("moved"))).settled(blocks)

    def settled(self, blocks: int) -> "Followed":
        """Return the same for a ledger that has let go of all that does not stand."""
        return replace(self, then=None if self.numbers.plain else self.numbers.blocks(blocks))

    def described(self, blocks: int) -> dict[str, Any]:
        """Return what ``run.json`` needs to know of it; nothing of a run that was never moved."""
        found: dict[str, Any] = {}
        if not self.numbers.plain:
            found["numbers"] = [list(self.numbers.starts), list(self.numbers.firsts)]
        if self.next_number != blocks:
            found["next_number"] = self.next_number
        return found | ({"moved": True} if self.moved else {})

    def standing(self, history: History) -> History:
        """Return what stands of a ledger, by the blocks of now."""
        if self.then is None:
            return history
        block = self.then
        return replace(
            history,
            parts={block[n]: part for n, part in history.parts.items() if n in block},
            failures={block[n]: fail for n, fail in history.failures.items() if n in block},
            partial={block[n]: lacks for n, lacks in history.partial.items() if n in block},
        )


def placed(failure: Failure, grids: Sequence[SegmentGrid], index: int) -> Failure:
    """Return a failure of an earlier run as one of a block in the plan of now."""
    block = block_at(grids, index)
    return replace(failure, block=index, segment=block.segment, core=block.core)


def renumbered(lacking: Partial, index: int) -> Partial:
    """Return what a block of an earlier run lacks as of one in the plan of now."""
    return replace(lacking, missing=tuple(replace(one, block=index) for one in lacking.missing))


def numbers_of(fingerprint: Mapping[str, Any], blocks: int) -> tuple[Numbers, int]:
    """Return the numbers of the blocks of a run, and the first that no block ever had."""
    starts, firsts = fingerprint.get("numbers", ([0], [0]))
    return Numbers(tuple(starts), tuple(firsts)), fingerprint.get("next_number", blocks)


def follow(
    held: Mapping[str, Any],
    old: Sequence[SegmentGrid],
    new: Sequence[SegmentGrid],
    compared: Compared,
) -> Followed:
    """Find out which blocks of a run stand.

    Parameters
    ----------
    held : mapping
        Its fingerprint.
    old, new : sequence of SegmentGrid
        Its segments, and those of now.
    compared : Compared
        What became of the recording.
    """
    blocks = sum(map(len, old))
    were, free = numbers_of(held, blocks)
    numbers_then = were.all(blocks)
    carried = carry(old, new, compared.kept)
    numbers = _numbered(carried, numbers_then, free)
    stands = np.flatnonzero(carried.same >= 0)
    then = dict(zip(numbers_then[carried.same[stands]].tolist(), stands.tolist(), strict=True))
    return Followed(
        numbers=Numbers.of(numbers),
        next_number=max(free, int(numbers.max()) + 1),
        moved=bool(held.get("moved")) or _moved(old, new, carried),
        then=then,
        carried=carried,
        compared=compared,
    )


def _numbered(carried: Carried, numbers_then: NDArray[np.int64], free: int) -> NDArray[np.int64]:
    """Give each block of now its number of then; to others one that no standing block has."""
    numbers = np.full(len(carried.same), -1, dtype=np.int64)
    for found in (carried.same, carried.alike):
        taken = np.isin(found, np.flatnonzero(np.isin(numbers_then, numbers)))
        (places,) = np.nonzero((numbers < 0) & (found >= 0) & ~taken)
        _, once = np.unique(found[places], return_index=True)
        numbers[places[once]] = numbers_then[found[places[once]]]
    rest = np.flatnonzero(numbers < 0)
    own = rest[~np.isin(rest, numbers)]  # its place in the plan, where nobody has that number
    numbers[own] = own
    rest = np.flatnonzero(numbers < 0)
    numbers[rest] = np.arange(len(rest)) + max(free, int(numbers.max(initial=-1)) + 1)
    return numbers


def _moved(old: Sequence[SegmentGrid], new: Sequence[SegmentGrid], carried: Carried) -> bool:
    """Tell whether standing blocks count their samples or their segment in another way now."""
    firsts = [grid.first_block for grid in old]
    for grid in new:
        same = carried.same[grid.first_block : grid.first_block + len(grid)]
        for number in np.unique(np.searchsorted(firsts, same[same >= 0], side="right") - 1):
            before = old[number]
            later = (grid.time.start - before.time.start) / grid.time.step
            offset = grid.recorded.time.start - before.recorded.time.start - later
            if offset or grid.index != before.index:
                return True
    return False


# ---------------------------------------------------------------- in words


def describe_change(
    followed: Followed,
    old: Sequence[SegmentGrid],
    new: Sequence[SegmentGrid],
    kept: int,
) -> ArchiveChange:
    """Say which files changed, and which blocks are done again for what reason.

    Parameters
    ----------
    followed : Followed
        What stands.
    old, new : sequence of SegmentGrid
        The segments of then and of now.
    kept : int
        Blocks that stand and are done.
    """
    assert followed.carried is not None
    assert followed.compared is not None
    compared = followed.compared
    counts = dict.fromkeys(("changed", "new", "gone"), 0)
    for file in compared.files:
        counts[file.kind] += 1
    stretches = list(_stretches(followed.carried, old, new))
    files = _Files.of(compared.files)
    return ArchiveChange(
        files=compared.files[:_LISTED],
        counts=counts,
        again=tuple(_described(stretch, files) for stretch in stretches[:_LISTED]),
        blocks=sum(stretch.blocks for stretch in stretches),
        kept=kept,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
    )


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Rows of blocks that are not what they were; `alike` if their windows lie as they did."""

    grid: SegmentGrid
    first: int
    last: int
    alike: bool

    @property
    def blocks(self) -> int:
        return (self.last - self.first + 1) * self.grid.blocks[1]

    @property
    def out_time(self) -> Axis:
        core = self.grid.core[0]
        stop = min((self.last + 1) * core, self.grid.shape[0])
        return self.grid.out_time.slice(self.first * core, stop)


def _stretches(
    carried: Carried, old: Sequence[SegmentGrid], new: Sequence[SegmentGrid]
) -> Iterator[_Stretch]:
    """Yield what is done again; of times that the recording did not have, blocks are just new."""
    spans = sorted((g.time.start, g.time.start + g.time.size * g.time.step) for g in old)
    starts = np.array([float(start) for start, _ in spans])
    ends = np.maximum.accumulate(np.array([float(end) for _, end in spans]))
    for grid in new:
        blocks = slice(grid.first_block, grid.first_block + len(grid))
        fresh = np.any((carried.same[blocks] < 0).reshape(grid.blocks), axis=1)
        alike = np.all((carried.alike[blocks] >= 0).reshape(grid.blocks), axis=1)
        rows = np.flatnonzero(fresh)
        cuts = np.flatnonzero((np.diff(rows) != 1) | (np.diff(alike[rows]) != 0)) + 1
        for run in np.split(rows, cuts) if rows.size else ():
            stretch = _Stretch(grid, int(run[0]), int(run[-1]), bool(alike[run[0]]))
            time = stretch.out_time
            before = int(np.searchsorted(starts, float(time.start + time.size * time.step))) - 1
            if before >= 0 and ends[before] > float(time.start):
                yield stretch


@dataclass(frozen=True, slots=True, eq=False)
class _Files:
    """Files that changed or came, found by time."""

    files: list[FileChange]
    starts: NDArray[np.datetime64]
    stops: NDArray[np.datetime64]

    @classmethod
    def of(cls, files: Sequence[FileChange]) -> "_Files":
        there = [file for file in files if file.kind != "gone"]
        starts, stops = ([getattr(f, end) for f in there] for end in ("start", "stop"))
        kind = "datetime64[ns]"
        return cls(there, np.array(starts, dtype=kind), np.array(stops, dtype=kind))

    def within(self, time: Axis) -> list[FileChange]:
        first, last = time.value(0), time.value(time.size - 1)
        found = np.flatnonzero((self.starts <= last) & (self.stops >= first))
        return [self.files[number] for number in found.tolist()]


def _described(stretch: _Stretch, files: _Files) -> BlocksAgain:
    grid = stretch.grid
    low, high = grid.along_time(stretch.first)[3].start, grid.along_time(stretch.last)[3].stop
    found = files.within(grid.time.slice(low, high))
    reasons = [_reads(found)] if found else []
    reasons += [] if stretch.alike and found else [_ELSEWHERE]
    time, width = stretch.out_time, grid.blocks[1]
    return BlocksAgain(
        grid.first_block + stretch.first * width,
        grid.first_block + (stretch.last + 1) * width - 1,
        str(time.value(0)),
        str(time.value(time.size - 1)),
        "; ".join(reasons),
    )


def _reads(files: Sequence[FileChange]) -> str:
    what = "changed" if files[0].kind == "changed" else "was not there"
    more = f" (and {len(files) - 1:,} more)" if len(files) > 1 else ""
    return f"reads {files[0].path}, which {what}{more}"
