"""What a run did, and what it had to leave out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dasdist.archive_changes import ArchiveChange
from dasdist.geometry import Axis, Region
from dasdist.safe_text import one_line, shown
from dasdist.units import count_of, readable_time, times_real_time

__all__ = [
    "BlockResult",
    "Failure",
    "Missing",
    "Partial",
    "RunReport",
    "Skipped",
    "time_span",
]


@dataclass(frozen=True, slots=True)
class Missing:
    """Why some windows of a block were left out, though the block was computed.

    Parameters
    ----------
    block : int
        Which.
    kind : {"unreadable", "model"}
        Samples are missing; or the model returned NaN.
    what : str
        What is wrong.
    start, stop : str
        Times of the first and the last sample concerned.
    channels : tuple of int
        Channels of the recording that are concerned, the second excluded.
    path : str
        The first file that the samples belong to, as far as it is known.
    """

    block: int
    kind: Literal["unreadable", "model"]
    what: str
    start: str
    stop: str
    channels: tuple[int, int]
    path: str = ""

    def __str__(self) -> str:
        first, last = self.channels[0], self.channels[1] - 1
        channels = f"channel {first}" if first == last else f"channels {first} to {last}"
        file = "" if not self.path or self.path in self.what else f" (file {self.path})"
        return one_line(
            f"{readable_time(self.start)} to {readable_time(self.stop)}, {channels}: "
            f"{self.what}{file}"
        )


@dataclass(frozen=True, slots=True)
class Partial:
    """What a block that was computed could not compute.

    Parameters
    ----------
    missing : tuple of Missing
        Why windows were left out.
    uncovered : tuple of Region
        Outputs that the block owns and no other window fills either, counted from the first that
        it owns.
    """

    missing: tuple[Missing, ...]
    uncovered: tuple[Region, ...] = ()


@dataclass(frozen=True, slots=True)
class BlockResult:
    """What comes back of a block that was computed.

    Parameters
    ----------
    block : int
        Which.
    part : object
        The block's part of the result.
    seconds : mapping of str to float
        How long its stages took: read, preprocess, model, reduce and write.
    peak : int
        The most memory that the process ever had, in bytes.
    notes : tuple of str
        What the process does in another way than was asked for.
    worker : str
        Address of the worker; empty in the process that asked for the run.
    partial : Partial or None
        What it could not compute, if anything.
    """

    block: int
    part: Any
    seconds: Mapping[str, float]
    peak: int = 0
    notes: tuple[str, ...] = ()
    worker: str = ""
    partial: Partial | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A segment that no model could be applied to.

    Parameters
    ----------
    recorded : Region
        Its samples and channels in the recording.
    time, distance : Axis
        Its coordinates.
    reason : str
        Why.
    """

    recorded: Region
    time: Axis
    distance: Axis
    reason: str

    def __str__(self) -> str:
        channels = count_of(self.distance.size, "channel")
        return one_line(f"{time_span(self.time)}, {channels}: {self.reason}")


@dataclass(frozen=True, slots=True)
class Failure:
    """A block that was left out.

    Parameters
    ----------
    block, segment : int
        Which.
    core : Region
        The outputs that are missing.
    error : str
        What was wrong, with file and time span.
    kind : {"unreadable", "error", "deadline", "killed"}
        Its data could not be read; it raised; it took too long; it killed its worker.
    traceback : str
        Where it was raised, if it was.
    start, stop : str
        Times of the first and the last output that are missing.
    worker : str
        Address of the worker where it was tried last; empty in the process that asked for the run.
    """

    block: int
    segment: int
    core: Region
    error: str
    kind: Literal["unreadable", "error", "deadline", "killed"] = "unreadable"
    traceback: str = ""
    start: str = ""
    stop: str = ""
    worker: str = ""


@dataclass(frozen=True, slots=True)
class RunReport:
    """The outcome of a run.

    Parameters
    ----------
    model : str
        Name of the model.
    blocks : int
        Blocks of the plan.
    data_seconds : float
        Length of the processed segments.
    wall_seconds : float
        How long the run took.
    skipped : tuple of Skipped
        Segments too short for a patch.
    failures : tuple of Failure
        Blocks left out, also by the earlier runs that this one resumed.
    before : int
        Blocks that earlier runs had done.
    finished : int
        Blocks that are done, those of earlier runs included.
    seconds : mapping of str to float
        Time that the blocks of this run took, added up over task threads, by stage.
    peak, planned : int
        The most memory that a worker process had, and what the plan said, in bytes.
    notes : tuple of str
        What of the recording does not count, such as samples that overlap earlier ones; and what
        some process did in another way than was asked for: with the plain model because an
        optimised one could not be built or differed, or in smaller batches for want of memory; and
        which segments were padded, and what is wrong with the data or its fit to the model.
    partial : mapping of int to Partial
        What blocks that are done could not compute, by block; also of earlier runs.
    unreached : str
        What of every segment no window of the model covers, in words; empty for nothing.
    facts : mapping of str to str
        What the model saw and what its results were read with: its rate, thresholds, ….
    change : ArchiveChange or None
        What changed in the archive since an earlier run computed from it.
    """

    model: str
    blocks: int
    data_seconds: float
    wall_seconds: float
    finished: int
    skipped: tuple[Skipped, ...] = ()
    failures: tuple[Failure, ...] = ()
    before: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    peak: int = 0
    planned: int = 0
    notes: tuple[str, ...] = ()
    partial: Mapping[int, Partial] = field(default_factory=dict)
    unreached: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    change: ArchiveChange | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing was left out."""
        return not self.skipped and not self.partial and self.finished == self.blocks

    @property
    def missing(self) -> tuple[Missing, ...]:
        """Why windows of blocks that are done were left out, by block."""
        return tuple(m for block in sorted(self.partial) for m in self.partial[block].missing)

    def __str__(self) -> str:
        share = (self.finished - self.before) / self.blocks if self.blocks else 0.0
        seconds = share * self.data_seconds
        speed = seconds / max(self.wall_seconds, 1e-9)
        earlier = f" ({self.before} of them earlier)" if self.before else ""
        lines = [
            f"{self.model}: {self.finished:,} of {count_of(self.blocks, 'block')}{earlier}, "
            f"{seconds:,.0f} s of data in {self.wall_seconds:.1f} s, {times_real_time(speed)}"
        ]
        if self.facts:
            lines += ["  " + "; ".join(f"{name} {fact}" for name, fact in self.facts.items())]
        lines += [f"  {self.change}"] if self.change else []
        lines += [f"  note: {one_line(note)}" for note in self.notes]
        if self.unreached:
            lines.append(f"  not covered: {self.unreached}: no window of the model reaches it")
        lines += [f"  left out: {skipped}" for skipped in self.skipped]
        lines += [f"  block {failure.block} failed: {failure.error}" for failure in self.failures]
        lines += [f"  block {m.block} lacks {m}" for m in self.missing]
        return shown("\n".join(lines))


def time_span(axis: Axis) -> str:
    """Return first and last time of an axis as text."""
    return f"{readable_time(axis.value(0))} to {readable_time(axis.value(axis.size - 1))}"
