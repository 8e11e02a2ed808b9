"""Re-read all of an output, and mark what is not what was written to be done again.

::

    run.json, its copy    the one mends the other
    metadata of a store   mended from the copy in the journal; its coordinates are written anew
    ledger                lines that are damaged cost their blocks
    parts and shards      read, and compared with the checksum in the ledger
         |
         v
    blocks to do again    taken back in the ledger: the same call or command does them

What earlier versions wrote has no checksum: of that, only the size is looked at.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from dasdist.callbacks.pick_parts import parts_of
from dasdist.callbacks.zarr_members import members_mended, shards_of
from dasdist.callbacks.zarr_root import keep_copy, mend
from dasdist.errors import InvalidInput
from dasdist.geometry import SegmentGrid, block_at
from dasdist.journal import run_file
from dasdist.journal.following import numbers_of
from dasdist.journal.ledger import Ledger, read_ledger
from dasdist.journal.reading import bounds, grids_of
from dasdist.journal.status import journal_folder, no_run
from dasdist.safe_text import shown
from dasdist.storage.checksum import CHECKSUM, crc32c_of
from dasdist.storage.lock import Lock
from dasdist.units import count_of, readable_bytes

__all__ = ["Verification", "verify"]

Progress = Callable[[int, int], None]

_READERS = 4  # files at a time: a disk of many hosts answers each of them slowly
_BATCH = 64
_LISTED = 10


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of reading an output again.

    Parameters
    ----------
    path : str
        The output.
    blocks : int
        Blocks that were read.
    unchecked : int
        How many of them an earlier version wrote, without a checksum.
    bytes : int
        How much was read.
    seconds : float
        How long that took.
    damaged : mapping of int to str
        Blocks that are not what was written, and are marked to be done again, with what is wrong.
    mended : tuple of str
        What else was damaged, and what became of it.
    """

    path: str
    blocks: int
    unchecked: int
    bytes: int
    seconds: float
    damaged: Mapping[int, str]
    mended: tuple[str, ...] = ()

    @property
    def intact(self) -> bool:
        """Whether nothing is damaged, or was."""
        return not self.damaged and not self.mended

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON."""
        return {
            "path": self.path,
            "intact": self.intact,
            "blocks": self.blocks,
            "unchecked": self.unchecked,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "damaged": [{"block": block, "what": what} for block, what in self.damaged.items()],
            "mended": list(self.mended),
        }

    def __str__(self) -> str:
        speed = readable_bytes(self.bytes / self.seconds) if self.seconds else "0 B"
        lines = [
            f"{self.path}: {count_of(self.blocks, 'block')}, {readable_bytes(self.bytes)} read in "
            f"{self.seconds:.1f} s, {speed}/s"
        ]
        lines += self.mended
        if self.unchecked:
            lines.append(
                f"{count_of(self.unchecked, 'block')} of an earlier version of dasdist "
                f"{'has' if self.unchecked == 1 else 'have'} no checksum; only the size was checked"
            )
        lines += [f"  block {block}: {what}" for block, what in [*self.damaged.items()][:_LISTED]]
        if len(self.damaged) > _LISTED:
            lines.append(f"  ... and {len(self.damaged) - _LISTED:,} more (--json has all)")
        if self.damaged:
            blocks = count_of(len(self.damaged), "block is", "blocks are")
            lines.append(f"{blocks} marked: the same call or command does them again")
        elif not self.mended:
            lines.append("nothing is damaged")
        return shown("\n".join(lines))


def verify(path: str | Path, *, progress: Progress | None = None) -> Verification:
    """Read all of an output again, and mark damaged blocks to be done again.

    Parameters
    ----------
    path : str or Path
        What was passed as ``out`` to :func:`classify`, or to :class:`WriterCallback`.
    progress : callable, optional
        Takes the bytes that were read and all there are, now and then.

    Returns
    -------
    Verification
        Prints how much was read, at which speed, and what is damaged.

    Raises
    ------
    InvalidInput
        If no run wrote there, or one whose results are neither picks nor annotations.
    OutputInUse
        If a run writes there now.
    UnreadableData
        If what says which run that was, or the form of the store, is damaged beyond repair.

    Examples
    --------
    >>> print(dasdist.verify("picks.parquet"))  # doctest: +SKIP
    """
    folder = journal_folder(path)
    if folder is None:
        raise no_run(path)
    output = Path(str(path).removeprefix("file://")).absolute()
    if output.resolve() == folder.resolve():
        output = folder.with_name(folder.name.removesuffix(".dasdist"))
    if "://" in str(path).removeprefix("file://"):
        raise InvalidInput(
            f"{path} is a URL; only outputs in folders are verified. Object stores check what they "
            "hold themselves, and readers check each chunk."
        )
    with Lock(folder / "lock", uuid4().hex[:12]):
        return _verify(output, folder, progress or _tell_nobody)


def _tell_nobody(done: int, total: int) -> None:
    """Tell nobody."""


def _verify(output: Path, folder: Path, progress: Progress) -> Verification:
    mended = [*filter(None, [run_file.mend_both(folder)])]
    run = run_file.read(folder)
    assert run is not None
    grids = grids_of(run.run)
    ledger_path = folder / "ledger.jsonl"
    with Ledger(ledger_path, *bounds(folder)) as ledger:
        mended += filter(None, [ledger.damage])
        parts = read_ledger(ledger_path, *bounds(folder)).parts
        numbers = numbers_of(run.run, sum(map(len, grids)))[0].blocks(sum(map(len, grids)))
        standing = {number: part for number, part in parts.items() if number in numbers}
        if (output / "zarr.json").exists():
            mended += filter(None, [mend(output, folder)])
            mended += members_mended(output)
            keep_copy(output, folder)
            files = _shards(output, numbers)
        elif all("picks" in part for part in standing.values()):
            files = _parts(output)
        else:
            raise InvalidInput(
                f"{output} holds neither picks nor annotations of dasdist, and what else callbacks "
                "write has no checksums."
            )
        started = time.monotonic()
        read, wrong = _compare(standing, files, progress)
        seconds = time.monotonic() - started
        if wrong:
            ledger.forget(sorted(wrong))
            run_file.write(folder, {**run.run, "taken_back": ledger.again})
    return Verification(
        path=str(output),
        blocks=len(standing),
        unchecked=sum(CHECKSUM not in part for part in standing.values()),
        bytes=read,
        seconds=seconds,
        damaged={
            numbers[number]: f"{_times(grids, numbers[number])}: {wrong[number]}"
            for number in sorted(wrong, key=numbers.__getitem__)
        },
        mended=tuple(mended),
    )


def _parts(folder: Path) -> dict[int, list[Path]]:
    """Return the files of each block: of a dataset by date there may be several."""
    found: dict[int, list[Path]] = {}
    for number, entry in parts_of(folder):
        found.setdefault(number, []).append(Path(entry.path))
    return found


def _shards(store: Path, numbers: Mapping[int, int]) -> dict[int, list[Path]]:
    """Return the shards of each block, by its number."""
    number_of = {block: number for number, block in numbers.items()}
    found: dict[int, list[Path]] = {}
    for block, shard in shards_of(store):
        if block in number_of:
            found.setdefault(number_of[block], []).append(shard)
    return found


def _compare(
    parts: Mapping[int, Mapping[str, int]], files: Mapping[int, Sequence[Path]], progress: Progress
) -> tuple[int, dict[int, str]]:
    """Return how much was read, and what is wrong with blocks, by number."""
    total, read = sum(int(part.get("bytes", 0)) for part in parts.values()), 0
    wrong: dict[int, str] = {}
    with ThreadPoolExecutor(_READERS) as readers:
        for batch in _batches(parts):
            looked = readers.map(lambda n: _look(parts[n], files.get(n, ())), batch)
            for number, (size, what) in zip(batch, looked, strict=True):
                read += size
                if what:
                    wrong[number] = what
            progress(min(read, total), total)
    progress(total, total)
    return read, wrong


def _batches(numbers: Iterable[int]) -> Iterator[list[int]]:
    listed = sorted(numbers)
    for first in range(0, len(listed), _BATCH):
        yield listed[first : first + _BATCH]


def _look(part: Mapping[str, int], files: Sequence[Path]) -> tuple[int, str]:
    """Return how much of a block was read, and what is wrong with it, if anything."""
    total = size = 0
    for file in files:
        try:
            found, length = crc32c_of(file)
        except OSError as error:
            return size, f"{file} cannot be read: {error.strerror or error}"
        total, size = (total + found) % 2**32, size + length
    names = ", ".join(file.name for file in files[:3]) or "its file"
    if not files or len(files) != part.get("shards", part.get("files", 1)):
        return size, "files are missing"
    if size != part.get("bytes"):
        return size, f"{names} has another size than was written"
    if total != part.get(CHECKSUM, total):
        return size, f"{names} is not what was written: its checksum differs"
    return size, ""


def _times(grids: Sequence[SegmentGrid], index: int) -> str:
    block = block_at(grids, index)
    axis, core = block.grid.out_time, block.core.time
    first, last = axis.value(core.start), axis.value(core.stop - 1)
    return f"{str(first)[:19]} to {str(last)[:19]}"
