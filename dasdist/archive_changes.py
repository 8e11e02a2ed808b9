"""What changed in an archive since a run began, and which blocks are done again for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from dasdist.safe_text import one_line

__all__ = ["ArchiveChange", "BlocksAgain", "FileChange"]

_NAMED = 3  # files or blocks in a line; the rest is counted


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that is not what it was when blocks were computed from it.

    Parameters
    ----------
    path : str
        The file.
    kind : {"changed", "new", "gone"}
        Of another size or time of modification, or read in another part; not there before; not
        there any more.
    start, stop : str
        First and last time, of a file that is gone as they were.
    """

    path: str
    kind: Literal["changed", "new", "gone"]
    start: str
    stop: str


@dataclass(frozen=True, slots=True)
class BlocksAgain:
    """Neighbouring blocks that are done again.

    Parameters
    ----------
    first, last : int
        The first and the last of them in the plan.
    start, stop : str
        Times of their first and last output.
    reason : str
        Why.
    """

    first: int
    last: int
    start: str
    stop: str
    reason: str

    def __str__(self) -> str:
        name = f"block {self.first}" if self.first == self.last else f"blocks {self.first} to "
        last = "" if self.first == self.last else str(self.last)
        return one_line(f"{name}{last}, {self.start} to {self.stop}: {self.reason}")


@dataclass(frozen=True, slots=True)
class ArchiveChange:
    """What changed in an archive since a run began, and what that costs.

    Parameters
    ----------
    files : tuple of FileChange
        The files, or the first of them.
    counts : mapping of str to int
        How many there are of each kind.
    again : tuple of BlocksAgain
        The blocks that were computed, or given up, and are done again; or the first of them.
    blocks : int
        How many these are.
    kept : int
        Blocks whose results stay as they are.
    when : str
        When that was found, ISO.
    """

    files: tuple[FileChange, ...]
    counts: Mapping[str, int]
    again: tuple[BlocksAgain, ...]
    blocks: int
    kept: int
    when: str = ""

    def __str__(self) -> str:
        kinds = [self._of_kind(kind, count) for kind, count in self.counts.items() if count]
        return one_line(
            f"the archive changed since earlier blocks were computed: {'; '.join(kinds)}. "
            f"{self.blocks:,} blocks are done again, {self.kept:,} are kept"
        )

    def _of_kind(self, kind: str, count: int) -> str:
        names = [file.path for file in self.files if file.kind == kind][:_NAMED]
        more = f" and {count - len(names):,} more" if count > len(names) else ""
        return f"{count:,} {'file' if count == 1 else 'files'} {kind} ({', '.join(names)}{more})"
