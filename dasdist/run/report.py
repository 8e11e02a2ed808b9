"""What a run did, and what it had to leave out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dasdist.geometry import Axis, Region

__all__ = ["Done", "Failure", "RunReport", "Skipped", "time_span"]


@dataclass(frozen=True, slots=True)
class Done:
    """What comes back of a block that was computed.

    Parameters
    ----------
    part : object
        The block's part of the result.
    seconds : mapping of str to float
        How long its stages took: read, preprocess, model, reduce and write.
    peak : int
        The most memory that the process ever had, in bytes.
    """

    part: Any
    seconds: Mapping[str, float]
    peak: int


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
        return f"{time_span(self.time)}, {self.distance.size} channels: {self.reason}"


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
    """

    block: int
    segment: int
    core: Region
    error: str
    kind: Literal["unreadable", "error", "deadline", "killed"] = "unreadable"
    traceback: str = ""
    start: str = ""
    stop: str = ""


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
        Blocks left out because of unreadable data.
    """

    model: str
    blocks: int
    data_seconds: float
    wall_seconds: float
    skipped: tuple[Skipped, ...] = ()
    failures: tuple[Failure, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether nothing was left out."""
        return not self.skipped and not self.failures

    def __str__(self) -> str:
        speed = self.data_seconds / self.wall_seconds if self.wall_seconds else float("inf")
        lines = [
            f"{self.model}: {self.blocks - len(self.failures)} of {self.blocks} blocks, "
            f"{self.data_seconds:.0f} s of data in {self.wall_seconds:.1f} s ({speed:.0f}x)"
        ]
        lines += [f"  left out: {skipped}" for skipped in self.skipped]
        lines += [f"  block {failure.block} failed: {failure.error}" for failure in self.failures]
        return "\n".join(lines)


def time_span(axis: Axis) -> str:
    """Return first and last time of an axis as text."""
    return f"{axis.value(0)} to {axis.value(axis.size - 1)}"
