"""What a journal tells a run, and the journal of a run whose results are in memory."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from dasdist.archive_changes import ArchiveChange
from dasdist.callbacks.base import Context, DASAnnotateCallback
from dasdist.errors import RunInterrupted
from dasdist.planning.plan import Plan
from dasdist.report import BlockResult, Failure, Partial, RunReport

__all__ = ["Held", "MemoryJournal", "RunSoFar"]


@dataclass(frozen=True, slots=True)
class Held:
    """What earlier runs did.

    Parameters
    ----------
    parts : mapping of int to object
        Parts of the blocks that are done.
    failures : mapping of int to Failure
        Blocks that were given up and are left alone.
    partial : mapping of int to Partial
        What blocks that are done could not compute.
    change : ArchiveChange or None
        What changed in the archive since earlier runs computed from it.
    """

    parts: Mapping[int, Any] = field(default_factory=dict)
    failures: Mapping[int, Failure] = field(default_factory=dict)
    partial: Mapping[int, Partial] = field(default_factory=dict)
    change: ArchiveChange | None = None


class RunSoFar(Protocol):
    """What a run has done, as a report needs it."""

    plan: Plan
    done: NDArray[np.bool_]
    failures: dict[int, Failure]
    partial: dict[int, Partial]

    def result(self) -> Any:
        """Return the parts, combined."""

    def report(self) -> RunReport:
        """Return the report of the run, so far."""


class MemoryJournal:
    """The journal of a run whose results are in memory: it keeps nothing.

    Parameters
    ----------
    callback : DASAnnotateCallback
        Set up when the run begins.
    """

    held_core = None
    scale: float | None = None

    def __init__(self, callback: DASAnnotateCallback) -> None:
        self._callback = callback

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Leave nothing."""

    def begin(self, plan: Plan, context: Context) -> Held:
        """Set the callback up."""
        self._callback.setup(context)
        return Held()

    def look_again(self, plan: Plan, done: NDArray[np.bool_]) -> Held | None:
        """Have nothing to look at."""
        return None

    def drop_all_but(self, blocks: Collection[int]) -> None:
        """Have nothing to drop."""

    def add(self, result: BlockResult) -> None:
        """Keep nothing."""

    def add_failure(self, failure: Failure) -> None:
        """Keep nothing."""

    @contextmanager
    def reporting(self, state: RunSoFar) -> Iterator[None]:
        """Report nothing; say so if what was computed is lost."""
        try:
            yield
        except RunInterrupted as error:
            raise RunInterrupted(
                f"{error} Their results were in memory and are lost; name an output (out=, or a "
                "callback that writes) to keep what is done and go on from there."
            ) from error
