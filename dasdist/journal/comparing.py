"""Compare the recording of a run with the one that its output was begun with."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dasdist.geometry import SegmentGrid
from dasdist.geometry.carry import Earlier, KeptSamples
from dasdist.journal import origins_file
from dasdist.journal.archive_change import Compared, compare, left_out
from dasdist.journal.fingerprint import continued
from dasdist.journal.following import Followed, follow
from dasdist.journal.mismatch import another_recording, other_segments
from dasdist.sources import Recording
from dasdist.sources.origins import Origins, origins_of

__all__ = ["HeldCores", "Now", "follow_recording"]


@dataclass(frozen=True)
class Now:
    """The recording of a run.

    Parameters
    ----------
    recording : Recording
        The data.
    listed : collection of str
        Files that the index of an archive lists, as left out or changed.
    followed : bool
        Whether what its results are written to can follow a change of the archive.
    """

    recording: Recording
    listed: Collection[str]
    followed: bool

    @cached_property
    def origins(self) -> Origins:
        """Its files: of a large archive, found once."""
        return origins_of(self.recording)


def follow_recording(
    folder: Path,
    held: Mapping[str, Any],
    fingerprint: Mapping[str, Any],
    grids: tuple[Sequence[SegmentGrid], Sequence[SegmentGrid]],
    now: Now,
) -> tuple[Followed | None, list[str]]:
    """Find out which blocks of a run stand, or why it is another.

    Parameters
    ----------
    folder : Path
        The journal of the run.
    held, fingerprint : mapping
        What that run is, and what this one is.
    grids : tuple of sequences of SegmentGrid
        Their segments.
    now : Now
        The recording of this run.
    """
    old, new = grids
    recorded, present = held["recording"], fingerprint["recording"]
    if recorded == present:
        if held["segments"] != fingerprint["segments"]:
            return None, [other_segments(held["segments"], fingerprint["segments"])]
        return Followed.held(held, sum(map(len, new))), []
    compared, why = _compared(folder, recorded, now)
    if compared is None:
        return None, [another_recording(recorded, present), *why]
    told = list(_other_blocks(old, new))
    if not told and not now.followed and not continued(old, new):
        told = [other_segments(held["segments"], fingerprint["segments"])]
    return (None if told else follow(held, old, new, compared)), told


def _compared(
    folder: Path, recorded: Mapping[str, Any], now: Now
) -> tuple[Compared | None, list[str]]:
    """Return what became of a recording; or None, and what else there is to say."""
    until, samples = recorded["samples"], now.recording.shape[0]
    grown = until <= samples and now.recording.identity(until) == recorded["identity"]
    then = origins_file.load(folder, recorded["identity"]) if now.followed else None
    found = compare(then, now.origins) if then else None
    if grown:
        return Compared(KeptSamples.first(until, samples), found.files if found else ()), []
    if then is None:
        noted = now.followed and any(now.origins.paths)
        why = (
            "the output does not say from which files it was computed, or that is damaged, so what "
            "changed is unknown"
        )
        return None, [why] * noted
    if found is None:
        return None, ["not one of its files is what it was, or has the name and time that it had"]
    out = left_out(then, now.origins, found, now.listed)
    if out:
        return None, [
            f"{out}, at an end of the recording then, is not, or not wholly, in the data now, "
            "though it is still there: another stretch of an archive is another run"
        ]
    return found, []


def _other_blocks(old: Sequence[SegmentGrid], new: Sequence[SegmentGrid]) -> Iterator[str]:
    """Yield where blocks are of another size than those that the output was begun with."""
    cores = HeldCores(old)
    for grid in new:
        core = cores(grid)
        if core is not None and tuple(map(min, core, grid.shape)) != grid.core:
            (a, b), (c, d) = core, grid.core
            yield f"other blocks: of {a:,} samples x {b:,} channels then, of {c:,} x {d:,} now"


class HeldCores:
    """Returns the core of the blocks that an output was begun with, for a segment of now.

    It is that of the longest segment of then around the same time; else of the longest of its kind
    that has more than one block along time, of which the core was not cut to its length.
    """

    def __init__(self, old: Sequence[SegmentGrid]) -> None:
        self._earlier = Earlier(old)

    def __call__(self, grid: SegmentGrid) -> tuple[int, int] | None:
        """Return the core, or None if there was none like it."""
        found = self._earlier.around(grid) or [
            before for before in self._earlier.of_kind(grid) if before.blocks[0] > 1
        ]
        longest = max(found, key=lambda before: before.shape[0], default=None)
        return None if longest is None else longest.core
